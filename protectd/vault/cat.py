"""The content of one file as a stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from protectd.common.progress import Counts, Progress
from protectd.vault.entries import Entry
from protectd.vault.errors import PathNotInSnapshot, VaultDamaged
from protectd.vault.index import BlobIndex
from protectd.vault.opening import shown
from protectd.vault.pack import DATA
from protectd.vault.repository import BlobReader, Repository

_AHEAD = 4
"""Blobs that are read before they are asked for: what is held at most, beside the one that is written."""
_THREADS = 2


def cat(
    repository: Repository,
    index: BlobIndex,
    file: Entry,
    snapshot_id: str,
    write: Callable[[bytes], object],
    progress: Progress,
) -> int:
    """Write a file's content, in order; how many bytes. Nothing is written of a blob that is not proven.

    :raises PathNotInSnapshot: it is no regular file.
    :raises VaultDamaged: a blob is bad or missing: all before it was written. Or the whole has another
        length than the file had.
    """
    node = file.node
    if node is None or node.content is None:
        reason = f"it is a {'directory' if node is None or node.type == 'dir' else node.type}, not a file"
        raise PathNotInSnapshot(snapshot_id=snapshot_id, path=shown(file.path), reason=reason)
    done = 0
    for plain in _blobs(repository, index, node.content):
        progress.check()
        write(plain)
        done += len(plain)
        progress.report(Counts("cat", done, node.size))
    if done != node.size:
        reason = f"its content has {done} bytes and it claims {node.size}"
        raise VaultDamaged(object=f"file {shown(file.path)} of snapshot {snapshot_id}", reason=reason)
    return done


def _blobs(repository: Repository, index: BlobIndex, ids: Iterable[bytes]) -> Iterator[bytes]:
    """Blobs one after the other, the next ones being read meanwhile. A hole's blob repeats: read once."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="vault-cat") as threads:
        waiting: deque[tuple[bytes, Future[bytes]]] = deque()
        try:
            for blob_id in ids:
                same = waiting and waiting[-1][0] == blob_id
                future = waiting[-1][1] if same else threads.submit(_load, repository, index, blob_id)
                waiting.append((blob_id, future))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft()[1].result()
            while waiting:
                yield waiting.popleft()[1].result()
        finally:
            for _, future in waiting:
                future.cancel()


def _load(repository: Repository, index: BlobIndex, blob_id: bytes) -> bytes:
    return BlobReader(repository, index).load(DATA, blob_id)
