"""What is timed of a side that runs."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from statistics import median, quantiles

from tests.benchmarks.line import Line
from tests.benchmarks.load import send
from tests.benchmarks.sides import Side

LOOK_S = 0.002
PAUSE_S = 0.02
SLOW_MS = 200

Figures = dict[str, float]


def throughput(side: Side, count: int, connections: int) -> Figures:
    before_s = side.cpu_s()
    sent = send(side.endpoint, side.requests(), count, connections)
    over_s = side.watch.until_over()
    return {
        "finished/s": count / (over_s - sent.began_s),
        "CPU ms each": (side.cpu_s() - before_s) / count * 1000,
        "accepted/s": sent.per_second,
        "POST p50 ms": median(sent.took_ms),
        "POST p99 ms": p99(sent.took_ms),
    }


def latency(side: Side, count: int) -> Figures:
    line = Line(side.endpoint)
    took = [_one(side, line, number) for number in range(count)]
    line.close()
    return {"p50 ms": median(took), "p99 ms": p99(took), "longest ms": max(took)}


def _one(side: Side, line: Line, number: int) -> float:
    """Milliseconds from the answer to the end of one operation."""
    time.sleep(random.uniform(0, PAUSE_S))
    requests = side.requests()
    id = line.post(requests[number % len(requests)])
    accepted_s = time.monotonic()
    while not side.watch.is_over(id):
        time.sleep(LOOK_S)
    return (time.monotonic() - accepted_s) * 1000


def drain(side: Side, count: int, connections: int) -> Figures:
    """From the first that the new worker has finished: how long it takes to start is another matter."""
    side.stop_workers()
    send(side.endpoint, side.requests(), count, connections)
    began_s = time.monotonic()
    side.start_workers(1)
    first_s = side.watch.until(count - 1)
    left = side.watch.waiting()
    over_s = side.watch.until_over()
    return {"finished/s": left / (over_s - first_s), "first after s": first_s - began_s}


def posts(side: Side, count: int, connections: int) -> Figures:
    sent = send(side.endpoint, side.requests(), count, connections)
    return {
        "p50 ms": median(sent.took_ms),
        "p99 ms": p99(sent.took_ms),
        "longest ms": max(sent.took_ms),
        f"percent over {SLOW_MS} ms": 100 * sum(took > SLOW_MS for took in sent.took_ms) / count,
    }


def p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100)[98]
