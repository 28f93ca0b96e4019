"""A restore drill: written into a scratch place, timed, compared with what was recorded, and tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from protectd.common.errors import ProtectdError, Unavailable
from protectd.common.progress import Progress
from protectd.common.reports import CheckReport, CompareReport, RestoreOptions, RestoreReport
from protectd.plugin import runner
from protectd.plugin.base import Assertion, Operation, ProtectionPlugin, Resource, VerifyContext
from protectd.plugin.outcomes import Job, Outcome
from protectd.tasks.entities import flat_graph, issue_rows
from protectd.tasks.env import OpenVault
from protectd.vault.attributes import may_give_away
from protectd.vault.errors import SnapshotNotFound, VaultDamaged
from protectd.vault.issues import MISSING
from protectd.vault.snapshot import Snapshot

MAX_TOLD = 100
"""Lines of a report for each resource."""


@dataclass
class Part:
    """One resource in a drill.

    :ivar target: where it is restored to.
    :ivar fault: why it cannot even be begun.
    :ivar owners: foreign owners are restored.
    """

    context: VerifyContext
    plugin: ProtectionPlugin
    target: Path
    snapshot: Snapshot | None = None
    source: str = "/"
    fault: ProtectdError | None = None
    owners: bool = field(default_factory=may_give_away)
    restored: RestoreReport | None = None
    compared: CompareReport | None = None
    assertions: list[Assertion] = field(default_factory=list)

    @property
    def resource(self) -> Resource:
        return self.context.resource

    def inner(self, path: str) -> str:
        """As it was below the directory that was saved: where the scratch place is, is nobody's business."""
        return path.removeprefix(f"{self.target}/")

    def view(self) -> dict[str, Any]:
        """What is told of it, for people and for whoever wants proof."""
        compared, restored = self.compared or CompareReport(), self.restored or RestoreReport(0, 0, 0, 0)
        return {
            "restored": {
                "files": restored.files,
                "directories": restored.directories,
                "others": restored.others,
                "written_bytes": restored.written_bytes,
            },
            "compared": {
                "files": compared.files,
                "directories": compared.directories,
                "others": compared.others,
                "read_bytes": compared.read_bytes,
                "owners": compared.owners,
                "attributes": compared.attributes,
            },
            "not_compared": list(compared.not_compared[:MAX_TOLD]),
            "difference_count": compared.difference_count,
            "differences": list(compared.differences[:MAX_TOLD]),
            "assertions": [
                {"name": each.name, "ok": each.ok, "detail": each.detail}
                for each in self.assertions[:MAX_TOLD]
            ],
        }


class Drill:
    """All resources of a checkpoint: first every one is restored, as a whole recovery would, then looked at.

    :param monotonic: seconds, for the time that the recovery takes.
    """

    def __init__(self, vault: OpenVault, parts: Iterable[Part], monotonic: Callable[[], float]) -> None:
        self._vault = vault
        self._parts = {part.resource.key: part for part in parts}
        self._monotonic = monotonic
        self.recovery_s: float | None = None

    def run(self, progress: Progress) -> list[Outcome]:
        """How each resource fared. What was restored is compared also where another failed."""
        self._find(progress)
        begun_s = self._monotonic()
        restored = self._each(self._parts, Restore, progress)
        self.recovery_s = self._monotonic() - begun_s
        good = {outcome.resource.key for outcome in restored if self._is_there(outcome)}
        looked_at = self._each({key: self._parts[key] for key in good}, Compare, progress)
        return [each for each in restored if each.resource.key not in good] + looked_at

    def report(self) -> dict[str, Any]:
        return {"resources": {key: part.view() for key, part in self._parts.items()}}

    @property
    def files(self) -> int:
        """Compared."""
        return sum(part.compared.files for part in self._parts.values() if part.compared)

    def issues(self) -> list[dict[str, str]]:
        """Entries that were not restored as they were, on purpose or for want of rights."""
        return issue_rows(
            replace(issue, path=part.inner(issue.path))
            for part in self._parts.values()
            if part.restored
            for issue in part.restored.issues
        )

    def _find(self, progress: Progress) -> None:
        """Which directory of its snapshot each resource is. The row says which tree it has to be."""
        with self._vault.reading(progress) as looking:
            snapshots = {each.id: each for each in looking.snapshots()}
            for part in self._parts.values():
                try:
                    part.snapshot = _snapshot_of(part.context, snapshots)
                    part.source = looking.find(part.snapshot).path.decode()
                except Unavailable:
                    raise
                except ProtectdError as error:
                    part.fault = error

    def _each(
        self, parts: Mapping[str, Part], make: Callable[[Part], Operation], progress: Progress
    ) -> list[Outcome]:
        if not parts:
            return []

        def start(resource: Resource, own: Progress) -> Job:
            part = parts[resource.key]
            part.context.progress = own
            return Job(make(part), part.context)

        return runner.run(flat_graph(part.resource for part in parts.values()), start, progress)

    def _is_there(self, outcome: Outcome) -> bool:
        """A resource that is restored is looked at, even if its run has failed for another's sake."""
        return outcome.ok and self._parts[outcome.resource.key].restored is not None


class Restore(Operation):
    """Of the plug-in's own operation this takes the data's way only: nobody's home is touched."""

    def __init__(self, part: Part) -> None:
        self._part = part

    def main(self) -> None:
        part, context = self._part, self._part.context
        if part.fault is not None:
            raise part.fault
        context.report = None
        part.restored = context.vault.restore_tree(
            context.snapshot_id,
            context.tree_id,
            part.source,
            str(part.target),
            RestoreOptions(owners=part.owners),
            context.progress,
        )
        missing = [
            f"{part.inner(issue.path)}: {issue.reason}"
            for issue in part.restored.issues
            if issue.kind in MISSING
        ]
        context.report = CheckReport(snapshots=1, errors=tuple(missing))


class Compare(Operation):
    def __init__(self, part: Part) -> None:
        self._part = part

    def main(self) -> None:
        part, context = self._part, self._part.context
        assert part.snapshot is not None
        vault: Any = context.vault
        with vault.reading(context.progress) as looking:
            compared = part.compared = looking.compare(part.snapshot, str(part.target), owners=part.owners)
        part.assertions = list(part.plugin.assertions(context, str(part.target)))
        broken = [
            f"assertion {each.name} does not hold: {each.detail}" for each in part.assertions if not each.ok
        ]
        context.report = CheckReport(
            snapshots=1, read_bytes=compared.read_bytes, errors=(*compared.differences, *broken)
        )


def _snapshot_of(context: VerifyContext, snapshots: Mapping[str, Snapshot]) -> Snapshot:
    found = snapshots.get(context.snapshot_id)
    if found is None:
        raise SnapshotNotFound(snapshot_id=context.snapshot_id)
    if found.tree != context.tree_id:
        reason = f"it holds tree {found.tree}, not {context.tree_id}"
        raise VaultDamaged(object=f"snapshots/{found.id}", reason=reason)
    return found
