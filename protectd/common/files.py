"""Durable files: complete or absent, never torn."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


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
