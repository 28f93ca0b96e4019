"""Durable files: complete or absent, never torn."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from protectd.common.errors import ConfigurationError

MAX_PRIVATE_BYTES = 64 * 1024
FOREIGN_MODE = 0o027
"""Bits that a file with a secret may not have: for others any, for its group writing."""


def sync_directory(path: Path) -> None:
    """Make a rename or creation in `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_write(path: Path, mode: int = 0o600) -> Iterator[BinaryIO]:
    """Write `path` anew: visible under its name only when complete and on disk.

    The temporary file lies beside it as `<name>-tmp-<random>`; it is removed when the body raises.
    """
    temporary = path.with_name(f"{path.name}-tmp-{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            os.fchmod(file.fileno(), mode)
            yield file
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def read_private(path: Path, what: str) -> bytes:
    """What a file with a secret holds, of at most 64 KiB.

    :param what: what it is called in messages.
    :raises ConfigurationError: it cannot be read, is no regular file, or others can get at it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigurationError(where=f"{what} {path}", reason="it is no regular file")
            if mode & FOREIGN_MODE:
                reason = f"mode {stat.S_IMODE(mode):04o} lets others at it; it must be 0600"
                raise ConfigurationError(where=f"{what} {path}", reason=reason)
            return file.read(MAX_PRIVATE_BYTES)
    except OSError as error:
        raise ConfigurationError(where=f"{what} {path}", reason=error.strerror or "cannot be read") from error
