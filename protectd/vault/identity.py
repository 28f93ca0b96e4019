"""Who writes to a vault."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WriterIdentity:
    """Who writes: stands in key files and locks. `hostname` is `protectd-<node>`, never a bare host name, for
    restic takes a lock of its own host whose process it cannot see for a stale one."""

    hostname: str
    username: str
    pid: int
