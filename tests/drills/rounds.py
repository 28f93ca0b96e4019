"""Rounds: a fault while a load runs, everything healed, everything looked at, one line for each fault."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.drills.audit import Auditor, Report
from tests.drills.builders import separate, together
from tests.drills.faults import FAULTS, Fault
from tests.drills.load import Load
from tests.drills.scene import Scene
from tests.drills.site import Site


@dataclass
class Line:
    """What came of all rounds with one fault."""

    fault: str
    rounds: int = 0
    accepted: int = 0
    lost: int = 0
    doubled: int = 0
    slowest_s: float = 0.0
    problems: list[str] = field(default_factory=list)

    def add(self, accepted: int, report: Report) -> None:
        self.rounds += 1
        self.accepted += accepted
        self.lost += report.lost
        self.doubled += report.doubled
        self.slowest_s = max(self.slowest_s, report.recovery_s)
        self.problems += report.problems


class Drill:
    """One site and what is done to it, in an order that the seed gives."""

    def __init__(self, site: Site, kind: str, seed: int, backlog: int) -> None:
        self._chance = random.Random(seed)
        self._kind = kind
        self.load = Load(site, random.Random(seed + 1))
        self._auditor = Auditor(site, self.load)
        self._scene = Scene(site, self.load, self._chance, backlog)

    def fits(self, fault: Fault) -> bool:
        return self._kind in fault.kinds

    def round(self, fault: Fault) -> tuple[int, Report]:
        """:returns: how many operations were accepted, and what the audit found."""
        self.load.begin_round()
        before = self.load.accepted
        missed = self._inject(fault)
        over_s = time.monotonic()
        self._scene.site.heal()
        accepted = self.load.accepted - before
        report = self._auditor.audit(over_s=over_s)
        report.say(*missed)
        return accepted, report

    def _inject(self, fault: Fault) -> list[str]:
        """:returns: what did not happen that should have, while the fault was there."""
        try:
            with self.load.running(fault.load):
                fault.inject(self._scene)
        except AssertionError as error:
            return [str(error)]
        return []

    def check_vault(self) -> list[str]:
        return self._auditor.check_vault()


@contextmanager
def drill(top: Path, kind: str, seed: int, *, handler: str = "default", backlog: int = 60) -> Iterator[Drill]:
    """:param kind: of database; `together`: one process with a small disk; as for `separate` otherwise."""
    site: AbstractContextManager[Site] = (
        together(top) if kind == "together" else separate(top, kind, handler=handler)
    )
    with site as made:
        yield Drill(made, kind, seed, backlog)


def choose(names: Iterable[str], kind: str, rounds: int, seed: int) -> list[Fault]:
    """As many as rounds, each as often as the others, in an order of their own."""
    fitting = [FAULTS[name] for name in names if kind in FAULTS[name].kinds]
    chance, chosen = random.Random(seed), list[Fault]()
    while len(chosen) < rounds:
        chosen += chance.sample(fitting, len(fitting))
    return chosen[:rounds]
