"""What a process tells its service manager, on a real socket."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from protectd.cmd.systemd import Notifier, Pulse, Watchdog
from tests.fakes.manager import ManagerSocket


class Seconds:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ManagerSocket]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@protectd-{uuid.uuid4().hex}"
    made = ManagerSocket(address)
    yield made
    made.close()


def test_it_tells_that_it_serves_and_that_it_ends(manager: ManagerSocket) -> None:
    notifier = Notifier.taken(manager.environment(30))
    notifier.ready("serving")
    notifier.stopping()
    assert manager.listen() == ["READY=1\nSTATUS=serving", "STOPPING=1\nSTATUS=ending"]


def test_children_do_not_speak_for_it(manager: ManagerSocket) -> None:
    environ = manager.environment(30) | {"WATCHDOG_PID": str(os.getpid()), "PATH": "/bin"}
    assert Notifier.taken(environ).watchdog_s == 30
    assert environ == {"PATH": "/bin"}


def test_a_watchdog_of_another_process_is_not_fed(manager: ManagerSocket) -> None:
    environ = manager.environment(30) | {"WATCHDOG_PID": "1"}
    assert Notifier.taken(environ).watchdog_s == 0


def test_without_a_manager_nothing_is_said() -> None:
    notifier = Notifier.taken({})
    notifier.ready("serving")
    Watchdog(notifier).look()
    Notifier("/nowhere/at/all", 30).ready("nobody hears it, and that is no error")


def test_it_pings_three_times_in_each_interval_however_often_it_looks(manager: ManagerSocket) -> None:
    seconds = Seconds()
    watchdog = Watchdog(Notifier.taken(manager.environment(30)), monotonic=seconds)
    for _ in range(300):
        watchdog.look()
        seconds.now_s += 0.1
    assert manager.listen() == ["WATCHDOG=1"] * 3


def test_it_pings_only_while_every_part_makes_progress(manager: ManagerSocket) -> None:
    seconds = Seconds()
    parts = [Pulse("the engine", 60, seconds), Pulse("the heartbeat", 60, seconds)]
    watchdog = Watchdog(Notifier.taken(manager.environment(30)), parts, seconds)

    def pings() -> int:
        before = manager.count("WATCHDOG=1")
        seconds.now_s += 10
        watchdog.look()
        return manager.count("WATCHDOG=1") - before

    assert pings() == 1
    seconds.now_s += 35
    parts[0].beat()
    assert pings() == 1
    assert pings() == 0  # the heartbeat's last sign is 65 s old, the engine's is not
    parts[1].beat()
    assert pings() == 1
