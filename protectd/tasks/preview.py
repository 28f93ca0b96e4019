"""Preview: say what a restore would do. Nothing is written to the target, nothing is left in the vault."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from protectd.common.progress import Progress
from protectd.common.reports import Issue, RestorePreview
from protectd.domain.providers import Provider
from protectd.plugin.base import RestoreContext
from protectd.plugin.outcomes import Job, NothingReported, Outcome
from protectd.tasks.entities import protection_of
from protectd.tasks.env import OpenVault
from protectd.tasks.restore import RestoreCheckpoint
from protectd.tasks.run import Run
from protectd.tasks.saved import Saved, SavedFacts

MAX_NAMED = 1000

COUNTS = ("files", "directories", "links", "others", "data_bytes", "replaced", "same", "blocked")


class PreviewRestore(RestoreCheckpoint):
    """An operation of its own, so that no worker that does not know dry runs takes one for a restore."""

    operation = "preview"
    working_word = "previewing"

    def make_job(
        self, run: Run, provider: Provider, vault: OpenVault, saved: Saved, progress: Progress
    ) -> Job:
        context = self.context_of(run, provider, vault, saved, progress)
        return Job(protection_of(provider, saved.resource).preview(context), context)

    def judge(self, facts: SavedFacts, outcomes: Sequence[Outcome]) -> list[Outcome]:
        return [_judged(outcome) for outcome in outcomes]

    def figures(self, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        told = {outcome.resource.key: seen for outcome in outcomes if (seen := _preview(outcome)) is not None}
        return {"report": report_of(told)} if told else {}


def _preview(outcome: Outcome) -> RestorePreview | None:
    return outcome.context.preview if isinstance(outcome.context, RestoreContext) else None


def _judged(outcome: Outcome) -> Outcome:
    if outcome.ok and _preview(outcome) is None:
        return replace(outcome, error=NothingReported(resource=outcome.resource.key))
    return outcome


def report_of(told: Mapping[str, RestorePreview]) -> dict[str, Any]:
    """What the previews of all resources come to, and each of them, by `type#id`.

    :ivar conflicts: and `issues`: the first 1,000.
    """
    sums: dict[str, Any] = {name: sum(getattr(each, name) for each in told.values()) for name in COUNTS}
    fits = _fits(told.values())
    return sums | {
        "possible": fits and all(each.possible for each in told.values()),
        "fits": fits,
        "conflict_count": sums["replaced"] - sums["same"] + sums["blocked"],
        "conflicts": _named({key: each.conflicts for key, each in told.items()}),
        "issue_count": sum(each.issue_count for each in told.values()),
        "issues": _named({key: each.issues for key, each in told.items()}),
        "resources": {key: _one(each) for key, each in told.items()},
    }


def _fits(told: Any) -> bool:
    """Resources may share a file system."""
    needed: defaultdict[int, int] = defaultdict(int)
    free: dict[int, int] = {}
    for each in told:
        needed[each.device] += each.data_bytes
        free[each.device] = min(each.free_bytes, free.get(each.device, each.free_bytes))
    return all(needed[device] <= free[device] for device in needed)


def _named(found: Mapping[str, Sequence[Issue]]) -> list[dict[str, str]]:
    rows = [
        {"resource": key, "path": each.path, "kind": each.kind, "reason": each.reason}
        for key, issues in found.items()
        for each in issues
    ]
    return rows[:MAX_NAMED]


def _one(seen: RestorePreview) -> dict[str, Any]:
    return {name: getattr(seen, name) for name in COUNTS} | {
        "target": seen.target,
        "exists": seen.exists,
        "writable": seen.writable,
        "free_bytes": seen.free_bytes,
        "fits": seen.fits,
        "possible": seen.possible,
        "refusal": seen.refusal or None,
        "issue_count": seen.issue_count,
        "notes": list(seen.notes),
    }
