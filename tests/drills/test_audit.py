"""The auditor of the drills finds what it is there to find."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from sqlalchemy import create_engine, text

from protectd.vault.tags import CHECKPOINT_TAG
from tests.drills.audit import Auditor, Report
from tests.drills.builders import together
from tests.drills.load import Load, Operation
from tests.drills.processes import MARK
from tests.drills.site import Site


class Ground:
    """A site with three checkpoints, where nothing is wrong."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.load = Load(site, random.Random(1))
        self.auditor = Auditor(site, self.load)
        self.operations = [self._protect(number) for number in range(3)]

    def _protect(self, number: int) -> Operation:
        made = self.load.protect(self.load.plans[number])
        assert made is not None
        return made

    def audit(self, *operations: Operation) -> Report:
        self.load.operations = list(operations)
        return self.auditor.audit(over_s=time.monotonic())

    def restic(self, *arguments: str) -> str:
        command = ["restic", "--no-cache", "--json", *arguments]
        done = subprocess.run(command, env=self.site.restic(), check=True, capture_output=True, text=True)
        return done.stdout

    def snapshot(self, operation: Operation) -> Path:
        tag = CHECKPOINT_TAG + operation.id
        [found] = json.loads(self.restic("snapshots", "--tag", tag))
        return self.site.vault / "snapshots" / str(found["id"])

    def write(self, statement: str, **values: str) -> None:
        engine = create_engine(f"sqlite:///{self.site.top}/state/protectd.db")
        with engine.begin() as connection:
            connection.execute(text(statement), values)
        engine.dispose()


def test_whatever_is_wrong_is_named(tmp_path: Path) -> None:
    with together(tmp_path) as site:
        ground = Ground(site)
        one, two, three = ground.operations
        assert ground.audit(one, two, three).problems == []
        assert_other_bytes_are_found(ground, one, two)
        assert_traces_are_found(ground, one, two, three)


def assert_other_bytes_are_found(ground: Ground, one: Operation, two: Operation) -> None:
    report = ground.audit(replace(one, tree=two.tree))
    assert report.problems != []
    assert all(line.startswith("restore") for line in report.problems)


def assert_traces_are_found(ground: Ground, one: Operation, two: Operation, three: Operation) -> None:
    """Each does not hide the others."""
    lock = ground.site.vault / "locks" / ("0" * 64)
    ground.restic("backup", "--tag", CHECKPOINT_TAG + one.id, str(ground.load.plans[0].source))
    ground.snapshot(two).unlink()
    ground.write("UPDATE checkpoints SET status = 'error' WHERE id = :id", id=three.id)
    del ground.load.checkpoints[three.id]
    info = "UPDATE checkpoints SET extra_info = :info WHERE id = :id"
    ground.write(info, info=json.dumps({"drill": one.key}), id=two.id)
    ground.write("UPDATE checkpoint_resources SET status = 'protecting' WHERE checkpoint_id = :id", id=one.id)
    with subprocess.Popen(["sleep", "60"], env=os.environ | {MARK: ground.site.mark}) as orphan:
        lock.write_bytes(b"")
        report = ground.audit(one, two, three)
        orphan.kill()
    problems = "\n".join(report.problems)
    assert f"the vault holds 1 too many of {one.id}" in problems
    assert f"checkpoint {two.id} is available and not in the vault" in problems
    assert f"checkpoint {three.id} is error" in problems
    assert f"the vault holds 1 too many of {three.id}" in problems
    assert f"request {one.key} had 2 effects" in problems
    assert "is protecting and nobody works on it" in problems
    assert f"process {orphan.pid} has outlived its daemon" in problems
    assert f"a lock is left: {lock.name}" in problems
    assert report.doubled == 3
