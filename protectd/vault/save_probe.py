"""Before anything is read: which directories are unchanged with all below them, found by all workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from protectd.vault.crew import Crew
from protectd.vault.opening import Identity
from protectd.vault.probe_worker import FolderJob, FolderReply
from protectd.vault.scan import Tally

MAX_INDEX_BLOBS = 1_000_000
"""Each worker gets a copy of the index, 49 bytes a blob; a larger one is not worth it."""
_JOB_FOLDERS = 24


@dataclass(slots=True, eq=False)
class _Probed:
    """A directory that was looked at, or will be. It waits for itself and for each directory in it."""

    job: FolderJob
    parent: _Probed | None
    same: bool = True
    waiting: int = 1
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A directory whose former tree holds for it; `tally` is of all below it."""

    identity: Identity
    tally: Tally


class Probe:
    """:param tell: called now and then with how many directories have been looked at."""

    def __init__(self, crew: Crew, tell: Callable[[int], None]) -> None:
        self._crew = crew
        self._tell = tell
        self._pending: list[_Probed] = []
        self._looked_at = 0
        self.unchanged: dict[bytes, Unchanged] = {}
        """By path; those inside unchanged ones too."""

    def run(self, top: FolderJob) -> None:
        self._pending.append(_Probed(top, None))
        while self._pending or self._crew.busy:
            while self._pending and self._crew.has_room:
                portion, self._pending = self._pending[-_JOB_FOLDERS:], self._pending[:-_JOB_FOLDERS]
                self._crew.give([tuple(each.job) for each in portion], portion)
            for portion, replies in self._crew.replies(0.25):
                for probed, reply in zip(portion, replies, strict=True):
                    self._take(probed, FolderReply._make(reply))
            self._tell(self._looked_at)
        for _ in self._crew.finish():
            pass

    def _take(self, probed: _Probed, reply: FolderReply) -> None:
        self._looked_at += 1
        probed.same &= reply.same
        probed.tally.add(Tally(*reply.tally))
        probed.waiting += len(reply.inner)
        self._pending.extend(_Probed(FolderJob._make(each), probed) for each in reply.inner)
        self._settle(probed)

    def _settle(self, probed: _Probed | None) -> None:
        while probed is not None:
            probed.waiting -= 1
            if probed.waiting:
                return
            self._complete(probed)
            probed = probed.parent

    def _complete(self, probed: _Probed) -> None:
        if probed.same:
            identity = Identity(probed.job.device, probed.job.inode)
            self.unchanged[probed.job.path] = Unchanged(identity, probed.tally)
        if probed.parent is not None:
            probed.parent.same &= probed.same
            probed.parent.tally.add(probed.tally)


def unchanged_tree(unchanged: dict[bytes, Unchanged], path: bytes, identity: Identity) -> Tally | None:
    """The tally of an unchanged directory; None for any other, also one that was replaced since."""
    found = unchanged.get(path)
    return found.tally if found is not None and found.identity == identity else None
