"""Keys that orders ask for: which there are, and how they are made. Values in, values out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from protectd.common.errors import InvalidField
from protectd.domain.key_manager.payloads import BYTES

KEY, ASYMMETRIC = "key", "asymmetric"
TYPES = (KEY, ASYMMETRIC)

SYMMETRIC_BITS: Mapping[str, tuple[int, ...]] = {
    "aes": (128, 192, 256),
    "des": (64,),
    "3des": (128, 192),
    "desede": (128, 192),
}
XTS = "xts"
"""A mode that takes two keys in one."""

HMAC = "hmac"
MAX_HMAC_BITS = 8192
RSA_BITS = (1024, 2048, 3072, 4096)
CURVES: Mapping[int, type[ec.EllipticCurve]] = {256: ec.SECP256R1, 384: ec.SECP384R1, 521: ec.SECP521R1}
PUBLIC_EXPONENT = 65_537


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be made. :ivar passphrase: guards a private key; None: it lies in the clear, sealed."""

    type: str
    algorithm: str
    bit_length: int
    mode: str = ""
    passphrase: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Made:
    """One secret of the result. :ivar role: its name in a container; empty where there is none."""

    role: str
    secret_type: str
    plain: bytes = field(repr=False)
    content_type: str = BYTES


def check(wish: Wish) -> None:
    """:raises InvalidField: no such key can be made; nothing is accepted that would fail later."""
    known = _symmetric_bits(wish) if wish.type == KEY else _asymmetric_bits(wish)
    if known is None:
        raise InvalidField(field="meta.algorithm", reason=f"is none that an order of type {wish.type} knows")
    if wish.bit_length not in known:
        shown = ", ".join(map(str, list(known)[:8]))
        raise InvalidField(field="meta.bit_length", reason=f"must be one of {shown} for {wish.algorithm}")
    if wish.passphrase is not None and wish.type == KEY:
        raise InvalidField(field="meta.passphrase", reason="goes with a private key only")
    if wish.passphrase == "":
        raise InvalidField(field="meta.passphrase", reason="is empty")


def _symmetric_bits(wish: Wish) -> Any:
    algorithm = wish.algorithm.lower()
    if algorithm.startswith(HMAC):
        return range(64, MAX_HMAC_BITS + 1, 8)
    known = SYMMETRIC_BITS.get(algorithm)
    if known and algorithm == "aes" and wish.mode.lower() == XTS:
        return tuple(sorted({*known, *(2 * bits for bits in known if bits != 192)}))
    return known


def _asymmetric_bits(wish: Wish) -> Any:
    return {"rsa": RSA_BITS, "ec": tuple(CURVES)}.get(wish.algorithm.lower())


def make(wish: Wish) -> list[Made]:
    """Random keys as wished. The wish was checked."""
    if wish.type == KEY:
        return [Made("", "symmetric", os.urandom(wish.bit_length // 8))]
    made = _key_pair(wish)
    if wish.passphrase is not None:
        made.append(Made("private_key_passphrase", "passphrase", wish.passphrase.encode()))
    return made


def _key_pair(wish: Wish) -> list[Made]:
    """In PEM: PKCS #8, and SubjectPublicKeyInfo."""
    private = _private_key(wish)
    guard: KeySerializationEncryption = NoEncryption()
    if wish.passphrase is not None:
        guard = BestAvailableEncryption(wish.passphrase.encode())
    return [
        Made("private_key", "private", private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, guard)),
        Made(
            "public_key",
            "public",
            private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        ),
    ]


def _private_key(wish: Wish) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    if wish.algorithm.lower() == "rsa":
        return rsa.generate_private_key(PUBLIC_EXPONENT, wish.bit_length)
    return ec.generate_private_key(CURVES[wish.bit_length]())
