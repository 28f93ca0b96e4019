"""How an engine works; chosen once, by whoever builds it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from protectd.common.units import MIB
from protectd.vault.repository import WriterIdentity


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """
    :ivar node: names this host in locks and snapshots; the host's name is never used alone (see locks).
    :ivar workers: processes that read, compress and seal; 0 means one a core.
    :ivar pack_bytes: size at which a pack is closed.
    :ivar level: zstd's.
    :ivar lock_wait_s: how long an operation waits for others to leave the vault.
    :ivar in_process: threads of this process in place of children.
    :ivar held: a descriptor that children hold open as long as they live, so that a lock on it tells of them.
    :ivar prepare: picklable; what each child does first, such as beginning to log.
    """

    node: str = field(default_factory=lambda: os.uname().nodename)
    username: str = "protectd"
    workers: int = 0
    pack_bytes: int = 16 * MIB
    level: int = 1
    lock_wait_s: float = 60.0
    in_process: bool = False
    held: int | None = None
    prepare: Callable[[], None] | None = None

    @property
    def worker_count(self) -> int:
        return self.workers or len(os.sched_getaffinity(0))

    def identity(self) -> WriterIdentity:
        """Of the calling process."""
        return WriterIdentity(f"protectd-{self.node}", self.username, os.getpid())
