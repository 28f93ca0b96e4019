"""The requests that clients make all day, beside Barbican's: the same machine, gunicorn and database.

protectd asks for a token, a policy and its limits and shows plans; Barbican shows secrets, believes who asks
and limits nothing. Figures are medians over rounds, in each of which both sides are asked in turn. Beside
how many are answered in a second stands the processor time of a side's own processes: where others use the
machine it is the surer figure.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from statistics import median

from tests.benchmarks.line import Request
from tests.benchmarks.load import send
from tests.benchmarks.services import sides_of
from tests.benchmarks.sides import Side
from tests.benchmarks.table import Table
from tests.benchmarks.timings import Figures, p99

KINDS = ("GET one", "list of 10", "POST")
RATE, CPU = "/s", "CPU s for 1000"


def everyday(arguments: argparse.Namespace) -> None:
    """Both sides are left running; each rests while the other is asked."""
    with sides_of(arguments) as sides, ExitStack() as stack:
        ours, theirs = sides.guarded, sides.barbican
        for side in (ours, theirs):
            stack.enter_context(side.running(workers=0))
        for kind in arguments.kinds.split(","):
            requests = {side.name: side.everyday()[kind] for side in (ours, theirs)}
            table = alternated(kind, [ours, theirs], requests, arguments)
            table.ratio(RATE, ours.name, theirs.name)
            table.ratio(CPU, theirs.name, ours.name)


def alternated(
    kind: str, sides: Sequence[Side], requests: Mapping[str, Request], arguments: argparse.Namespace
) -> Table:
    """:param requests: by the name of the side."""
    table = Table(kind)
    for round in range(arguments.rounds + 1):
        for side in sides:
            figures = _asked(side, requests[side.name], arguments.requests, arguments.connections)
            if round:  # the first is to warm up
                table.add(round, side.name, figures)
    table.show()
    return table


def _asked(side: Side, request: Request, count: int, connections: int) -> Figures:
    before_s = side.cpu_s()
    sent = send(side.endpoint, [request], count, connections)
    return {
        RATE: sent.per_second,
        CPU: (side.cpu_s() - before_s) / count * 1000,
        "p50 ms": median(sent.took_ms),
        "p99 ms": p99(sent.took_ms),
    }
