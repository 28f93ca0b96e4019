"""One boot of a daemon: proof that the former one, and every process it had, is dead."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from protectd.common.errors import ConfigurationError

MOST = 256
"""Daemons of one kind on one state directory."""

WAIT_S = 20.0
"""The kernel ends the children of a killed process at once, save one that waits for a disk."""

LOOK_S = 0.05


class FormerBootAlive(ConfigurationError):
    code = "boot.former_alive"
    message = "{where}: a process of a former boot has not ended within {wait_s:g} s; end it by hand"


class Boot:
    """A place among the daemons of one kind on a state directory, kept while this process or a child lives.

    The number of the place is part of the owner's name under which leases are held: whoever has the place is
    the only one who may have it, so what a former owner of that name held is nobody's now.

    :ivar number: from 0; the lowest that is free.
    :ivar held: descriptor that children have to inherit.
    """

    def __init__(self, directory: Path, binary: str) -> None:
        self._directory = directory
        self._binary = binary
        self._own = -1
        self.number = -1
        self.held = -1

    def take(self) -> None:
        """:raises ConfigurationError: the directory cannot be used, or is full.
        :raises FormerBootAlive: a child of the former owner of the place has not ended.
        """
        for number in range(MOST):
            self._own = self._open(f"{self._binary}-{number}.lock")
            if _locked(self._own):
                self.number = number
                break
            os.close(self._own)
        else:
            where = f"state directory {self._directory}"
            raise ConfigurationError(where=where, reason=f"{MOST} processes of {self._binary} use it")
        self.held = self._open(f"{self._binary}-{self.number}.children")
        self._wait_for_children()

    def release(self) -> None:
        """Children that still live keep their part."""
        for descriptor in (self.held, self._own):
            if descriptor >= 0:
                os.close(descriptor)
        self.held = self._own = -1

    def _open(self, name: str) -> int:
        try:
            return os.open(
                self._directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except OSError as error:
            where = f"state directory {self._directory}"
            raise ConfigurationError(where=where, reason=f"{name}: {error.strerror}") from error

    def _wait_for_children(self) -> None:
        deadline = time.monotonic() + WAIT_S
        while not _locked(self.held):
            if time.monotonic() > deadline:
                raise FormerBootAlive(where=f"state directory {self._directory}", wait_s=WAIT_S)
            time.sleep(LOOK_S)


def _locked(descriptor: int) -> bool:
    """The lock belongs to what was opened, so that whoever inherits the descriptor holds it too."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
