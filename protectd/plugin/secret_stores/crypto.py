"""Secrets sealed with AES-256-GCM: a master key in a file seals project keys, a project key seals secrets."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protectd.plugin.base import MasterKeyMissing, ProjectKey, SecretDamaged, SecretStorePlugin, WrappedKey
from protectd.plugin.secret_stores.master_keys import (
    KEY_BYTES,
    add_master_key,
    drop_master_key,
    name_of,
    read_master_keys,
)

NONCE_BYTES = 12
DIRECT = b"\x01"
"""First byte of what a master key has sealed: project keys, and the secrets of the first days."""

BY_PROJECT = b"\x02"
"""First byte of what a project key has sealed."""


class Box:
    """Sealed text is `version(1) || nonce(12) || AES-256-GCM(plain) || tag(16)`.

    The identity of its row, with the version before it, is the associated data: moved to another row, or
    taken for something else, the bytes do not open.
    """

    def __init__(self, key: bytes, version: bytes) -> None:
        self._cipher = AESGCM(key)
        self._version = version

    def seal(self, plain: bytes, *identity: str) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return self._version + nonce + self._cipher.encrypt(nonce, plain, self._bound_to(identity))

    def open(self, text: bytes, *identity: str) -> bytes:
        """:raises InvalidTag: it is not what was sealed here for this identity."""
        text = bytes(text)
        if text[:1] != self._version or len(text) < 1 + NONCE_BYTES:
            raise InvalidTag
        nonce, rest = text[1 : 1 + NONCE_BYTES], text[1 + NONCE_BYTES :]
        return self._cipher.decrypt(nonce, rest, self._bound_to(identity))

    def _bound_to(self, identity: Sequence[str]) -> bytes:
        """Unambiguous: no id can hold a NUL."""
        return self._version + b"\0".join(part.encode() for part in identity)


class BoxedKey:
    """A project key, or the master key itself for what was sealed before there were project keys."""

    def __init__(self, box: Box, project_id: str, key_id: str) -> None:
        self._box = box
        self._project_id = project_id
        self._key_id = key_id

    def __repr__(self) -> str:
        return f"BoxedKey(key_id={self._key_id})"

    def seal(self, plain: bytes, secret_id: str) -> bytes:
        return self._box.seal(plain, secret_id, self._project_id)

    def open(self, sealed: bytes, secret_id: str) -> bytes:
        try:
            return self._box.open(sealed, secret_id, self._project_id)
        except (InvalidTag, ValueError):
            raise SecretDamaged(secret_id=secret_id, key_id=self._key_id) from None


class CryptoStore(SecretStorePlugin):
    """:param keys: master keys, the newest first.
    :param file: where they were read, to be looked at again when it has changed.
    """

    def __init__(self, *keys: bytes, file: Path | None = None) -> None:
        self._file = file
        self._seen = self._state()
        self._masters = _boxes(keys)

    def __repr__(self) -> str:
        return f"CryptoStore({', '.join(self._masters)})"

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        file = Path(options["master_key_file"])
        return cls(*read_master_keys(file), file=file)

    def master_key_ids(self) -> Sequence[str]:
        return list(self._present())

    def new_key(self, *, key_id: str, project_id: str) -> WrappedKey:
        return self._wrap(secrets.token_bytes(KEY_BYTES), key_id, project_id)

    def unwrap(self, key: WrappedKey, *, key_id: str, project_id: str) -> ProjectKey:
        if not key.wrapped:
            return BoxedKey(self._master(key.master_key_id, key_id), project_id, key.master_key_id)
        return BoxedKey(Box(self._raw(key, key_id, project_id), BY_PROJECT), project_id, key_id)

    def rewrap(self, key: WrappedKey, *, key_id: str, project_id: str) -> WrappedKey:
        return self._wrap(self._raw(key, key_id, project_id), key_id, project_id)

    def add_master_key(self) -> str:
        return super().add_master_key() if self._file is None else add_master_key(self._file)

    def drop_master_key(self, master_key_id: str) -> None:
        if self._file is None:
            super().drop_master_key(master_key_id)
        else:
            drop_master_key(self._file, master_key_id)

    def _wrap(self, raw: bytes, key_id: str, project_id: str) -> WrappedKey:
        name, box = next(iter(self._present().items()))
        return WrappedKey(name, box.seal(raw, key_id, project_id))

    def _raw(self, key: WrappedKey, key_id: str, project_id: str) -> bytes:
        try:
            return self._master(key.master_key_id, key_id).open(key.wrapped, key_id, project_id)
        except (InvalidTag, ValueError):
            raise SecretDamaged(secret_id=key_id, key_id=key.master_key_id) from None

    def _master(self, name: str, key_id: str) -> Box:
        masters = self._masters if name in self._masters else self._present()
        if name not in masters:
            raise MasterKeyMissing(secret_id=key_id, key_id=name)
        return masters[name]

    def _present(self) -> Mapping[str, Box]:
        """The master keys as the file has them now: another process may have added one, or dropped it."""
        state = self._state()
        if self._file is not None and state != self._seen:
            self._masters, self._seen = _boxes(read_master_keys(self._file)), state
        return self._masters

    def _state(self) -> tuple[int, int, int] | None:
        if self._file is None:
            return None
        told = os.stat(self._file)
        return told.st_ino, told.st_mtime_ns, told.st_size


def _boxes(keys: Sequence[bytes]) -> dict[str, Box]:
    return {name_of(key): Box(key, DIRECT) for key in keys}
