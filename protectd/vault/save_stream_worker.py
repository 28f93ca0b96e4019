"""A worker of a backup of a stream: hashes, compresses and seals the pieces of a window."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from protectd.vault.chunker import SIZES
from protectd.vault.crew import Plain, work
from protectd.vault.pool import Channel, Pool
from protectd.vault.shared import SharedMemory
from protectd.vault.storing import BlobStore, StoreRest, StoreRole

WINDOW_BYTES = 2 * SIZES.largest
"""Room for one piece that is whole, and for what is left over of the one before."""


class StreamJob(NamedTuple):
    """Pieces of one window, one after the other from its start."""

    window: int
    lengths: Sequence[int]
    new_tables: Sequence[str]


class StreamReply(NamedTuple):
    """`ids` has 32 bytes a piece; `packs` are those of StoredPack."""

    ids: bytes
    packs: list[Plain]
    new_blobs: int


@dataclass(frozen=True)
class StreamWorker:
    """Role of one worker. :ivar windows: name of the shared memory."""

    store: StoreRole
    windows: str

    def run(self, channel: Channel, pool: Pool) -> Any:
        return work(_Streamer(self), channel)


class _Streamer:
    def __init__(self, role: StreamWorker) -> None:
        self._blobs = BlobStore(role.store)
        self._windows = SharedMemory.attach(role.windows)

    def handle(self, job: StreamJob) -> StreamReply:
        self._blobs.extend(job.new_tables)
        start = job.window * WINDOW_BYTES
        with ExitStack() as views:
            view = views.enter_context(memoryview(self._windows.bytes))
            ends = accumulate(job.lengths, initial=start)
            pieces = [views.enter_context(view[place:end]) for place, end in pairwise(ends)]
            ids = self._blobs.blobs(pieces)
        return StreamReply(b"".join(ids), *self._blobs.take())

    def finish(self) -> StoreRest:
        return self._blobs.finish()

    def close(self) -> None:
        self._blobs.close()
        self._windows.close()
