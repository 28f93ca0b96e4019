"""Processes of a site: found by a mark in their environment, signaled with all that they have started."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.fakes.daemons import Daemon

MARK = "PROTECTD_DRILL"


def parents() -> dict[int, int]:
    """Parent of each process that is more than remains."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if state not in "ZX":
                found[int(path.parent.name)] = int(parent)
    return found


def family(pid: int) -> list[int]:
    """A process and its descendants, eldest first."""
    known, found = parents(), [pid]
    for each in found:
        found += [child for child, parent in known.items() if parent == each]
    return found


def signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def kill(daemon: Daemon, *, whole: bool = True) -> None:
    """End it as a failing machine does; its children by themselves unless `whole`."""
    signal_all(family(daemon.pid) if whole else [daemon.pid], signal.SIGKILL)
    assert daemon.process is not None
    daemon.process.wait(10)


def marked(mark: str) -> set[int]:
    """Every living process that was started with this mark."""
    wanted, found = f"{MARK}={mark}".encode(), set()
    for pid in parents():
        with suppress(OSError):
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.add(pid)
    return found


def orphans(mark: str, daemons: list[Daemon]) -> set[int]:
    """Processes of a site that belong to no daemon that lives."""
    kept = {pid for daemon in daemons if daemon.alive() for pid in family(daemon.pid)}
    return marked(mark) - kept
