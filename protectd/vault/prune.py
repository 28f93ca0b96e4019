"""Give back what no snapshot needs: mark it, wait for whoever may still need it, delete it.

Whoever is killed in between leaves rubbish that the next prune removes, never a lie.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from protectd.common.clock import Clock, SystemClock
from protectd.common.progress import Counts, Progress
from protectd.common.reports import PruneReport
from protectd.vault.coordinator import Coordinator, NobodyElse
from protectd.vault.errors import PacksInUse, VaultLocked
from protectd.vault.listing import await_listed
from protectd.vault.prune_mark import Marking, mark
from protectd.vault.prune_plan import PACK_BYTES
from protectd.vault.prune_sweep import Sweep
from protectd.vault.prune_used import Walked
from protectd.vault.repository import INDEX, Repository

_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Waits:
    """What an earlier prune has left: what index files `files` mark may go once `operations` have ended."""

    files: frozenset[str]
    operations: frozenset[str]


def prune(
    repository: Repository,
    progress: Progress | None = None,
    *,
    confirm: Callable[[], None] = lambda: None,
    pack_bytes: int = PACK_BYTES,
    clock: Clock | None = None,
    coordinator: Coordinator | None = None,
    waits: Waits | None = None,
    patience_s: float = 0.0,
) -> PruneReport:
    """Remove packs that no snapshot needs, rewrite those that are partly unused, and mend the index.

    Safe to repeat, and to kill at any instant. One at a time in a vault.

    :param confirm: looks whether the lock of the prune holds; raises when it is lost.
    :param coordinator: knows who else works in the vault; by default nobody does.
    :param waits: what the error of an earlier prune says: that is finished first.
    :param patience_s: how long to wait for others, each time.
    :raises PacksInUse: they do not end in time. What it says is to be given to the next prune as `waits`:
        without that, one that waits for whoever works then may never see the end of all.
    :raises VaultDamaged: a snapshot, an index or a tree does not read, or a needed blob is missing: nothing
        was removed then.
    """
    progress, clock = progress or Progress(), clock or SystemClock()
    coordinator = coordinator or NobodyElse()
    pruning = _Prune(repository, progress, confirm, clock, coordinator, patience_s)
    finished = pruning.finish(waits) if waits is not None else PruneReport()
    report = pruning.run(pack_bytes)
    return PruneReport(
        removed_packs=finished.removed_packs + report.removed_packs,
        repacked_packs=report.repacked_packs,
        freed_bytes=finished.freed_bytes + report.freed_bytes,
        kept_bytes=report.kept_bytes,
    )


class _Prune:
    def __init__(
        self,
        repository: Repository,
        progress: Progress,
        confirm: Callable[[], None],
        clock: Clock,
        coordinator: Coordinator,
        patience_s: float,
    ) -> None:
        self._repository = repository
        self._progress = progress
        self._confirm = confirm
        self._clock = clock
        self._coordinator = coordinator
        self._patience_s = patience_s

    def finish(self, waits: Waits) -> PruneReport:
        """Delete what an earlier prune has marked, as far as its marks are still there."""
        if waits.files.isdisjoint(self._repository.names(INDEX)):
            return PruneReport()
        self._wait(waits)
        sweep = Sweep.of_marks(self._repository, self._progress, waits.files, self._confirm)
        gone = self._sweep(sweep, waits.files, insist=True)
        freed = sum(note.size or 0 for pack_id, note in sweep.notes.items() if pack_id in gone)
        return PruneReport(removed_packs=len(gone), freed_bytes=freed)

    def run(self, pack_bytes: int) -> PruneReport:
        walked = Walked(self._repository, self._progress)
        now = self._clock.now()
        marking = mark(self._repository, walked, self._progress, self._confirm, pack_bytes, now)
        await_listed(
            marking.files, lambda: self._repository.names(INDEX), INDEX, self._clock, self._progress.check
        )
        # Whoever comes after this look counts on nothing that is marked.
        waits = Waits(marking.files, self._coordinator.others())
        gone: frozenset[bytes] = frozenset()
        if marking.known or not waits.operations:
            self._wait(waits)
            sweep = Sweep(
                self._repository, walked, self._progress, marking.going, marking.files, self._confirm
            )
            gone = self._sweep(sweep, marking.files, insist=marking.known)
        return _report(marking, gone)

    def _wait(self, waits: Waits) -> None:
        deadline = self._clock.monotonic() + self._patience_s
        while left := waits.operations & self._coordinator.others():
            self._progress.check()
            if self._clock.monotonic() >= deadline:
                reason = f"{len(left)} operation(s) that began before may need it"
                raise PacksInUse(reason=reason, files=sorted(waits.files), operations=sorted(left))
            self._progress.report(Counts("wait", total_files=len(left)))
            self._clock.sleep(_LOOK_S)

    def _sweep(self, sweep: Sweep, files: frozenset[str], *, insist: bool) -> frozenset[bytes]:
        """:param insist: it is an error when other programs cannot be kept out; else it is left for later."""
        if not sweep.prepare():
            return frozenset()
        with ExitStack() as stack:
            try:
                strangers_out = stack.enter_context(self._coordinator.strangers_out())
            except VaultLocked as error:
                if not insist:
                    return frozenset()
                raise PacksInUse(reason=str(error), files=sorted(files), operations=[]) from error
            return sweep.run(strangers_out)


def _report(marking: Marking, gone: frozenset[bytes]) -> PruneReport:
    sizes, written = marking.plan.sizes, marking.written.bytes
    removed = sum(sizes.get(pack_id, 0) for pack_id in gone)
    return PruneReport(
        removed_packs=len(gone & sizes.keys() - marking.plan.repack),
        repacked_packs=len(marking.plan.repack),
        freed_bytes=removed - written,
        kept_bytes=sum(sizes.values()) - removed + written,
    )
