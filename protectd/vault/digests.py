"""Hashes of several things at once: a processor computes two side by side in little more time than one.

`_sha256` does that where it was built and the processor has the instructions for it; elsewhere hashlib does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from protectd.common.units import MIB
from protectd.vault.crypto import Buffer

try:
    from protectd.vault import _sha256
except ImportError:
    NATIVE = False
else:
    NATIVE = True

GROUP_BYTES = 4 * MIB
"""So much is worth to be gathered: several large blobs, and still in the processor's cache."""

Item = TypeVar("Item")
Piece = TypeVar("Piece", bound=Buffer)


def digests(pieces: Sequence[Buffer]) -> list[bytes]:
    """SHA-256 of each."""
    if not NATIVE:
        return [hashlib.sha256(piece).digest() for piece in pieces]
    return _sha256.digests(list(pieces))


class Whole:
    """The hash of one long thing, which gets on while those of others are computed. It may grow meanwhile;
    what is there once stays as it is."""

    def __init__(self) -> None:
        self._begun = _sha256.begin() if NATIVE else None

    def beside(self, pieces: Sequence[Buffer], data: Buffer) -> list[bytes]:
        """SHA-256 of each piece. :param data: the whole as far as it is there."""
        if self._begun is None:
            return digests(pieces)
        return _sha256.beside(list(pieces), data, self._begun)

    def digest(self, data: Buffer) -> bytes:
        """SHA-256 of the whole."""
        if self._begun is None:
            return hashlib.sha256(data).digest()
        return _sha256.finish(data, self._begun)


def grouped(items: Iterable[tuple[Item, Piece]]) -> Iterator[list[tuple[Item, Piece]]]:
    """Things with their bytes, as many together as are worth it. Nothing of a group is held here while the
    next is gathered: whoever takes it lets go of it, or holds the bytes of both."""
    group: list[tuple[Item, Piece]] = []
    held = 0
    for item in items:
        group.append(item)
        held += len(item[1])
        del item
        if held >= GROUP_BYTES:
            yield group
            group, held = [], 0
    if group:
        yield group
