"""Key files: the one master key, wrapped with a password, as many times as there are passwords."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from protectd.vault.crypto import MasterKey, Sealer
from protectd.vault.errors import FormatError, UnitDamaged
from protectd.vault.gofmt import clean_text, datetime_text, parse_datetime

SALT_BYTES = 64
_MAX_MEMORY_BYTES = 1 << 30
_MAX_WORK = 1 << 27


@dataclass(frozen=True, slots=True)
class ScryptCost:
    """Parameters of scrypt: memory is 128 * n * r bytes."""

    n: int
    r: int
    p: int

    def check(self) -> None:
        """:raises FormatError: not parameters of scrypt, or so costly that only an attacker would ask."""
        power_of_two = self.n > 1 and self.n & (self.n - 1) == 0
        if not power_of_two or self.r < 1 or self.p < 1:
            raise FormatError(reason="its scrypt parameters are not valid")
        if 128 * self.n * self.r > _MAX_MEMORY_BYTES or self.n * self.r * self.p > _MAX_WORK:
            raise FormatError(reason="its scrypt parameters ask for too much memory or time")


RANDOM_PASSWORD_COST = ScryptCost(16384, 8, 1)
"""Enough for a password of 256 random bits. Never for one that a person chose."""

PERSON_PASSWORD_COST = ScryptCost(32768, 8, 8)


def create_key_file(
    master: MasterKey,
    password: str,
    *,
    created: datetime,
    username: str = "",
    hostname: str = "",
    cost: ScryptCost = RANDOM_PASSWORD_COST,
) -> tuple[str, bytes]:
    """Name and content of a new key file that gives `master` to whoever has the password."""
    salt = os.urandom(SALT_BYTES)
    wrapped = Sealer(_derive(password, salt, cost)).seal(_encode_master(master))
    fields = {
        "created": datetime_text(created),
        "username": clean_text(username),
        "hostname": clean_text(hostname),
        "kdf": "scrypt",
        "N": cost.n,
        "r": cost.r,
        "p": cost.p,
        "salt": _base64(salt),
        "data": _base64(wrapped),
    }
    raw = orjson.dumps(fields)
    return hashlib.sha256(raw).hexdigest(), raw


def open_key_file(raw: bytes, password: str) -> MasterKey | None:
    """The master key, or None when the file belongs to another password.

    :raises FormatError: the file is no key file, or asks for absurd costs.
    """
    cost, salt, wrapped = _parse(raw)
    try:
        plain = Sealer(_derive(password, salt, cost)).open(wrapped)
    except UnitDamaged:
        return None
    return _decode_master(plain)


def key_file_facts(raw: bytes) -> tuple[datetime | None, str, str]:
    """When it was made, and by whom (user and host), as it says itself: nothing proves it.

    :raises FormatError: the file is no key file.
    """
    _parse(raw)
    fields: dict[str, Any] = orjson.loads(raw)
    created = parse_datetime(str(fields["created"])) if fields.get("created") else None
    return created, str(fields.get("username", "")), str(fields.get("hostname", ""))


def _parse(raw: bytes) -> tuple[ScryptCost, bytes, bytes]:
    try:
        fields = orjson.loads(raw)
        if fields["kdf"] != "scrypt":
            raise FormatError(reason="its key derivation is not scrypt")
        cost = ScryptCost(int(fields["N"]), int(fields["r"]), int(fields["p"]))
        salt, wrapped = _unbase64(fields["salt"]), _unbase64(fields["data"])
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(reason="it is not a key file") from error
    if len(salt) != SALT_BYTES:
        raise FormatError(reason="its salt is not 64 bytes")
    cost.check()
    return cost, salt, wrapped


def _derive(password: str, salt: bytes, cost: ScryptCost) -> MasterKey:
    secret = hashlib.scrypt(
        password.encode("utf-8", "surrogateescape"),
        salt=salt,
        n=cost.n,
        r=cost.r,
        p=cost.p,
        maxmem=128 * cost.r * (cost.n + cost.p + 2) + (1 << 20),
        dklen=64,
    )
    return MasterKey(secret[:32], secret[32:48], secret[48:])


def _encode_master(master: MasterKey) -> bytes:
    mac = {"k": _base64(master.mac_k), "r": _base64(master.mac_r)}
    return orjson.dumps({"mac": mac, "encrypt": _base64(master.encrypt)})


def _decode_master(plain: bytes) -> MasterKey:
    try:
        fields: dict[str, Any] = orjson.loads(plain)
        mac = fields["mac"]
        return MasterKey(_unbase64(fields["encrypt"]), _unbase64(mac["k"]), _unbase64(mac["r"]))
    except (KeyError, TypeError, ValueError, UnitDamaged) as error:
        raise FormatError(reason="it wraps something that is no master key") from error


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
