"""A worker that looks for unchanged directories: it lists and compares, and reads no file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from protectd.common.errors import Cancelled
from protectd.plugin.base import BankPlugin
from protectd.vault.blobset import StoredBlobs
from protectd.vault.config import VaultConfig
from protectd.vault.crew import work
from protectd.vault.crypto import MasterKey
from protectd.vault.index import BlobIndex
from protectd.vault.issues import Issues
from protectd.vault.opening import READ_DIRECTORY, Identity, Replaced, open_seen
from protectd.vault.pool import Channel, Pool
from protectd.vault.previous import PreviousTrees
from protectd.vault.repository import BlobReader, Repository
from protectd.vault.same_folder import look
from protectd.vault.scan import Folder, Scanner, Tally, holding, join
from protectd.vault.shared import CancelFlag
from protectd.vault.tree import directory_node


class FolderJob(NamedTuple):
    path: bytes
    device: int
    inode: int
    previous_tree: bytes


class FolderReply(NamedTuple):
    """`same`: nothing in it has changed, as far as one sees without looking into the directories in it.
    `inner` are those, each a FolderJob without its name; `tally` all entries but what is below them."""

    same: bool
    inner: list[tuple[Any, ...]]
    tally: tuple[int, ...]


@dataclass(frozen=True)
class ProbeWorker:
    """Role of one worker. :ivar own_process: it may change the working directory."""

    bank: BankPlugin
    key: MasterKey
    config: VaultConfig
    index: BlobIndex
    excludes: Sequence[bytes]
    stored_blobs: str
    cancel: str
    own_process: bool

    def run(self, channel: Channel, pool: Pool) -> Any:
        return work(_Prober(self), channel)


class _Prober:
    def __init__(self, role: ProbeWorker) -> None:
        self._cancel = CancelFlag.attach(role.cancel)
        self._stored = StoredBlobs.attach(role.stored_blobs)
        self._issues = Issues()
        repository = Repository(role.bank, role.key, role.config)
        self._previous = PreviousTrees(BlobReader(repository, role.index))
        self._holding_excludes = holding(role.excludes)
        self._own_process = role.own_process
        self._scanner = Scanner(
            role.excludes,
            self._previous,
            self._stored.has_all,
            self._issues,
            own_directory=role.own_process,
        )

    def handle(self, job: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return [tuple(self._folder(FolderJob._make(each))) for each in job]

    def finish(self) -> None:
        """Nothing is left."""

    def close(self) -> None:
        self._stored.close()
        self._cancel.close()

    def _folder(self, job: FolderJob) -> FolderReply:
        if self._cancel.is_set():
            raise Cancelled
        return self._quickly(job) or self._thoroughly(job)

    def _quickly(self, job: FolderJob) -> FolderReply | None:
        """None when anything is not as it was, or cannot be told at a glance."""
        nodes = self._previous.nodes(job.previous_tree)
        if nodes is None or job.path in self._holding_excludes or not self._own_process:
            return None
        try:
            descriptor, _ = open_seen(job.path, READ_DIRECTORY, (job.device, job.inode))
        except (OSError, Replaced):
            return None
        try:
            os.fchdir(descriptor)
            same = look(sorted(os.listdir(b".")), nodes, os.lstat, os.readlink, self._stored.has_all)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        if same is None:
            return None
        inner = [(join(job.path, name), *rest) for name, *rest in same.inner]
        return FolderReply(True, inner, same.tally.numbers())

    def _thoroughly(self, job: FolderJob) -> FolderReply:
        self._scanner.tally = Tally()
        issues = self._issues.count
        folder = Folder(job.path, Identity(job.device, job.inode), b"", None, 0, job.previous_tree)
        inner = []
        for found in chain.from_iterable(self._scanner.scan(folder)):
            if isinstance(found, Folder) and found.previous_tree is not None:
                folder.nodes[found.place] = directory_node(found.prefix, found.previous_tree)
                inner.append(tuple(FolderJob(found.path, *found.identity, found.previous_tree)))
        # Whoever is not the same is scanned again, and then its issues are told.
        same = self._issues.count == issues and folder.previous.is_made_of(folder.nodes)
        return FolderReply(same, inner, self._scanner.tally.numbers())
