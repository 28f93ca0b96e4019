"""What users of a site ask for, one request after the other, and what they were told."""

from __future__ import annotations

import itertools
import random
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.drills.door import Door
from tests.drills.site import Site
from tests.fakes.tree import Entry, tree

PLANS = 4
KEPT = 8
"""Checkpoints; of more than these, some are deleted first."""

PAUSE_S = 0.15
REPLAYED = 0.2
"""Of the requests; each has to have one effect and one answer."""

BIG_BYTES = 24 * 1024 * 1024
KINDS = ("checkpoint",) * 4 + ("restore",) * 3 + ("verification",) + ("delete",) * 2
TABLES = {
    "checkpoint": "checkpoints",
    "delete": "checkpoints",
    "restore": "restores",
    "verification": "verifications",
}

Tree = dict[bytes, Entry]


@dataclass(frozen=True)
class Operation:
    """One that was accepted.

    :ivar tree: what a checkpoint has to hold, or what a restore has to bring back.
    :ivar cancelled: it was asked to end, and may have done so.
    """

    kind: str
    id: str
    key: str
    tree: Tree
    target: Path | None = None
    cancelled: bool = False

    @property
    def table(self) -> str:
        return TABLES[self.kind]


@dataclass
class Plan:
    id: str
    source: Path
    tree: Tree


