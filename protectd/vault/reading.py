"""Looking into a vault from the calling thread: lists, comparisons, single files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from protectd.common.clock import SystemClock
from protectd.common.progress import Progress
from protectd.common.reports import CompareReport
from protectd.vault.cat import cat
from protectd.vault.compared import compare
from protectd.vault.diff import Change, diff
from protectd.vault.entries import Entry, find_from_home, home_of, list_entries
from protectd.vault.findings import MAKE_AGAIN, REBUILD_INDEX, Damage
from protectd.vault.issues import Issues
from protectd.vault.locks import reading_lock
from protectd.vault.options import EngineOptions
from protectd.vault.repository import INDEX, SNAPSHOTS, BlobReader, Repository
from protectd.vault.snapshot import Snapshot


class Reading:
    """A vault that stays as it is while one looks: a shared lock is held. For one thread.

    Paths are bytes: from the root of a snapshot when they start with `/`, else from the directory that was
    saved; None is that directory.

    :ivar issues: directories, and files of the vault, that could not be read while the rest was.
    """

    def __init__(self, repository: Repository, progress: Progress) -> None:
        self._repository = repository
        self._progress = progress
        self.issues = Issues()
        self._loaded: BlobReader | None = None

    @property
    def _reader(self) -> BlobReader:
        """Loads the index when it is first needed. No `cached_property`: in Python 3.11 all objects of the
        class share its lock, so whoever reads in one vault would wait for the index of another."""
        if self._loaded is None:
            damaged = Damage(REBUILD_INDEX)
            self._loaded = BlobReader(self._repository, self._repository.load_index_to_read(damaged))
            self._note(INDEX, damaged)
        return self._loaded

    def snapshots(self) -> list[Snapshot]:
        """All that read, oldest first."""
        damaged = Damage(MAKE_AGAIN)
        found = self._repository.snapshots(damaged)
        self._note(SNAPSHOTS, damaged)
        return found

    def _note(self, kind: str, damaged: Damage) -> None:
        for name, error in damaged.found.items():
            self.issues.add(f"{kind}/{name}".encode(), "damaged", error.facts["reason"])

    def find(self, snapshot: Snapshot, path: bytes | None = None) -> Entry:
        """:raises PathNotInSnapshot: there is none."""
        if path is None:
            return home_of(self._reader, snapshot)
        return find_from_home(self._reader, snapshot, path)

    def list(
        self, snapshot: Snapshot, path: bytes | None = None, *, recursive: bool = False
    ) -> Iterator[Entry]:
        """What a directory holds; see `list_entries`."""
        top = self.find(snapshot, path)
        for entry in list_entries(self._reader, top, self._trouble, recursive=recursive):
            self._progress.check()
            yield entry

    def cat(self, snapshot: Snapshot, path: bytes, write: Callable[[bytes], object]) -> int:
        """Write one file's content; how many bytes. See `cat`."""
        file = self.find(snapshot, path)
        return cat(self._repository, self._reader.index, file, snapshot.id, write, self._progress)

    def diff(self, before: Snapshot, after: Snapshot, path: bytes | None = None) -> Iterator[Change]:
        """What changed below a path, or between the directories that were saved. See `diff`."""
        old, new = self.find(before, path), self.find(after, path)
        return diff(self._reader, old, new, self._trouble, self._progress.check)

    def compare(
        self, snapshot: Snapshot, directory: str, progress: Progress | None = None, *, owners: bool = False
    ) -> CompareReport:
        """A directory on disk beside the one that was saved. See `compared`."""
        found = self.find(snapshot)
        return compare(self._reader, found, directory, progress or self._progress, owners=owners)

    def _trouble(self, path: bytes, reason: str) -> None:
        self.issues.add(path, "damaged", reason)


@contextmanager
def reading(repository: Repository, options: EngineOptions, progress: Progress) -> Iterator[Reading]:
    """:raises VaultLocked: someone removes from the vault and does not end in time."""
    clock, identity = SystemClock(), options.identity()
    with reading_lock(repository, identity, clock, options.lock_wait_s, check=progress.check):
        yield Reading(repository, progress)
