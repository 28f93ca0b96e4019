"""The state directory: private, and one daemon's at a time."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protectd.common.errors import ConfigurationError, Conflict
from protectd.common.files import atomic_write

LOCK = "protectd.lock"
CREDENTIALS = "credentials.json"


class StateDirectoryInUse(Conflict):
    code = "state_directory.in_use"
    message = "another protectd (process {pid}) runs on {path}"


def prepare(path: Path) -> None:
    """Make the directory, or tighten it, so that only its owner may look in.

    :raises ConfigurationError: it cannot be made, or belongs to someone else.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
    except OSError as error:
        reason = f"cannot be used: {error.strerror}"
        raise ConfigurationError(where=f"state directory {path}", reason=reason) from error


class Lock:
    """Held by the one daemon of a state directory, as long as it lives; the kernel lets go of it at its end.

    The file tells the holder's process id. Children that are started by exec do not inherit it.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK
        self._descriptor = -1

    def take(self) -> None:
        """:raises StateDirectoryInUse: another process holds it."""
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if not self._taken():
            self.release()
            pid = self._path.read_text().strip() or "unknown"
            raise StateDirectoryInUse(pid=pid, path=self._path.parent)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def _taken(self) -> bool:
        """Tries for a moment: `holder` takes the lock too, just to see whether it can."""
        for _ in range(20):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.05)
            else:
                return True
        return False

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def holder(directory: Path) -> int | None:
    """Process id of the daemon that runs on `directory`; None when there is none."""
    try:
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).strip()
        return int(text) if text.isdigit() else None
    else:
        return None
    finally:
        os.close(descriptor)


def read_credentials(directory: Path) -> dict[str, Any]:
    """What `credentials.json` holds; empty when it is missing or no JSON object."""
    try:
        found = json.loads((directory / CREDENTIALS).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_credentials(directory: Path, credentials: Mapping[str, str]) -> None:
    """Replace `credentials.json`, mode 0600; a reader sees the former or the new one, whole."""
    with atomic_write(directory / CREDENTIALS, mode=0o600) as file:
        file.write(json.dumps(dict(credentials), indent=2).encode() + b"\n")
