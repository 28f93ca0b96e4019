"""Lock files: what they say, and whether whoever wrote them is still there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from protectd.common.clock import Clock
from protectd.plugin.base import BankObjectNotFound
from protectd.vault.errors import FormatError, VaultDamaged
from protectd.vault.gofmt import clean_text, datetime_text, parse_datetime
from protectd.vault.repository import LOCKS, Repository, WriterIdentity

STALE_AFTER = timedelta(minutes=30)
_CLOCK_SLACK = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock file. `name` is its id in the bank, "" before it is stored."""

    time: datetime
    exclusive: bool
    hostname: str
    username: str
    pid: int
    name: str = ""

    @property
    def holder(self) -> str:
        return f"{self.username}@{self.hostname} (process {self.pid})"

    def encode(self) -> bytes:
        fields: dict[str, Any] = {
            "time": datetime_text(self.time),
            "exclusive": self.exclusive,
            "hostname": clean_text(self.hostname),
            "username": clean_text(self.username),
            "pid": self.pid,
        }
        return orjson.dumps(fields)


def decode_lock(raw: bytes, name: str) -> Lock:
    """:raises FormatError: not a lock."""
    try:
        fields = orjson.loads(raw)
        return Lock(
            parse_datetime(fields["time"]),
            bool(fields["exclusive"]),
            str(fields.get("hostname", "")),
            str(fields.get("username", "")),
            int(fields.get("pid", 0)),
            name,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(reason="it is not a lock's JSON") from error


def read_locks(repository: Repository) -> list[Lock]:
    """All locks there are; empty files, and those that vanish meanwhile, are none.

    :raises VaultDamaged: one that does not open: nobody can tell whether it excludes us.
    """
    locks = (_read_lock(repository, name) for name in repository.names(LOCKS))
    return [lock for lock in locks if lock is not None]


def _read_lock(repository: Repository, name: str) -> Lock | None:
    key = f"{LOCKS}/{name}"
    try:
        if repository.bank.size(key) == 0:
            return None
        return decode_lock(repository.load_unpacked(LOCKS, name), name)
    except BankObjectNotFound:
        return None
    except FormatError as error:
        raise VaultDamaged(object=key, reason=str(error)) from error


def remove_dead_locks(repository: Repository, identity: WriterIdentity, clock: Clock) -> int:
    """Remove locks that processes of this node left when they died; how many. For a service's start."""
    dead = [lock for lock in read_locks(repository) if is_dead(lock, identity, clock)]
    for lock in dead:
        repository.bank.delete(f"{LOCKS}/{lock.name}")
    return len(dead)


def is_dead(lock: Lock, identity: WriterIdentity, clock: Clock) -> bool:
    """Whether it is a lock of this node that nobody keeps: no such process, or one that is younger than the
    lock (numbers come back, in a container at once), or no refresh for 30 minutes. A node's name is its own,
    so its processes can be asked."""
    if lock.hostname != identity.hostname:
        return False
    if clock.now() - lock.time > STALE_AFTER:
        return True
    started = _process_start(lock.pid)
    return started is None or started > lock.time + _CLOCK_SLACK


def _process_start(pid: int) -> datetime | None:
    """When the process began, None when there is none, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if fields[0] in "ZX":  # it waits for a parent to take note of its end, and does nothing more
            return None
        ticks = int(fields[19])
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None if not _exists(pid) else datetime.min.replace(tzinfo=UTC)
    return datetime.now(UTC) - timedelta(seconds=uptime_s - ticks / os.sysconf("SC_CLK_TCK"))


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
