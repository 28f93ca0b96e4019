"""Each daemon tells its service manager when it serves, that it goes on, and that it ends."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.fakes.daemons import Daemon, free_port, healthy, running
from tests.fakes.manager import ManagerSocket
from tests.functional.test_commands import config

pytest_plugins = ["tests.fakes.databases"]

WATCHDOG_S = 1.5


@pytest.mark.parametrize("module", ["api", "worker", "engine", "standalone"])
def test_a_daemon_tells_when_it_serves_that_it_goes_on_and_that_it_ends(
    module: str, tmp_path: Path, chosen_url: str
) -> None:
    port = free_port()
    text = f"[api]\nbind_port = {port}\nworkers = 1\n[engine]\npoll_interval_s = 0.5\n"
    file = config(tmp_path, text, chosen_url)
    manager = ManagerSocket(str(tmp_path / "notify"))
    daemon = Daemon(module, ["--config-file", str(file)], tmp_path / "log")
    daemon.environment |= manager.environment(WATCHDOG_S)
    with running(daemon):
        assert manager.hears("READY=1"), daemon.text()
        if module in ("api", "standalone"):
            assert healthy(f"http://127.0.0.1:{port}"), "it has said that it serves"
        assert manager.hears("WATCHDOG=1", times=4), daemon.text()
        assert manager.count("STOPPING=1") == 0
        assert daemon.end()[0] == 0
        assert manager.hears("STOPPING=1", within_s=1)
        assert manager.heard[-1].startswith("STOPPING=1"), "who ends feeds no watchdog"
    manager.close()


def test_an_engine_that_hangs_feeds_no_watchdog(tmp_path: Path, chosen_url: str) -> None:
    """Its threads are stopped where they are; the main loop would go on."""
    file = config(tmp_path, "[engine]\npoll_interval_s = 0.5\n", chosen_url)
    manager = ManagerSocket(str(tmp_path / "notify"))
    daemon = Daemon("engine", ["--config-file", str(file)], tmp_path / "log")
    daemon.command[1:3] = ["-m", "tests.fakes.hanging_engine"]
    daemon.root_on_path()
    daemon.environment |= manager.environment(WATCHDOG_S)
    with running(daemon):
        assert manager.hears("READY=1"), daemon.text()
        deadline = time.monotonic() + 30
        while "no progress of the engine" not in daemon.text() and time.monotonic() < deadline:
            time.sleep(0.1)
        before = manager.count("WATCHDOG=1")
        time.sleep(2 * WATCHDOG_S)
        assert manager.count("WATCHDOG=1") == before and daemon.alive(), daemon.text()
    manager.close()
