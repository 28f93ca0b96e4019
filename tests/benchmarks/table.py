"""Figures of rounds, their medians and ratios."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import median

from tests.benchmarks.sides import Side
from tests.benchmarks.timings import Figures, throughput


class Table:
    """Figures of all rounds; each is printed when it comes, medians and ratios in the end."""

    def __init__(self, case: str) -> None:
        self._case = case
        self._values: dict[tuple[str, str], list[float]] = defaultdict(list)

    def add(self, round: int, side: str, figures: Figures) -> None:
        for name, value in figures.items():
            self._values[side, name].append(value)
        shown = ", ".join(f"{name} {value:.1f}" for name, value in figures.items())
        print(f"{self._case:10} round {round} {side:24} {shown}", flush=True)

    def median(self, side: str, name: str) -> float:
        return median(self._values[side, name])

    def show(self) -> None:
        for side, name in self._values:
            print(f"{self._case:10} median  {side:24} {name} {self.median(side, name):.1f}", flush=True)

    def ratio(self, name: str, side: str, other: str) -> None:
        value = self.median(side, name) / self.median(other, name)
        print(f"{self._case:10} ratio   {name}: {side} / {other} = {value:.2f}", flush=True)


Measure = Callable[[Side], Figures]


def compare(case: str, sides: Sequence[Side], rounds: int, measure: Measure) -> Table:
    """In alternation; the first requests of each turn are not measured."""
    table = Table(case)
    for round in range(1, rounds + 1):
        for side in sides:
            with side.running():
                throughput(side, side.warm_up, 4)
                table.add(round, side.name, measure(side))
    table.show()
    return table
