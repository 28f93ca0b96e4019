"""Small files saved from the calling thread, while others save large ones: no worker is hired for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime

from protectd.common.clock import SystemClock
from protectd.common.units import MIB
from protectd.vault.one_file import one_file_snapshot, one_file_tree
from protectd.vault.options import EngineOptions
from protectd.vault.pack import DATA, TREE
from protectd.vault.packer import Packer
from protectd.vault.pending_lock import PendingLock
from protectd.vault.repository import SNAPSHOTS, Repository
from protectd.vault.save_index import IndexWriter
from protectd.vault.sources import plain_name

_PIECE_BYTES = MIB


class Notes:
    """A vault that takes small files: its lock is taken while its user does something else. For one thread.

    Nothing that is stored already is counted on, so no index is loaded: a note is like no other.
    """

    def __init__(
        self,
        repository: Repository,
        options: EngineOptions,
        lock: PendingLock,
        check: Callable[[], None],
    ) -> None:
        self._repository = repository
        self._options = options
        self._lock = lock
        self._check = check
        self._begun = SystemClock().now()

    def save(self, name: str, data: bytes, tags: Sequence[str], moment: datetime | None = None) -> str:
        """Save `data` as the one file `name` of a snapshot; durable when this returns. Its id.

        :param moment: its time. None: when these notes were begun: what was saved since is later, so that
            restic's `latest` is not the note.
        :raises VaultLocked: others hold the vault. :raises LockLost: it is not there, then.
        """
        name, moment = plain_name(name), moment or self._begun
        lock = self._lock.wait(self._check)
        index = IndexWriter(self._repository.bank, lock)
        with ExitStack() as stack:
            files = stack.enter_context(closing(self._packer(DATA)))
            trees = stack.enter_context(closing(self._packer(TREE)))
            tree_id, tree = one_file_tree(name, len(data), _add(files, data), moment)
            trees.add(tree_id, tree)
            for packer in (files, trees):
                packer.flush()
            for packer in (files, trees):
                packer.settle()
                index.add(packer.take_stored())
        index.flush()
        snapshot = one_file_snapshot(name, tree_id, moment, self._options.identity(), tags)
        return lock.store(SNAPSHOTS, snapshot.encode())

    def _packer(self, kind: str) -> Packer:
        options, repository = self._options, self._repository
        return Packer(
            repository.bank,
            repository.sealer,
            kind=kind,
            pack_bytes=options.pack_bytes,
            level=options.level,
        )


def _add(packer: Packer, data: bytes) -> list[bytes]:
    """Ids of the pieces."""
    pieces = [data[place : place + _PIECE_BYTES] for place in range(0, len(data), _PIECE_BYTES)]
    ids = [hashlib.sha256(piece).digest() for piece in pieces]
    for blob_id, piece in dict(zip(ids, pieces, strict=True)).items():
        packer.add(blob_id, piece)
    return ids


@contextmanager
def notes(repository: Repository, options: EngineOptions, check: Callable[[], None]) -> Iterator[Notes]:
    """:param check: called while the lock is waited for; may raise."""
    with PendingLock(repository, options.identity(), options.lock_wait_s) as lock:
        yield Notes(repository, options, lock, check)
