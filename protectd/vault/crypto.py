"""Sealed units: AES-256-CTR for secrecy, Poly1305-AES for proof.

A unit is `nonce(16) || cipher text(n) || tag(16)`. Nothing binds a unit to its place; whoever opens one
compares what comes out with the id it was asked for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB
from cryptography.hazmat.primitives.poly1305 import Poly1305

from protectd.vault.errors import UnitDamaged

NONCE_BYTES = 16
TAG_BYTES = 16
OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES
_NONCE_BLOCK_BYTES = 16 * 1024
_CLAMP = bytes.fromhex("ffffff0ffcffff0ffcffff0ffcffff0f")
_ZERO_NONCE = bytes(NONCE_BYTES)

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class MasterKey:
    """What every unit of one vault is sealed with: 32 + 16 + 16 bytes. Never shown."""

    encrypt: bytes = field(repr=False)
    mac_k: bytes = field(repr=False)
    mac_r: bytes = field(repr=False)

    def __post_init__(self) -> None:
        lengths = (len(self.encrypt), len(self.mac_k), len(self.mac_r))
        if lengths != (32, 16, 16) or not (any(self.encrypt) and any(self.mac_k) and any(self.mac_r)):
            raise UnitDamaged(reason="the key has a wrong length or is all zero")

    @classmethod
    def generate(cls) -> MasterKey:
        return cls(os.urandom(32), os.urandom(16), clamp(os.urandom(16)))


def clamp(mac_r: bytes) -> bytes:
    """The form of `r` that Poly1305 computes with; some programs store it so, some do not."""
    return bytes(byte & mask for byte, mask in zip(mac_r, _CLAMP, strict=True))


class Sealer:
    """Seals and opens units with one key.

    Holds cipher objects that are reset for each unit (making new ones costs more than a small blob) and a
    block of nonces ahead. Not thread safe: one for each thread. A fork throws the nonces away.
    """

    def __init__(self, key: MasterKey) -> None:
        self._cipher = Cipher(AES(key.encrypt), CTR(_ZERO_NONCE)).encryptor()
        self._one_time = Cipher(AES(key.mac_k), ECB()).encryptor()
        self._mac_r = clamp(key.mac_r)
        self._nonces = b""
        self._pads = b""
        self._next = 0
        self._pid = os.getpid()

    def seal(self, plain: Buffer) -> bytes:
        """The unit that holds `plain`: another one at each call."""
        unit = bytearray(len(plain) + OVERHEAD_BYTES)
        self.seal_into(plain, memoryview(unit))
        return bytes(unit)

    def seal_into(self, plain: Buffer, out: memoryview) -> int:
        """Write the unit to the start of `out`; its length, `len(plain) + 32`.

        `plain` may lie inside `out` only if it starts exactly 16 bytes into it.
        """
        start = self._take_nonce()
        nonce = self._nonces[start : start + NONCE_BYTES]
        one_time_key = self._mac_r + self._pads[start : start + NONCE_BYTES]
        end = NONCE_BYTES + len(plain)
        cipher_text = out[NONCE_BYTES:end]
        self._cipher.reset_nonce(nonce)
        self._cipher.update_into(plain, cipher_text)
        out[:NONCE_BYTES] = nonce
        out[end : end + TAG_BYTES] = Poly1305.generate_tag(one_time_key, cipher_text)
        return end + TAG_BYTES

    def open(self, unit: Buffer) -> bytes:
        """What was sealed. The tag is verified before a byte is used.

        :raises UnitDamaged: too short, changed, or sealed with another key.
        """
        cipher_text = self._verified(memoryview(unit))
        return self._cipher.update(cipher_text)

    def open_into(self, unit: Buffer, out: memoryview) -> int:
        """As `open`, to the start of `out`, which has room for `len(unit) - 16` bytes; the plain length."""
        cipher_text = self._verified(memoryview(unit))
        return self._cipher.update_into(cipher_text, out)

    def _verified(self, unit: memoryview) -> memoryview:
        if len(unit) < OVERHEAD_BYTES:
            raise UnitDamaged(reason="it is shorter than 32 bytes")
        nonce = bytes(unit[:NONCE_BYTES])
        if nonce == _ZERO_NONCE:
            raise UnitDamaged(reason="its nonce is all zero")
        cipher_text = unit[NONCE_BYTES:-TAG_BYTES]
        try:
            key = self._mac_r + self._one_time.update(nonce)
            Poly1305.verify_tag(key, cipher_text, bytes(unit[-TAG_BYTES:]))
        except InvalidSignature:
            raise UnitDamaged(reason="its authentication tag does not fit") from None
        self._cipher.reset_nonce(nonce)
        return cipher_text

    def _take_nonce(self) -> int:
        """Where the next nonce starts in the block; none is given twice, not even after a fork."""
        start = self._next
        if start == len(self._nonces) or self._pid != os.getpid():
            self._nonces = os.urandom(_NONCE_BLOCK_BYTES)
            self._pads = self._one_time.update(self._nonces)
            self._pid = os.getpid()
            start = 0
        self._next = start + NONCE_BYTES
        return start
