"""Asynchronous operations from end to end, beside Barbican's orders: the same machine, database and broker.

    python -m tests.benchmarks.tasks --help

Needs MariaDB, PostgreSQL and RabbitMQ on loopback; Barbican is installed from PyPI at the first use. Each
side is one API of two processes and one worker (protectd: an engine too), started for its turn, ended after
it; sides take turns, and figures are medians over rounds. An operation counts from its POST to the row that
says it is over. Nobody has to log in on either side.

    throughput  operations from several connections, accepted and finished; and the CPU time that a side's own
                processes, not its servers, take for each
    latency     one operation at a time on an idle system: from the answer to the POST until its row, looked
                at every 2 ms, says it is over
    drain       operations that wait when the worker starts
    workers     operations that wait for something else, done by one to four workers
    broker      POSTs while the broker is there, is gone, and takes connections without a word
    history     throughput and latency with a million finished tasks in the table
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable

from tests.benchmarks.services import Sides, add_places, sides_of
from tests.benchmarks.sides import Side
from tests.benchmarks.table import Table, compare
from tests.benchmarks.timings import Figures, drain, latency, posts, throughput


def case_throughput(sides: Sides, arguments: argparse.Namespace) -> None:
    ours, theirs = sides.protectd, sides.barbican
    table = compare(
        "throughput",
        [ours, theirs],
        arguments.rounds,
        lambda side: throughput(side, arguments.count, arguments.connections),
    )
    for name in ("finished/s", "CPU ms each", "accepted/s", "POST p50 ms", "POST p99 ms"):
        table.ratio(name, ours.name, theirs.name)


def case_latency(sides: Sides, arguments: argparse.Namespace) -> None:
    all_sides = [sides.on_postgresql, sides.protectd, sides.barbican]
    table = compare("latency", all_sides, arguments.rounds, lambda side: latency(side, arguments.singles))
    for name in ("p50 ms", "p99 ms"):
        for side in all_sides[:2]:
            table.ratio(name, side.name, sides.barbican.name)


def case_drain(sides: Sides, arguments: argparse.Namespace) -> None:
    ours, theirs = sides.protectd, sides.barbican
    table = compare(
        "drain",
        [ours, theirs],
        arguments.rounds,
        lambda side: drain(side, arguments.count, arguments.connections),
    )
    table.ratio("finished/s", ours.name, theirs.name)


def case_workers(sides: Sides, arguments: argparse.Namespace) -> None:
    table, side = Table("workers"), sides.waiting
    for round in range(1, arguments.rounds + 1):
        for workers in range(1, 5):
            with side.running(workers):
                throughput(side, 2 * workers, 1)
                table.add(round, f"{workers} workers", throughput(side, arguments.waiting, 4))
    table.show()
    for workers in range(2, 5):
        table.ratio("finished/s", f"{workers} workers", "1 workers")


def case_broker(sides: Sides, arguments: argparse.Namespace) -> None:
    table = Table("broker")
    for round in range(1, arguments.rounds + 1):
        for side in (sides.with_broker, sides.without_broker, sides.with_silent_broker):
            with side.running(workers=0):
                for connections in (1, arguments.connections):
                    figures = posts(side, arguments.singles, connections)
                    table.add(round, f"{side.name}, {connections} at once", figures)
    table.show()


def case_history(sides: Sides, arguments: argparse.Namespace) -> None:
    short, long = sides.protectd, sides.with_history

    def measure(side: Side) -> Figures:
        return throughput(side, arguments.count, arguments.connections) | latency(side, arguments.singles)

    table = compare("history", [short, long], arguments.rounds, measure)
    for name in ("finished/s", "accepted/s", "POST p50 ms", "p50 ms", "p99 ms"):
        table.ratio(name, long.name, short.name)


CASES: dict[str, Callable[[Sides, argparse.Namespace], None]] = {
    "throughput": case_throughput,
    "latency": case_latency,
    "drain": case_drain,
    "workers": case_workers,
    "broker": case_broker,
    "history": case_history,
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--cases", default=",".join(CASES), help="some of them, with commas")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--count", type=int, default=1000, help="operations of a round; and those that wait")
    made.add_argument("--connections", type=int, default=8, help="that send them, one after the other each")
    made.add_argument("--singles", type=int, default=300, help="operations that are timed one by one")
    made.add_argument("--waiting", type=int, default=48, help="tasks that wait for something else")
    made.add_argument("--history", type=int, default=1_000_000, help="finished tasks in the table")
    made.add_argument(
        "--handler",
        default="noop",
        choices=["noop", "default"],
        help="of protectd's workers; with `default`, checkpoints of empty directories are really made",
    )
    add_places(made)
    return made


def main() -> None:
    arguments = parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # databases and queues are removed even then
    print(f"{os.cpu_count()} cores")
    with sides_of(arguments) as sides:
        for case in arguments.cases.split(","):
            CASES[case](sides, arguments)


if __name__ == "__main__":
    main()
