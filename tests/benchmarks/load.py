"""Requests from a fixed number of connections, in a process of its own: its work is not the server's.

Each connection sends its next request when it has the answer to the last, and is kept open where the server
keeps it. Reads a job as JSON, prints what came of it as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.line import Line, Request

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Sent:
    """Moments of the monotonic clock, which all processes of a host share; milliseconds until each answer."""

    began_s: float
    ended_s: float
    took_ms: list[float]

    @property
    def per_second(self) -> float:
        return len(self.took_ms) / (self.ended_s - self.began_s)


def send(endpoint: str, requests: Sequence[Request], count: int, connections: int) -> Sent:
    """Have `count` requests sent by a process of its own; each connection repeats one of `requests`."""
    job = {
        "endpoint": endpoint,
        "requests": [asdict(request) for request in requests],
        "count": count,
        "connections": connections,
    }
    command = [sys.executable, "-m", "tests.benchmarks.load"]
    done = subprocess.run(
        command, input=json.dumps(job), stdout=subprocess.PIPE, text=True, check=True, cwd=CHECKOUT
    )
    return Sent(**json.loads(done.stdout))


def run(endpoint: str, requests: Sequence[Request], count: int, connections: int) -> Sent:
    numbers = iter(range(count))
    with ThreadPoolExecutor(connections) as pool:
        began = time.monotonic()
        lines = [
            pool.submit(_repeat, endpoint, requests[number % len(requests)], numbers)
            for number in range(connections)
        ]
        took = [each for line in lines for each in line.result()]
        return Sent(began, time.monotonic(), took)


def _repeat(endpoint: str, request: Request, numbers: Iterator[int]) -> list[float]:
    line, took = Line(endpoint), []
    for _ in numbers:
        began = time.monotonic()
        line.ask(request)
        took.append((time.monotonic() - began) * 1000)
    line.close()
    return took


def main() -> None:
    job = json.load(sys.stdin)
    requests = [Request(**request) for request in job.pop("requests")]
    print(json.dumps(asdict(run(requests=requests, **job))))


if __name__ == "__main__":
    main()
