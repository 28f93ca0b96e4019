"""Child processes: they answer, fail, die and are replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from protectd.common.errors import ProtectdError
from protectd.vault.errors import VaultDamaged, VaultError, WorkerLost
from protectd.vault.pool import DONE, FAILED, Channel, Pool, ProcessPool, ThreadPool, receive


@dataclass(frozen=True)
class Echo:
    """Says what it was given, and where it runs."""

    word: str

    def run(self, channel: Channel, pool: Pool) -> tuple[str, int]:
        return self.word, os.getpid()


@dataclass(frozen=True)
class Fails:
    error: ProtectdError | OSError

    def run(self, channel: Channel, pool: Pool) -> Any:
        raise self.error


@dataclass(frozen=True)
class Waits:
    """Has a helper; both wait for a message that nobody sends."""

    helper: bool = True

    def run(self, channel: Channel, pool: Pool) -> Any:
        place = pool.start(Waits(helper=False)) if self.helper else None
        child = receive(place)[1] if place is not None else 0
        channel.send(("pids", [os.getpid(), *(child or [])]))
        return channel.recv()


@dataclass(frozen=True)
class Dies:
    def run(self, channel: Channel, pool: Pool) -> Any:
        os._exit(3)


@pytest.fixture(params=["processes", "threads"])
def pool(request: pytest.FixtureRequest) -> Iterator[ProcessPool | ThreadPool]:
    made = ProcessPool() if request.param == "processes" else ThreadPool()
    yield made
    made.close()


@pytest.fixture
def processes() -> Iterator[ProcessPool]:
    with ProcessPool() as pool:
        yield pool


def test_a_role_is_run_and_its_result_comes_back(pool: ProcessPool | ThreadPool) -> None:
    place = pool.start(Echo("word"))
    tag, (word, _) = receive(place)
    pool.release(place)
    assert (tag, word) == (DONE, "word")


@pytest.mark.parametrize("error", [VaultDamaged(object="data/ab", reason="torn"), OSError(28, "full")])
def test_an_error_comes_back_with_its_facts(
    pool: ProcessPool | ThreadPool, error: ProtectdError | OSError
) -> None:
    place = pool.start(Fails(error))
    tag, value = receive(place)
    pool.release(place)
    assert tag == FAILED and isinstance(value, VaultError)
    assert str(error) in str(value)


def test_a_child_is_used_again(processes: ProcessPool) -> None:
    pids = set()
    for _ in range(3):
        place = processes.start(Echo("again"))
        pids.add(receive(place)[1][1])
        processes.release(place)
    assert len(pids) == 1 and os.getpid() not in pids


def test_a_child_that_dies_is_a_lost_worker_and_the_next_one_is_fresh(processes: ProcessPool) -> None:
    place = processes.start(Dies())
    with pytest.raises(WorkerLost):
        receive(place)
    processes.discard(place)
    place = processes.start(Echo("well"))
    assert receive(place)[1][0] == "well"
    processes.release(place)


def test_jobs_that_a_failed_role_left_behind_are_no_roles(processes: ProcessPool) -> None:
    place = processes.start(Fails(VaultError(reason="early")))
    place.channel.send("a job for it")
    place.channel.send(None)
    assert receive(place)[0] == FAILED
    processes.release(place)
    again = processes.start(Echo("next"))
    assert again is place
    assert receive(again)[1][0] == "next"
    processes.release(again)


def test_an_idle_child_that_was_killed_is_replaced(processes: ProcessPool) -> None:
    place = processes.start(Echo("one"))
    pid = receive(place)[1][1]
    processes.release(place)
    os.kill(pid, signal.SIGKILL)
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    place = processes.start(Echo("two"))
    assert receive(place)[1][0] == "two"
    processes.release(place)


PARENT = """
import sys, time
from tests.unit.test_engine_pool import Waits
from protectd.vault.pool import ProcessPool, receive
pool = ProcessPool()
print(*receive(pool.start(Waits()))[1], flush=True)
time.sleep(600)
"""


def test_children_and_their_children_die_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=Path(__file__).parents[2],
    )
    assert parent.stdout is not None
    with parent.stdout:
        pids = list(map(int, parent.stdout.readline().split()))
        parent.kill()
        parent.wait()
    assert len(pids) == 2
    while any(map(_runs, pids)):
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_child_shows_no_secret_in_its_arguments_and_environment(processes: ProcessPool) -> None:
    place = processes.start(Echo("geheimnis"))
    pid = receive(place)[1][1]
    for name in ("cmdline", "environ"):
        assert b"geheimnis" not in Path(f"/proc/{pid}/{name}").read_bytes()
    processes.release(place)
