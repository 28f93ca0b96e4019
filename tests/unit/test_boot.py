from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from protectd.cmd import boot
from protectd.cmd.boot import Boot, FormerBootAlive
from protectd.common.errors import ConfigurationError

BINARY = "protectd-worker"


def taken(directory: Path) -> Boot:
    made = Boot(directory, BINARY)
    made.take()
    return made


def child_of(made: Boot) -> subprocess.Popen[bytes]:
    """A process that lives until it is killed, and holds what children hold."""
    sleep = [sys.executable, "-c", "import signal; signal.pause()"]
    return subprocess.Popen(sleep, pass_fds=[made.held])


def test_each_process_has_a_place_of_its_own(tmp_path):
    boots = [taken(tmp_path) for _ in range(3)]
    assert [made.number for made in boots] == [0, 1, 2]


def test_a_place_is_free_again_when_its_owner_is_gone(tmp_path):
    first, second = taken(tmp_path), taken(tmp_path)
    first.release()
    assert (second.number, taken(tmp_path).number) == (1, 0)


def test_daemons_of_another_kind_have_places_of_their_own(tmp_path):
    taken(tmp_path)
    other = Boot(tmp_path, "protectd")
    other.take()
    assert other.number == 0


def test_a_boot_waits_for_the_children_of_the_one_before(tmp_path):
    before = taken(tmp_path)
    child = child_of(before)
    before.release()
    threading.Timer(0.2, child.send_signal, [signal.SIGKILL]).start()
    assert taken(tmp_path).number == 0
    assert child.wait(10) == -signal.SIGKILL


def test_a_boot_does_not_begin_beside_a_child_of_the_one_before(tmp_path, monkeypatch):
    monkeypatch.setattr(boot, "WAIT_S", 0.2)
    before = taken(tmp_path)
    child = child_of(before)
    before.release()
    try:
        with pytest.raises(FormerBootAlive, match=str(tmp_path)):
            taken(tmp_path)
    finally:
        child.kill()
        child.wait(10)


def test_a_directory_that_cannot_be_used_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="no-such"):
        taken(tmp_path / "no-such")
