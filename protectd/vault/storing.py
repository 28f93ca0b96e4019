"""Storing blobs with several workers: what is there already, where new blobs go, and how it ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import NamedTuple

from protectd.common.errors import Cancelled
from protectd.plugin.base import BankPlugin
from protectd.vault.blobset import NewBlobs, StoredBlobs
from protectd.vault.crew import Crew, Plain
from protectd.vault.crypto import Buffer, MasterKey, Sealer
from protectd.vault.index import BlobIndex
from protectd.vault.locks import HeldLock
from protectd.vault.options import EngineOptions
from protectd.vault.pack import DATA
from protectd.vault.packer import Leftover, Packer
from protectd.vault.pool import Pool, Role
from protectd.vault.repository import SNAPSHOTS, Repository
from protectd.vault.save_index import IndexWriter
from protectd.vault.shared import CancelFlag, SharedMemory
from protectd.vault.snapshot import Snapshot


@dataclass(frozen=True)
class StoreRole:
    """What a worker needs to store blobs. Names of shared memory are good while the planner lives."""

    bank: BankPlugin
    key: MasterKey
    pack_bytes: int
    level: int
    stored_blobs: str
    new_blobs: Sequence[str]
    cancel: str
    rest: str
    """Takes what this one worker has left over at the end."""


class StoreRest(NamedTuple):
    """What a worker tells at the end. `packs` are those of StoredPack, `left` is a Leftover."""

    packs: list[Plain]
    left: Plain
    plain_bytes: int
    sealed_bytes: int


class BlobStore:
    """A worker's own: hashes blobs and packs those that nobody has stored. For one thread."""

    def __init__(self, role: StoreRole) -> None:
        self.cancel = CancelFlag.attach(role.cancel)
        self._stored = StoredBlobs.attach(role.stored_blobs)
        self._new = NewBlobs.attach(role.new_blobs)
        self._packer = Packer(
            role.bank, Sealer(role.key), kind=DATA, pack_bytes=role.pack_bytes, level=role.level
        )
        self._rest = SharedMemory.attach(role.rest)
        self._added = 0

    def extend(self, new_tables: Sequence[str]) -> None:
        """Know the tables that the planner has added since."""
        self._new.extend(new_tables)

    def blobs(self, pieces: Sequence[Buffer]) -> list[bytes]:
        """Have them stored; their ids."""
        ids = self._packer.digests(pieces)
        cancelled, store = self.cancel.is_set, self.store
        for blob_id, plain in zip(ids, pieces, strict=True):
            if cancelled():
                raise Cancelled
            store(blob_id, plain)
        return ids

    def store(self, blob_id: bytes, plain: Buffer) -> None:
        if blob_id not in self._stored and self._new.add(blob_id):
            self._packer.add(blob_id, plain)
            self._added += 1

    def take(self) -> tuple[list[Plain], int]:
        """Packs that have become durable, and how many blobs were new, since the last call."""
        added, self._added = self._added, 0
        return list(map(tuple, self._packer.take_stored())), added

    def finish(self) -> StoreRest:
        self._packer.settle()
        packs, _ = self.take()
        packer = self._packer
        return StoreRest(packs, tuple(packer.leave(self._rest)), packer.plain_bytes, packer.sealed_bytes)

    def close(self) -> None:
        self._packer.close()
        for memory in (self._stored, self._new, self.cancel, self._rest):
            memory.close()


class Storing:
    """The planner's side. Everything that it makes is closed with `stack`."""

    def __init__(
        self, repository: Repository, options: EngineOptions, index: BlobIndex, stack: ExitStack
    ) -> None:
        self._repository = repository
        self._options = options
        self._stack = stack
        self.stored = stack.enter_context(closing(StoredBlobs.create(index.known(DATA).to_bytes())))
        self.cancel = stack.enter_context(closing(CancelFlag.create()))
        self._new = stack.enter_context(closing(NewBlobs.create()))
        self._rests: list[SharedMemory] = []
        self._lock: HeldLock
        self._index_writer: IndexWriter

    @property
    def new_tables(self) -> tuple[str, ...]:
        """For `BlobStore.extend`, with each job."""
        return tuple(self._new.paths)

    def _role(self) -> StoreRole:
        self._rests.append(self._stack.enter_context(closing(SharedMemory.create(self._options.pack_bytes))))
        return StoreRole(
            bank=self._repository.bank,
            key=self._repository.key,
            pack_bytes=self._options.pack_bytes,
            level=self._options.level,
            stored_blobs=self.stored.path,
            new_blobs=self._new.paths,
            cancel=self.cancel.path,
            rest=self._rests[-1].path,
        )

    def roles(self) -> list[StoreRole]:
        """One for each worker."""
        return [self._role() for _ in range(self._options.worker_count)]

    def hire(self, pool: Pool, workers: Iterable[Role], lock: HeldLock) -> Crew:
        """Workers that store, in the order of `roles`. From here on nothing that others rely on is stored
        without the lock."""
        self._lock = lock
        self._index_writer = IndexWriter(self._repository.bank, lock)
        return self._stack.enter_context(Crew(pool, workers, self.cancel))

    def packer(self, kind: str) -> Packer:
        """One of the planner's own."""
        packer = Packer(
            self._repository.bank,
            self._repository.sealer,
            kind=kind,
            pack_bytes=self._options.pack_bytes,
            level=self._options.level,
        )
        return self._stack.enter_context(closing(packer))

    def took(self, packs: Iterable[Plain], new_blobs: int) -> None:
        """A worker has told of these; see `BlobStore.take`."""
        self._index_writer.add(packs)
        self._new.grow_for(new_blobs)

    def close_packs(self, crew: Crew, trees: Packer) -> tuple[int, int]:
        """Store what is left, the workers' leftovers put together; (plain, stored) bytes of the whole."""
        data = self.packer(DATA)
        plain, sealed = trees.plain_bytes, trees.sealed_bytes
        rest: StoreRest
        for rest, memory in zip(crew.finish(), self._rests, strict=True):
            self._index_writer.add(rest.packs)
            data.take_over(Leftover._make(rest.left), memory)
            plain, sealed = plain + rest.plain_bytes, sealed + rest.sealed_bytes
        for packer in (data, trees):
            packer.flush()
        for packer in (data, trees):
            packer.settle()
            self._index_writer.add(packer.take_stored())
        return plain, sealed

    def publish(self, snapshot: Snapshot) -> str:
        """Store the index, then the snapshot: what it leads to is durable by then. Its id.

        :raises LockLost: others may have removed what it needs; it is not there, then.
        """
        self._index_writer.flush()
        return self._lock.store(SNAPSHOTS, snapshot.encode())
