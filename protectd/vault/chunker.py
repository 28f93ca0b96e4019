"""Where a large file is cut into blobs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from pyfastcdc import FastCDC

from protectd.common.units import KIB, MIB


@dataclass(frozen=True, slots=True)
class ChunkSizes:
    """Bytes; `smallest` < `average` < `largest`, `average` a power of two. Part of a vault's identity: other
    sizes find none of the chunks that are stored already."""

    smallest: int = 512 * KIB
    average: int = MIB
    largest: int = 8 * MIB


SIZES = ChunkSizes()


class Chunker:
    """Cuts where the content says so, so that an insertion moves few cuts.

    Rolling gear hash with normalized chunking: Xia et al., "The Design of Fast Content-Defined Chunking for
    Data Deduplication Based Storage Systems", IEEE TPDS 2020. The gear table is varied by a seed, so that the
    sizes of known files do not show. Not thread safe.
    """

    def __init__(self, seed: int, sizes: ChunkSizes = SIZES) -> None:
        self.sizes = sizes
        self._cdc = FastCDC(sizes.average, min_size=sizes.smallest, max_size=sizes.largest, seed=seed)

    def lengths(self, buffer: memoryview, *, last: bool) -> Iterator[int]:
        """Lengths of the chunks at the start of `buffer`.

        Without `last` (more will follow the buffer) it ends before a chunk that later bytes could make
        longer, the one that the end of the buffer cuts off: what is left over, less than `sizes.largest` and
        as a rule less than one chunk, has to come again in front of the next bytes. The buffer must not move
        or change while the iterator is in use.
        """
        left, largest = len(buffer), self.sizes.largest
        for chunk in self._cdc.cut_buf(buffer):
            length = chunk.length
            if length == left < largest and not last:
                return
            left -= length
            yield length


def seed_of(polynomial: int) -> int:
    """A vault's seed: derived from the secret polynomial in its config, so that every writer has the same."""
    digest = hashlib.sha256(b"protectd fastcdc seed %x" % polynomial).digest()
    return int.from_bytes(digest[:8], "big") >> 2 | 1  # the library shifts it left once within 64 bits
