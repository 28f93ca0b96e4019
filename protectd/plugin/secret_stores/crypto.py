"""Secrets sealed with AES-256-GCM under a master key that lies in a file."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protectd.common.errors import ConfigurationError
from protectd.common.files import sync_directory
from protectd.plugin.base import SealedSecret, SecretDamaged, SecretStorePlugin

KEY_BYTES = 32
NONCE_BYTES = 12
VERSION = b"\x01"
FOREIGN_MODE = 0o027
"""Bits that a master key's file may not have: for others any, for its group writing."""


class CryptoStore(SecretStorePlugin):
    """A sealed secret is `version(1) || nonce(12) || AES-256-GCM(plain) || tag(16)`.

    Its row's identity is the associated data: moved to another row, the bytes do not open.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self.key_id = hmac.digest(key, b"protectd master key id", "sha256").hex()[:16]

    def __repr__(self) -> str:
        return f"CryptoStore(key_id={self.key_id})"

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        return cls(read_master_key(Path(options["master_key_file"])))

    def seal(self, plain: bytes, *, secret_id: str, project_id: str) -> SealedSecret:
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, plain, _bound_to(secret_id, project_id))
        return SealedSecret(VERSION + nonce + sealed, self.key_id)

    def open(self, sealed: SealedSecret, *, secret_id: str, project_id: str) -> bytes:
        text = bytes(sealed.cipher_text)
        nonce, rest = text[1 : 1 + NONCE_BYTES], text[1 + NONCE_BYTES :]
        try:
            if text[:1] != VERSION or sealed.key_id != self.key_id:
                raise InvalidTag
            return self._cipher.decrypt(nonce, rest, _bound_to(secret_id, project_id))
        except (InvalidTag, ValueError):
            raise SecretDamaged(secret_id=secret_id, key_id=self.key_id) from None


def _bound_to(secret_id: str, project_id: str) -> bytes:
    """Unambiguous: neither id can hold a NUL."""
    return VERSION + b"\0".join((secret_id.encode(), project_id.encode()))


def read_master_key(path: Path) -> bytes:
    """The 32 bytes that a file holds, raw or as base64.

    :raises ConfigurationError: there is no such file, others can read it, or it holds no key.
    """
    try:
        with path.open("rb") as file:
            _refuse_foreign(path, os.fstat(file.fileno()).st_mode)
            return _parse(file.read(1024), path)
    except OSError as error:
        raise ConfigurationError(where=f"master key {path}", reason=error.strerror) from error


def _refuse_foreign(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise ConfigurationError(where=f"master key {path}", reason="it is no regular file")
    if mode & FOREIGN_MODE:
        reason = f"mode {stat.S_IMODE(mode):04o} lets others at it; it must be 0600"
        raise ConfigurationError(where=f"master key {path}", reason=reason)


def _parse(raw: bytes, path: Path) -> bytes:
    key = raw
    if len(raw) != KEY_BYTES:
        with suppress(binascii.Error):
            key = base64.b64decode(raw.strip(), validate=True)
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            where=f"master key {path}", reason=f"it must hold {KEY_BYTES} bytes, raw or as base64"
        )
    return key


def make_master_key(path: Path) -> bool:
    """Make a random master key, durably; one that is there already is kept.

    :returns: whether this call made it. Of several at once, exactly one does.
    """
    temporary = path.with_name(f"{path.name}-tmp-{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
        sync_directory(path.parent)
    return True
