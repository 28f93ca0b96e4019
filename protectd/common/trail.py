"""What the present work is about, for every log line in between: a request, a task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from types import MappingProxyType
from typing import TypeVar

T = TypeVar("T")

_NOTHING: Mapping[str, str] = MappingProxyType({})
_TRAIL: ContextVar[Mapping[str, str]] = ContextVar("trail", default=_NOTHING)


@contextmanager
def trail(**names: str) -> Iterator[None]:
    """Until the end of the block, log lines of this thread carry these names beside those of outer blocks."""
    token = _TRAIL.set({**_TRAIL.get(), **names})
    try:
        yield
    finally:
        _TRAIL.reset(token)


def names() -> Mapping[str, str]:
    """What the thread is about just now; empty when it is about nothing in particular."""
    return _TRAIL.get()


def follow(about: Mapping[str, str]) -> None:
    """Let this thread be about it to its end: for those of a pool that is made for one piece of work."""
    _TRAIL.set(about)


def carried(function: Callable[[], T]) -> Callable[[], T]:
    """`function` with the names of now, for a thread, which begins without any. To be called once."""
    context = copy_context()
    return lambda: context.run(function)
