"""Dotted paths of fields, such as `plan.resources.0.id`."""

from __future__ import annotations


def join(path: str, part: object) -> str:
    return f"{path}.{part}" if path else str(part)


def shown(name: object) -> str:
    """A name that a client chose, fit for a message: ASCII, printable, 64 characters at most."""
    text = str(name).encode("ascii", "backslashreplace").decode()
    return "".join(character if character.isprintable() else "?" for character in text)[:64]
