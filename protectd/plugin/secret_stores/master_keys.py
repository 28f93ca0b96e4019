"""The file of master keys: one a line as base64, the newest first. A file of 32 raw bytes holds one key."""

from __future__ import annotations

import base64
import binascii
import fcntl
import hmac
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from protectd.common.errors import ConfigurationError
from protectd.common.files import atomic_write, read_private, sync_directory
from protectd.plugin.secret_stores.boxes import KEY_BYTES

WHAT = "master key"


def name_of(key: bytes) -> str:
    """What a master key is called in rows and in logs: 16 hex digits that tell nothing of it."""
    return hmac.digest(key, b"protectd master key id", "sha256").hex()[:16]


def read_master_keys(path: Path) -> list[bytes]:
    """The keys that a file holds, 32 bytes each, the newest first; at least one.

    :raises ConfigurationError: there is no such file, others can read it, or it holds something else.
    """
    return _parse(read_private(path, WHAT), path)


def make_master_key(path: Path) -> bool:
    """Make a file with a random master key, durably; one that is there already is kept.

    :returns: whether this call made it. Of several at once, exactly one does.
    """
    temporary = path.with_name(f"{path.name}-tmp-{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            file.write(_text([secrets.token_bytes(KEY_BYTES)]))
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
        sync_directory(path.parent)
    return True


def add_master_key(path: Path) -> str:
    """Put a new random key before the others. :returns: its name."""
    key = secrets.token_bytes(KEY_BYTES)
    _change(path, lambda keys: [key, *keys])
    return name_of(key)


def drop_master_key(path: Path, name: str) -> None:
    """Take a key out of the file: what is sealed with it opens no more. The newest one stays.

    :raises ConfigurationError: it is the newest one, or there is none such.
    """

    def without(keys: list[bytes]) -> list[bytes]:
        if name_of(keys[0]) == name:
            raise _error(path, f"{name} is the newest key; add another one first")
        kept = [key for key in keys if name_of(key) != name]
        if len(kept) == len(keys):
            raise _error(path, f"it holds no key {name}")
        return kept

    _change(path, without)


def _change(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    with _locked(path):
        keys = change(read_master_keys(path))
        owner = path.stat()
        with atomic_write(path, stat.S_IMODE(owner.st_mode)) as file:
            with suppress(PermissionError):  # whoever may not give files away owns this one as well
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(_text(keys))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One at a time changes the file. The lock is on its directory: the file itself is replaced."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _text(keys: Sequence[bytes]) -> bytes:
    return b"".join(base64.b64encode(key) + b"\n" for key in keys)


def _parse(raw: bytes, path: Path) -> list[bytes]:
    keys = [raw]
    if len(raw) != KEY_BYTES:
        with suppress(binascii.Error):
            keys = [base64.b64decode(line, validate=True) for line in raw.split()]
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise _error(path, f"each key in it must be {KEY_BYTES} bytes, raw or as base64 on a line")
    return keys


def _error(path: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(where=f"{WHAT} {path}", reason=reason)
