"""What clients ask a key manager for, beside Barbican: the same requests, machine, gunicorn and database.

protectd asks for a token, a policy and its limits, and counts what it keeps; Barbican believes who asks and
limits nothing. Secrets and what is told of them are asked for in alternation while both sides run; orders are
POSTed to one side at a time, with one worker, and count until their row says that they are ACTIVE.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import Any

from tests.benchmarks.barbican import ORDER, SECRET, Barbican
from tests.benchmarks.everyday import CPU, RATE, alternated
from tests.benchmarks.installation import Protectd, Setting
from tests.benchmarks.line import Line, Request
from tests.benchmarks.services import Sides, sides_of
from tests.benchmarks.sides import SHOWN, Side, Watch
from tests.benchmarks.table import compare
from tests.benchmarks.timings import throughput


class KeyManager(Protectd):
    """protectd, asked for keys instead of checkpoints."""

    def __init__(self, name: str, base: Any, setting: Setting) -> None:
        super().__init__(name, base, setting)
        self.watch.close()
        self.watch = Watch(setting.database, "orders", ("PENDING",), "ACTIVE")

    def requests(self) -> list[Request]:
        return [Request("/v1/orders", self.who(), ORDER)]


def secrets_of(side: Side) -> dict[str, Request]:
    """Requests by their names, about secrets that are made here."""
    who, line = side.who(), Line(side.endpoint)
    post = Request("/v1/secrets", who, SECRET)
    made = [line.post(post) for _ in range(SHOWN)]
    line.close()
    path = f"/v1/secrets/{made[0]}"
    return {
        "GET secret": Request(path, who, method="GET"),
        "GET payload": Request(f"{path}/payload", who | {"Accept": "text/plain"}, method="GET"),
        f"list of {SHOWN}": Request(f"/v1/secrets?limit={SHOWN}", who, method="GET"),
        "POST secret": post,
    }


def keys(arguments: argparse.Namespace) -> None:
    with sides_of(arguments) as sides, ExitStack() as stack:
        ours, theirs = _both(sides)
        for side in (ours, theirs):
            stack.enter_context(side.running(workers=0))
        asked = {side.name: secrets_of(side) for side in (ours, theirs)}
        for kind in asked[ours.name]:
            requests = {name: each[kind] for name, each in asked.items()}
            table = alternated(kind, [ours, theirs], requests, arguments)
            table.ratio(RATE, ours.name, theirs.name)
            table.ratio(CPU, theirs.name, ours.name)


def orders(arguments: argparse.Namespace) -> None:
    with sides_of(arguments) as sides:
        ours, theirs = _both(sides)
        table = compare(
            "orders",
            [ours, theirs],
            arguments.rounds,
            lambda side: throughput(side, arguments.orders, arguments.connections),
        )
        for name in ("accepted/s", "finished/s"):
            table.ratio(name, ours.name, theirs.name)
        table.ratio("CPU ms each", theirs.name, ours.name)


def _both(sides: Sides) -> tuple[KeyManager, Barbican]:
    return sides.made(KeyManager, "protectd, guarded", guarded=True), sides.barbican