class Load:
    """Requests of one tenant.

    :ivar operations: accepted since the last round.
    :ivar checkpoints: what each that may be used holds.
    :ivar accepted: how many in all.
    """

    def __init__(self, site: Site, chance: random.Random) -> None:
        self._site = site
        self._chance = chance
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self.door = Door(site, random.Random(chance.random()))
        self.operations: list[Operation] = []
        self.checkpoints: dict[str, Tree] = {}
        self.accepted = 0
        self.provider = self._provider()
        self.plans = [self._new_plan(f"small {number}") for number in range(PLANS)]
        self._bigs: list[Path] = []

    # --- a round ---

    def begin_round(self) -> None:
        """Everything has ended: sources may change now."""
        self.operations = []
        while self._bigs:
            shutil.rmtree(self._bigs.pop())
        for plan in self.plans:
            self._change(plan)

    @contextmanager
    def running(self, count: int) -> Iterator[None]:
        """Ask for `count` operations beside what happens in the block, at its end at the latest."""
        with ThreadPoolExecutor(1, thread_name_prefix="load") as pool:
            asked = pool.submit(self._run, count)
            yield
            asked.result()

    def _run(self, count: int) -> None:
        for _ in range(count):
            self.ask("delete" if len(self.checkpoints) > KEPT else self._chance.choice(KINDS))
            time.sleep(self._chance.uniform(0, 2 * PAUSE_S))

    # --- requests ---

    def ask(self, kind: str) -> Operation | None:
        """One operation of this kind, or a checkpoint where there is nothing to do it with. None: refused."""
        if kind == "checkpoint" or not self.checkpoints:
            return self.protect(self._chance.choice(self.plans))
        checkpoint = self._chance.choice(sorted(self.checkpoints))
        return {"restore": self.restore, "verification": self.verify, "delete": self.delete}[kind](checkpoint)

    def protect(self, plan: Plan) -> Operation | None:
        key = self._key()
        body = {"checkpoint": {"plan_id": plan.id, "extra_info": {"drill": key}}}
        path = f"/providers/{self.provider}/checkpoints"
        return self._post("checkpoint", path, body, key, plan.tree)

    def protect_big(self) -> Operation:
        """One that takes long enough to be met in the middle."""
        plan = self._new_plan(f"big {next(self._numbers)}")
        (plan.source / "data").write_bytes(self._chance.randbytes(BIG_BYTES))
        plan.tree = tree(plan.source)
        self._bigs.append(plan.source)
        made = self.protect(plan)
        assert made is not None, "a checkpoint was refused"
        return made

    def restore(self, checkpoint: str) -> Operation | None:
        key = self._key()
        target = self._site.top / "restored" / key
        body = self._of(checkpoint, {"directory": {"path": str(target)}})
        return self._post(
            "restore", "/restores", {"restore": body}, key, self._tree(checkpoint), target=target
        )

    def verify(self, checkpoint: str) -> Operation | None:
        body = {"verification": self._of(checkpoint, {})}
        return self._post("verification", "/verifications", body, self._key(), {})

    def delete(self, checkpoint: str) -> Operation | None:
        """Accepted also when the answer got lost and the checkpoint is on its way."""
        found = self._tree(checkpoint)
        path = f"/providers/{self.provider}/checkpoints/{checkpoint}"
        status, _ = self.door.persist("DELETE", path)
        if status != 202 and self._shown_status(path) not in ("deleting", "deleted"):
            return None
        self.checkpoints.pop(checkpoint, None)
        return self._accept(Operation("delete", checkpoint, "", found))

    def cancel(self, operation: Operation) -> bool:
        """Ask it to end. False: it had ended."""
        task = self._site.records.task(operation.id)
        status, found = self.door.persist("DELETE", f"/operation_logs/{task.id}")
        assert status in (202, 409), f"cancel {operation.id}: {status} {found}"
        with self._lock:
            place = self.operations.index(operation)
            self.operations[place] = replace(operation, cancelled=status == 202)
        return status == 202

    def _post(
        self,
        kind: str,
        path: str,
        body: dict[str, Any],
        key: str,
        expected: Tree,
        target: Path | None = None,
    ) -> Operation | None:
        """Where a checkpoint has gone in between, no is a fair answer."""
        status, found = self.door.persist("POST", path, body, key)
        if status in (404, 409):
            return None
        assert status == 202, f"POST {path}: {status} {found}"
        if self._chance.random() < REPLAYED:
            again = self.door.persist("POST", path, body, key)
            assert again == (status, found), f"POST {path} again: {again}, not {found}"
        return self._accept(Operation(kind, str(found[kind]["id"]), key, expected, target))

    def _accept(self, operation: Operation) -> Operation:
        with self._lock:
            self.operations.append(operation)
            self.accepted += 1
        return operation

    def _shown_status(self, path: str) -> str:
        status, found = self.door.get(path)
        return "deleted" if status == 404 else str(found.get("checkpoint", {}).get("status"))

    def _of(self, checkpoint: str, parameters: dict[str, Any]) -> dict[str, Any]:
        return {"provider_id": self.provider, "checkpoint_id": checkpoint, "parameters": parameters}

    def _tree(self, checkpoint: str) -> Tree:
        return self.checkpoints.get(checkpoint, {})

    def _key(self) -> str:
        return f"{next(self._numbers)}-{uuid.UUID(int=self._chance.getrandbits(128))}"

    # --- plans ---

    def _provider(self) -> str:
        _, found = self.door.get("/providers?name=default")
        return str(found["providers"][0]["id"])

    def _new_plan(self, name: str) -> Plan:
        source = self._site.top / "sources" / name
        source.mkdir(parents=True)
        resource = {"type": "directory", "name": name, "extra_info": {"path": str(source)}}
        body = {"name": name, "provider_id": self.provider, "parameters": {}, "resources": [resource]}
        status, found = self.door.persist("POST", "/plans", {"plan": body}, self._key())
        assert status == 201, found
        plan = Plan(str(found["plan"]["id"]), source, {})
        self._change(plan)
        return plan

    def _change(self, plan: Plan) -> None:
        """Some of it stays, some is new."""
        fresh = plan.source / f"folder {self._chance.randrange(3)}"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        for number in range(self._chance.randrange(1, 6)):
            size = self._chance.choice((0, 1, 4096, 70_000, 300_000))
            (fresh / f"file {number}").write_bytes(self._chance.randbytes(size))
        (fresh / "link").symlink_to("file 0")
        plan.tree = tree(plan.source)
