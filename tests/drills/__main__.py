"""`python -m tests.drills --rounds N --seed S`: so many rounds, and a table of what came of them."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.drills.faults import FAULTS, Fault
from tests.drills.rounds import Drill, Line, choose, drill

KINDS = ("postgresql", "mariadb", "sqlite", "together", "own-postgresql", "own-mariadb")
HEAD = ("fault", "rounds", "accepted", "lost", "doubled", "slowest recovery")


def main() -> int:
    args = _arguments()
    seed = random.SystemRandom().randrange(10**9) if args.seed is None else args.seed
    print(f"seed {seed}, {args.database}", flush=True)
    chosen = choose(args.faults, args.database, args.rounds, seed)
    if not chosen:
        print(f"none of these faults can be done on {args.database}")
        return 2
    lines = {fault.name: Line(fault.name) for fault in sorted(chosen, key=lambda fault: fault.name)}
    answers: Counter[int] = Counter()
    damage: list[str] = []
    with ExitStack() as stack:
        top = args.top or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="drill-")))
        while chosen:
            place = top / f"{len(chosen)} to go"
            place.mkdir()
            with drill(place, args.database, seed, handler=args.handler, backlog=args.backlog) as made:
                damage += _run(made, chosen, lines)
                answers += made.load.door.answers
    _print(list(lines.values()), answers, damage)
    return 1 if damage or any(line.problems for line in lines.values()) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.drills", description=__doc__)
    parser.add_argument("--rounds", type=int, default=len(FAULTS))
    parser.add_argument("--seed", type=int)
    parser.add_argument("--database", choices=KINDS, default="postgresql")
    parser.add_argument(
        "--faults", nargs="+", choices=sorted(FAULTS), default=sorted(FAULTS), metavar="FAULT"
    )
    parser.add_argument("--handler", default="default", help="`noop`: operations touch nothing")
    parser.add_argument("--backlog", type=int, default=60, help="operations that wait when the workers start")
    parser.add_argument("--top", type=Path, help="an empty directory whose logs and data stay")
    return parser.parse_args()


def _run(made: Drill, chosen: list[Fault], lines: dict[str, Line]) -> list[str]:
    """Round after round, until a site has a problem: whatever came after it there would prove nothing.

    :param chosen: those that were done are taken out.
    :returns: what is wrong with the bytes of the vault, where no round found anything.
    """
    while chosen:
        fault, began_s = chosen.pop(0), time.monotonic()
        accepted, report = made.round(fault)
        lines[fault.name].add(accepted, report)
        took_s = time.monotonic() - began_s
        said = f"{fault.name:24} {accepted:4} accepted, recovered after {report.recovery_s:4.1f} s"
        print(f"{said}; all took {took_s:.1f} s", *report.problems, sep="\n     ", flush=True)
        if report.problems:
            return []
    return made.check_vault()


def _print(lines: list[Line], answers: Counter[int], damage: list[str]) -> None:
    total = Line("all")
    for line in lines:
        total.rounds += line.rounds
        total.accepted += line.accepted
        total.lost += line.lost
        total.doubled += line.doubled
        total.slowest_s = max(total.slowest_s, line.slowest_s)
    print("\n{:26}{:>8}{:>10}{:>6}{:>9}{:>18}".format(*HEAD))
    for line in (*lines, total):
        counts = f"{line.rounds:8}{line.accepted:10}{line.lost:6}{line.doubled:9}"
        print(f"{line.fault:26}{counts}{line.slowest_s:16.1f} s")
    print("answers by status (0: none):", dict(sorted(answers.items())))
    print(*damage, sep="\n")
    print(sum(len(line.problems) for line in lines) + len(damage), "problems")


if __name__ == "__main__":
    sys.exit(main())
