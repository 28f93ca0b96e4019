"""Wall time, CPU time and memory of a group of processes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SAMPLE_S = 0.25
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Cost:
    """Seconds, CPU seconds, the highest sum of PSS over all processes, and the repository's size after it."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: int = 0
    stored_bytes: int = 0


@contextmanager
def measured(*, with_self: bool) -> Iterator[Cost]:
    """Measure this process (when asked) and all below it while the block runs."""
    cost, stop = Cost(), threading.Event()
    sampler = threading.Thread(target=_sample, args=(cost, stop, with_self))
    before = _cpu(with_self)
    start = time.monotonic()
    sampler.start()
    try:
        yield cost
    finally:
        cost.wall_s = time.monotonic() - start
        cost.cpu_s = _cpu(with_self) - before
        stop.set()
        sampler.join()


def _sample(cost: Cost, stop: threading.Event, with_self: bool) -> None:
    while not stop.wait(_SAMPLE_S):
        cost.peak_bytes = max(cost.peak_bytes, sum(map(_pss, _processes(with_self))))


def _processes(with_self: bool) -> list[int]:
    found = below(os.getpid())
    return found if with_self else found[1:]


def below(pid: int) -> list[int]:
    """A process and all that came of it and live."""
    found = [pid]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue
    return found


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _cpu(with_self: bool) -> float:
    """Of the living, and of children of this process that have ended."""
    ended = os.times()
    return ended.children_user + ended.children_system + sum(map(cpu_of, _processes(with_self)))


def cpu_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS
