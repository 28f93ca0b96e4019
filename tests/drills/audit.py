"""What is looked at after each round: every operation, every byte, every trace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protectd.plugin.banks.filesystem import LEFTOVER_AGE_S, TEMPORARY, FilesystemBank
from protectd.vault.tags import CHECKPOINT_TAG, MANIFEST_TAG
from tests.drills.load import Load, Operation, Tree
from tests.drills.processes import orphans
from tests.drills.site import Site
from tests.fakes.servers import need_program
from tests.fakes.tree import differences, tree

TERMINAL_S = 60.0
"""Everything is at its end so long after the last fault, and more with many tasks."""

TASK_S = 0.6
LOOK_S = 0.05
OUTLIVES_S = 5.0
"""The children of what was killed end by themselves so soon."""

GOOD = {
    "checkpoint": ("available", "deleted"),
    "restore": ("success",),
    "verification": ("success",),
    "delete": ("deleted",),
}
UNFINISHED = {
    "checkpoints": ("PENDING", "protecting", "deleting"),
    "restores": ("PENDING", "in_progress"),
    "verifications": ("PENDING", "in_progress"),
    "checkpoint_resources": ("PENDING", "protecting", "restoring", "deleting"),
}


@dataclass
class Report:
    """:ivar lost: accepted operations that vanished, failed, did not end, or brought back other bytes.
    :ivar doubled: effects that came more than once.
    :ivar problems: one line each, those above included.
    """

    recovery_s: float = 0.0
    lost: int = 0
    doubled: int = 0
    problems: list[str] = field(default_factory=list)

    def say(self, *lines: str) -> None:
        self.problems += lines


class Auditor:
    def __init__(self, site: Site, load: Load) -> None:
        self._site = site
        self._load = load
        self._restic = [need_program("restic"), "--no-cache", "--no-lock", "--json"]
        self._environment: dict[str, str] | None = None

    def audit(self, *, over_s: float) -> Report:
        """:param over_s: when the last fault was over, by the monotonic clock."""
        report = Report()
        ended = self._wait(report, over_s)
        for operation in list(self._load.operations):
            self._look(report, operation)
        self._no_row_is_on_its_way(report)
        self._no_request_had_two_effects(report)
        if ended and not self._site.simulated:
            self._every_checkpoint_restores(report)
            self._vault_holds_each_once(report)
            self._nothing_is_left(report)
        self._no_orphans(report)
        return report

    def check_vault(self) -> list[str]:
        """Every byte, by restic."""
        return [] if self._site.simulated else self._run("check", "--read-data")[1]

    # --- the end of everything ---

    def _wait(self, report: Report, over_s: float) -> bool:
        """Until no task is under way. False: some still are, beyond the bound."""
        bound_s = TERMINAL_S + TASK_S * len(self._load.operations)
        while unfinished := self._site.records.unfinished():
            if time.monotonic() - over_s > bound_s:
                report.say(*(f"not ended after {bound_s:.0f} s: {line}" for line in unfinished))
                break
            time.sleep(LOOK_S)
        report.recovery_s = max(report.recovery_s, time.monotonic() - over_s)
        return not unfinished

    def _look(self, report: Report, operation: Operation) -> None:
        status = self._site.records.status(operation.table, operation.id)
        if operation.cancelled and self._was_cancelled(operation):
            return
        if status not in GOOD[operation.kind]:
            report.lost += 1
            report.say(f"{operation.kind} {operation.id} is {status}: {self._reason(operation)}")
        elif operation.kind == "restore" and not self._site.simulated:
            self._same(report, f"restore {operation.id}", operation.tree, operation.target)
        elif operation.kind == "checkpoint" and status == "available":
            self._load.checkpoints[operation.id] = operation.tree

    def _was_cancelled(self, operation: Operation) -> bool:
        query = f"SELECT error_code FROM {operation.table} WHERE id = :id"
        return bool(self._site.records.value(query, id=operation.id) == "cancelled")

    def _reason(self, operation: Operation) -> str:
        rows = self._site.records.rows(
            f"SELECT error_code, error_message FROM {operation.table} WHERE id = :id", id=operation.id
        )
        task = self._site.records.task(operation.id)
        return f"{rows} task {task}"

    def _no_row_is_on_its_way(self, report: Report) -> None:
        for table, words in UNFINISHED.items():
            named = ", ".join(f"'{word}'" for word in words)
            rows = self._site.records.rows(f"SELECT id, status FROM {table} WHERE status IN ({named})")
            report.say(*(f"{table} {row.id} is {row.status} and nobody works on it" for row in rows))

    def _no_request_had_two_effects(self, report: Report) -> None:
        """By the mark that each request has put into what it asked for."""
        rows = self._site.records.rows("SELECT extra_info FROM checkpoints WHERE extra_info IS NOT NULL")
        keys = Counter(_parsed(row[0]).get("drill") for row in rows)
        rows = self._site.records.rows("SELECT parameters FROM restores")
        keys += Counter(_parsed(row[0]).get("directory", {}).get("path") for row in rows)
        twice = [key for key, count in keys.items() if key is not None and count > 1]
        report.doubled += len(twice)
        report.say(*(f"request {key} had {keys[key]} effects" for key in twice))

    # --- the bytes ---

    def _every_checkpoint_restores(self, report: Report) -> None:
        asked = [self._load.restore(id) for id in sorted(self._load.checkpoints)]
        self._wait(Report(), time.monotonic())
        for operation in asked:
            assert operation is not None, "an available checkpoint cannot be restored"
            self._look(report, operation)

    def _same(self, report: Report, what: str, expected: Tree, target: Path | None) -> None:
        assert target is not None
        found = differences(expected, tree(target)) if target.exists() else [f"{target} is not there"]
        report.lost += bool(found)
        report.say(*(f"{what}: {line}" for line in found[:5]))
        shutil.rmtree(target, ignore_errors=True)

    def _vault_holds_each_once(self, report: Report) -> None:
        rows = self._site.records.rows("SELECT id FROM checkpoints WHERE status = 'available'")
        wanted, (held, described) = Counter(row[0] for row in rows), self._snapshots(report)
        for id in sorted(wanted - held):
            report.lost += 1
            report.say(f"checkpoint {id} is available and not in the vault")
        surplus = held - wanted
        report.doubled += surplus.total()
        report.say(*(f"the vault holds {count} too many of {id}" for id, count in surplus.items()))
        report.say(*(f"checkpoint {id} is not described" for id in sorted(wanted - described)))
        report.say(*(f"the vault describes {id}, or too often" for id in sorted(described - wanted)))

    def _snapshots(self, report: Report) -> tuple[Counter[str], Counter[str]]:
        """Which checkpoint each snapshot holds data of, and which it describes."""
        output, errors = self._run("snapshots")
        report.say(*errors)
        found: list[dict[str, Any]] = [] if errors else json.loads(output)
        tags = [" ".join(each["tags"]) for each in found]
        data = [each for each in tags if MANIFEST_TAG not in each]
        return Counter(map(_of(CHECKPOINT_TAG), data)), Counter(
            _of(MANIFEST_TAG)(each) for each in tags if each not in data
        )

    # --- the traces ---

    def _nothing_is_left(self, report: Report) -> None:
        output, errors = self._run("list", "locks")
        report.say(*errors, *(f"a lock is left: {line}" for line in output.split()))
        self._age_temporary_files()
        FilesystemBank.from_options({"path": str(self._site.bank)}).prepare()
        report.say(*(f"a temporary file is left: {path}" for path in self._temporary_files()))

    def _age_temporary_files(self) -> None:
        """What a death in the middle leaves goes a day later."""
        long_ago = time.time() - LEFTOVER_AGE_S - 60
        for path in self._temporary_files():
            os.utime(path, (long_ago, long_ago))

    def _temporary_files(self) -> list[Path]:
        return [path for path in self._site.bank.rglob("*") if TEMPORARY.fullmatch(path.name)]

    def _no_orphans(self, report: Report) -> None:
        deadline = time.monotonic() + OUTLIVES_S
        while found := orphans(self._site.mark, self._site.daemons):
            if time.monotonic() > deadline:
                report.say(*(f"process {pid} has outlived its daemon" for pid in found))
                return
            time.sleep(LOOK_S)

    def _run(self, *arguments: str) -> tuple[str, list[str]]:
        """What restic prints, and its errors."""
        if self._environment is None:
            self._environment = self._site.restic()
        done = subprocess.run(
            [*self._restic, *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        wrong = done.returncode != 0
        return done.stdout, [f"restic {arguments[0]}: {done.stderr}{done.stdout}"] if wrong else []


def _parsed(value: Any) -> dict[str, Any]:
    """What a column of JSON holds, whether or not the driver has read it."""
    found = json.loads(value) if isinstance(value, str | bytes) else value
    return found if isinstance(found, dict) else {}


def _of(prefix: str) -> Callable[[str], str]:
    """From the tags of a snapshot, what follows this one."""
    return lambda tags: next(
        (each.removeprefix(prefix) for each in tags.split() if each.startswith(prefix)), ""
    )
