"""The vault's own record: version, identity, and the polynomial that restic cuts files with."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field

import orjson

from protectd.vault.errors import FormatError, UnsupportedVault

VERSION = 2
_DEGREE = 53
is_id = re.compile(r"[0-9a-f]{64}").fullmatch


@dataclass(frozen=True, slots=True)
class VaultConfig:
    """`id` is 64 hex digits; `polynomial` is a secret, irreducible over GF(2), of degree 53."""

    id: str
    polynomial: int = field(repr=False)
    version: int = VERSION

    @classmethod
    def generate(cls) -> VaultConfig:
        return cls(secrets.token_hex(32), random_polynomial())

    def encode(self) -> bytes:
        fields = {"version": self.version, "id": self.id, "chunker_polynomial": f"{self.polynomial:x}"}
        return orjson.dumps(fields)


def decode_config(raw: bytes) -> VaultConfig:
    """:raises UnsupportedVault: another version. :raises FormatError: not a config."""
    try:
        fields = orjson.loads(raw)
        version, identity = fields["version"], fields["id"]
        polynomial = int(fields["chunker_polynomial"], 16)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(reason="it is not a vault's config") from error
    if version != VERSION:
        raise UnsupportedVault(version=version)
    if not isinstance(identity, str) or not is_id(identity) or not is_irreducible(polynomial):
        raise FormatError(reason="its id or its polynomial is not valid")
    return VaultConfig(identity, polynomial)


def random_polynomial() -> int:
    """An irreducible polynomial of degree 53; about 27 tries, milliseconds."""
    while True:
        polynomial = secrets.randbits(_DEGREE + 1) | 1 << _DEGREE | 1
        if is_irreducible(polynomial):
            return polynomial


def is_irreducible(polynomial: int) -> bool:
    """Ben-Or: no x^(2^i) - x up to half the degree shares a factor with it. False unless of degree 53."""
    if polynomial.bit_length() != _DEGREE + 1:
        return False
    power = 2
    for _ in range(_DEGREE // 2):
        power = _square(power, polynomial)
        if _gcd(power ^ 2, polynomial) != 1:
            return False
    return True


def _square(value: int, modulus: int) -> int:
    # Over GF(2) squaring spreads the bits: read the binary digits as base 4.
    return _remainder(int(f"{value:b}", 4), modulus)


def _remainder(value: int, modulus: int) -> int:
    length = modulus.bit_length()
    while (excess := value.bit_length() - length) >= 0:
        value ^= modulus << excess
    return value


def _gcd(one: int, other: int) -> int:
    while other:
        one, other = other, _remainder(one, other)
    return one
