"""How fast requests are answered.

python -m tests.benchmarks.api --help

checkpoints  how long a user waits for the answer to a POST of a checkpoint, at rest and while a backup
             runs. A real `protectd` is started on a state directory of its own. First nothing runs; then a
             large tree is being protected the whole time. Each POST asks for a checkpoint of another, small
             plan; its answer is timed at the client, over HTTP
everyday     GET of one, a list of 10 and a POST beside Barbican's; needs MariaDB and RabbitMQ on loopback,
             Barbican is installed from PyPI at the first use
keys         the key manager beside Barbican: secrets shown, read, listed and kept; needs the same
orders       the same of orders, accepted and done
deep         the first page of a long list of checkpoints, and pages deep in it, on PostgreSQL and MariaDB
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

from tests.benchmarks.data import make_tree
from tests.benchmarks.deep import deep
from tests.benchmarks.everyday import KINDS, everyday
from tests.benchmarks.keys import keys, orders
from tests.benchmarks.services import add_places
from tests.fakes.daemons import Standalone, User, running

GIB = 1024**3


@contextmanager
def service(state: Path) -> Iterator[User]:
    daemon = Standalone(state)
    daemon.root_on_path()
    with running(daemon):
        yield daemon.wait()


def post(user: User, path: str, plan: str) -> tuple[str, float]:
    """Ask for a checkpoint: its id, and the milliseconds until the answer was there."""
    began = time.perf_counter()
    made = user.client.post(path, {"checkpoint": {"plan_id": plan}})["checkpoint"]
    return str(made["id"]), (time.perf_counter() - began) * 1000


def at_rest(user: User, path: str, plan: str, count: int) -> list[float]:
    """POSTs one at a time, each checkpoint finished before the next is asked for."""
    times = []
    for _ in range(count):
        checkpoint, took = post(user, path, plan)
        times.append(took)
        user.final_checkpoint(checkpoint)
    return times


def beside_a_backup(user: User, path: str, large: str, small: str, count: int) -> tuple[list[float], bool]:
    """POSTs while the large plan is being protected; and whether it still was after the last of them."""
    backup, _ = post(user, path, large)
    while user.checkpoint(backup)["status"] == "PENDING":
        time.sleep(0.01)
    times = []
    for _ in range(count):
        times.append(post(user, path, small)[1])
        time.sleep(0.1)
    return times, user.checkpoint(backup)["status"] == "protecting"


def show(name: str, times: list[float]) -> None:
    p95 = quantiles(times, n=20)[18]
    print(
        f"{name:20} {len(times)} POSTs: p50 {median(times):.1f} ms, p95 {p95:.1f} ms, max {max(times):.1f} ms"
    )


def checkpoints(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=arguments.disk, prefix="benchmark-api-") as folder:
        base = Path(folder)
        make_tree(base / "large", size=int(arguments.size * GIB), files=arguments.files)
        make_tree(base / "small", size=1 << 20, files=20)
        (base / "state").mkdir()
        os.sync()  # else the trees are still being written while the first answers are timed
        with service(base / "state") as user:
            large, small = user.plan(base / "large"), user.plan(base / "small")
            path = f"/providers/{user.provider()}/checkpoints"
            show("nothing else runs", at_rest(user, path, small, arguments.count))
            times, throughout = beside_a_backup(user, path, large, small, arguments.count)
            show("while a backup runs", times)
            if not throughout:
                print("the backup ended before the last POST: give a larger --size")


CASES: dict[str, Callable[[argparse.Namespace], None]] = {
    "checkpoints": checkpoints,
    "everyday": everyday,
    "keys": keys,
    "orders": orders,
    "deep": deep,
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--cases", default=",".join(CASES), help="some of them, with commas")
    made.add_argument("--count", type=int, default=50, help="POSTs of checkpoints of each kind")
    made.add_argument("--size", type=float, default=4.0, help="GiB that are protected meanwhile")
    made.add_argument("--files", type=int, default=60_000)
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--requests", type=int, default=1000, help="everyday ones of each kind in a round")
    made.add_argument("--orders", type=int, default=1000, help="of keys, in a round")
    made.add_argument("--connections", type=int, default=8, help="that send them, one after the other each")
    made.add_argument("--kinds", default=",".join(KINDS), help="some of the everyday ones, with commas")
    made.add_argument("--checkpoints", type=int, default=1_000_000, help="in the list that is deep")
    add_places(made)
    return made


def main() -> None:
    arguments = parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # databases and queues are removed even then
    print(f"{os.cpu_count()} cores")
    for case in arguments.cases.split(","):
        CASES[case](arguments)


if __name__ == "__main__":
    main()
