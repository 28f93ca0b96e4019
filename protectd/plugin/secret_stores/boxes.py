"""Sealed texts, and stores whose master keys seal project keys: what all of them have in common."""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protectd.plugin.base import (
    MasterKeyMissing,
    NoMasterKey,
    ProjectKey,
    SecretDamaged,
    SecretStorePlugin,
    WrappedKey,
)

KEY_BYTES = 32
NONCE_BYTES = 12
DIRECT = b"\x01"
"""First byte of what a master key has sealed: project keys, and the secrets of the first days."""

BY_PROJECT = b"\x02"
"""First byte of what a project key has sealed."""


class Cipher(Protocol):
    """AES-256-GCM with one key, wherever that is; the tag of 16 bytes follows the text."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """:raises InvalidTag: it is not what was encrypted."""


class Box:
    """Sealed text is `version(1) || nonce(12) || AES-256-GCM(plain) || tag(16)`.

    The identity of its row, with the version before it, is the associated data: moved to another row, or
    taken for something else, the bytes do not open.
    """

    def __init__(self, cipher: Cipher, version: bytes) -> None:
        self._cipher = cipher
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


class BoxingStore(SecretStorePlugin):
    """A store that differs from others in where its master keys are. Project keys are open in memory."""

    @abstractmethod
    def masters(self) -> Mapping[str, Box]:
        """The master keys there are now by their names, the newest first."""

    def known(self, name: str) -> Box | None:
        """One of the master keys. A store may remember them, and look again for one that it does not know."""
        return self.masters().get(name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.masters())})"

    def master_key_ids(self) -> Sequence[str]:
        return list(self.masters())

    def new_key(self, *, key_id: str, project_id: str) -> WrappedKey:
        return self._wrap(secrets.token_bytes(KEY_BYTES), key_id, project_id)

    def unwrap(self, key: WrappedKey, *, key_id: str, project_id: str) -> ProjectKey:
        if not key.wrapped:
            return BoxedKey(self._master(key.master_key_id, key_id), project_id, key.master_key_id)
        raw = self._raw(key, key_id, project_id)
        return BoxedKey(Box(AESGCM(raw), BY_PROJECT), project_id, key_id)

    def rewrap(self, key: WrappedKey, *, key_id: str, project_id: str) -> WrappedKey:
        return self._wrap(self._raw(key, key_id, project_id), key_id, project_id)

    def take_out(self, key: WrappedKey, *, key_id: str, project_id: str) -> bytes:
        return self._raw(key, key_id, project_id)

    def take_in(self, raw: bytes, *, key_id: str, project_id: str) -> WrappedKey:
        return self._wrap(raw, key_id, project_id)

    def _wrap(self, raw: bytes, key_id: str, project_id: str) -> WrappedKey:
        for name, box in self.masters().items():
            return WrappedKey(name, box.seal(raw, key_id, project_id))
        raise NoMasterKey(secret_id=key_id)

    def _raw(self, key: WrappedKey, key_id: str, project_id: str) -> bytes:
        try:
            return self._master(key.master_key_id, key_id).open(key.wrapped, key_id, project_id)
        except (InvalidTag, ValueError):
            raise SecretDamaged(secret_id=key_id, key_id=key.master_key_id) from None

    def _master(self, name: str, key_id: str) -> Box:
        box = self.known(name)
        if box is None:
            raise MasterKeyMissing(secret_id=key_id, key_id=name)
        return box
