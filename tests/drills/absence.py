"""A broker that is away for long, while requests come at a steady rate."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.drills.load import Load
from tests.drills.processes import family
from tests.drills.site import Site


@dataclass
class Stretch:
    """What was seen in a stretch of time.

    :ivar took_ms: until the answer to each request.
    :ivar threads: of each daemon with its children; `resident_mib` likewise.
    """

    name: str
    took_ms: list[float] = field(default_factory=list)
    threads: dict[str, int] = field(default_factory=dict)
    resident_mib: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        times = statistics.quantiles(self.took_ms, n=100)
        sizes = ", ".join(
            f"{name} {self.threads[name]} threads {self.resident_mib[name]:.0f} MiB" for name in self.threads
        )
        return (
            f"{self.name}: {len(self.took_ms)} requests, p50 {times[49]:.1f} ms, p99 {times[98]:.1f} ms,"
            f" longest {max(self.took_ms):.1f} ms; {sizes}"
        )


class Watch:
    """Asks for checkpoints, `rate` a second, and looks at the daemons."""

    def __init__(self, site: Site, load: Load, rate: float) -> None:
        self._site = site
        self._load = load
        self._pause_s = 1 / rate

    def stretch(self, name: str, length_s: float) -> Stretch:
        seen, began_s = Stretch(name), time.monotonic()
        while time.monotonic() - began_s < length_s:
            asked_s = time.monotonic()
            assert self._load.ask("checkpoint") is not None, "a request was refused"
            seen.took_ms.append((time.monotonic() - asked_s) * 1000)
            time.sleep(max(0.0, self._pause_s - (time.monotonic() - asked_s)))
        self._weigh(seen)
        print(seen, flush=True)
        return seen

    def _weigh(self, seen: Stretch) -> None:
        for daemon in self._site.daemons:
            name = daemon.log.stem
            seen.threads[name] = _sum(daemon.pid, "Threads:")
            seen.resident_mib[name] = _sum(daemon.pid, "VmRSS:") / 1024


def _sum(pid: int, word: str) -> int:
    return sum(_status(each, word) for each in family(pid))


def _status(pid: int, word: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(word)), 0)


def away(site: Site, watch: Watch, length_s: float, parts: int) -> list[Stretch]:
    """Half of the time whoever connects is turned away, half of it nothing is said."""
    broker = site.broker
    assert broker is not None
    seen: list[Stretch] = []
    ways: tuple[tuple[str, Callable[[], None]], ...] = (("down", broker.down), ("silent", _silence(site)))
    for name, begin in ways:
        begin()
        seen += [watch.stretch(f"{name} {part + 1}/{parts}", length_s / 2 / parts) for part in range(parts)]
    broker.up()
    return seen


def _silence(site: Site) -> Callable[[], None]:
    def begin() -> None:
        assert site.broker is not None
        site.broker.hold()
        site.broker.admit()

    return begin
