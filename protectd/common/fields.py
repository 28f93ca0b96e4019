"""Dotted paths of fields, such as `plan.resources.0.id`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from protectd.common.errors import ProtectdError


def join(path: str, part: object) -> str:
    return f"{path}.{part}" if path else str(part)


def shown(name: object) -> str:
    """A name that a client chose, fit for a message: ASCII, printable, 64 characters at most."""
    text = str(name).encode("ascii", "backslashreplace").decode()
    return "".join(character if character.isprintable() else "?" for character in text)[:64]


@contextmanager
def about(field: str) -> Iterator[None]:
    """Whatever the block refuses, the client said it with `field`: an id in a body stands for all that hangs
    on it."""
    with told(lambda _: field):
        yield


@contextmanager
def below(prefix: str) -> Iterator[None]:
    """What the block refuses is told from the top of the request: its field lies below `prefix`, and is
    `prefix` where the block names none."""
    with told(lambda field: prefix if field is None else join(prefix, field)):
        yield


@contextmanager
def told(place: Callable[[str | None], str]) -> Iterator[None]:
    """What the block refuses is about the field that `place` makes of the one it names. Failures of the
    service are not about what the client said, and pass as they are."""
    try:
        yield
    except ProtectdError as error:
        if not 400 <= error.status < 500:
            raise
        raise error.at(place(error.field)) from error
