"""One progress for an operation over many resources."""

from __future__ import annotations

import threading
from collections.abc import Collection

from protectd.common.errors import ProtectdError
from protectd.common.progress import Counts, Progress


class MergedProgress:
    """Adds up what the resources report and asks the owner for all of them, one thread at a time."""

    def __init__(self, owner: Progress, keys: Collection[str]) -> None:
        self._owner = owner
        self._lock = threading.Lock()
        self._counts: dict[str, Counts | None] = dict.fromkeys(keys)
        self.stopped: ProtectdError | None = None
        """What the owner raised: it ends the whole operation and is no resource's failure."""

    def part(self, key: str) -> Progress:
        """The progress of one resource."""
        return _Part(self, key)

    def take(self, key: str, counts: Counts) -> None:
        with self._lock:
            self._counts[key] = counts
            self._owner.report(self._sum(counts.phase))

    def finish(self, key: str) -> None:
        """What the resource has done so far was all of it."""
        with self._lock:
            done = self._counts[key] or Counts("")
            self._counts[key] = Counts(
                done.phase, done.done_bytes, done.done_bytes, done.done_files, done.done_files
            )

    def check(self) -> None:
        """:raises ProtectdError: the owner's word that the operation has to end, from then on always."""
        with self._lock:
            try:
                if self.stopped is None:
                    self._owner.check()
            except ProtectdError as error:
                self.stopped = error
        if self.stopped is not None:
            raise self.stopped

    def _sum(self, phase: str) -> Counts:
        known = [counts for counts in self._counts.values() if counts is not None]
        unknown = len(self._counts) - len(known)
        return Counts(
            phase,
            sum(counts.done_bytes for counts in known),
            _total([counts.total_bytes for counts in known], unknown),
            sum(counts.done_files for counts in known),
            _total([counts.total_files for counts in known], unknown),
        )


def _total(totals: Collection[int | None], unknown: int) -> int | None:
    """None until every resource knows its own."""
    known = [total for total in totals if total is not None]
    return None if unknown or len(known) < len(totals) else sum(known)


class _Part(Progress):
    def __init__(self, merged: MergedProgress, key: str) -> None:
        self._merged = merged
        self._key = key

    def report(self, counts: Counts) -> None:
        self._merged.take(self._key, counts)

    def check(self) -> None:
        self._merged.check()
