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


PRUNE = "prune"
"""What a lock is for: one at a time marks packs that nobody needs."""
SWEEP = "sweep"
"""What a lock is for: packs go that were marked before. Operations of protectd neither mind it nor hinder it,
for whoever could need those packs has been waited for."""


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock file. `name` is that of its file in the bank, "" before it is stored.

    :ivar id: of the operation that holds it, the same for all files that it stores in turn; "" for those of
        other programs. :ivar does: what it is held for, "" for anything ordinary.
    """

    time: datetime
    exclusive: bool
    hostname: str
    username: str
    pid: int
    name: str = ""
    id: str = ""
    does: str = ""

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
        if self.id:
            fields["protectd"] = {"id": self.id, "does": self.does}
        return orjson.dumps(fields)

    def conflicts(self, other: Lock) -> bool:
        """Whether the two may not be held at the same time."""
        if self.id and other.id:
            if self.does == other.does == PRUNE:
                return True
            if SWEEP in (self.does, other.does):
                return _alone(self) or _alone(other)
        return self.exclusive or other.exclusive


def _alone(lock: Lock) -> bool:
    """Whether it keeps out whoever sweeps, too."""
    return lock.exclusive and lock.does != SWEEP


def decode_lock(raw: bytes, name: str) -> Lock:
    """:raises FormatError: not a lock."""
    try:
        fields = orjson.loads(raw)
        ours = fields.get("protectd") or {}
        return Lock(
            parse_datetime(fields["time"]),
            bool(fields["exclusive"]),
            str(fields.get("hostname", "")),
            str(fields.get("username", "")),
            int(fields.get("pid", 0)),
            name,
            str(ours.get("id", "")),
            str(ours.get("does", "")),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
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
