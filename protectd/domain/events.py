"""Events: who may fire a trigger, told by a signature that goes with the request. Pure.

The sender computes HMAC-SHA256 with the trigger's secret over the timestamp, a full stop and the body.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta

VERSION = "v1="
TOLERANCE = timedelta(minutes=5)
SECRET_BYTES = 32

_MOST_DIGITS = 11


def new_secret() -> str:
    """256 random bits, as text that goes into a header or a configuration."""
    return secrets.token_urlsafe(SECRET_BYTES)


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """What `X-Protectd-Signature` says.

    :param timestamp: seconds since 1970, as in `X-Protectd-Timestamp`.
    """
    said = timestamp.encode("utf-8", "surrogateescape") + b"." + body
    return VERSION + hmac.new(secret.encode(), said, hashlib.sha256).hexdigest()


def is_signed(secret: str, timestamp: str, signature: str, body: bytes, now: datetime) -> bool:
    """Whether this was signed with the secret, and lately. Takes as long whatever is wrong."""
    wanted = sign(secret, timestamp, body).encode()
    same = hmac.compare_digest(wanted, signature.strip().encode("utf-8", "surrogateescape"))
    return same and _is_lately(timestamp, now)


def key_of(signature: str) -> str:
    """What tells one event from another: the same request that comes twice is one event."""
    return hashlib.sha256(signature.strip().encode("utf-8", "surrogateescape")).hexdigest()


def _is_lately(timestamp: str, now: datetime) -> bool:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _MOST_DIGITS):
        return False
    return abs(now - datetime(1970, 1, 1, tzinfo=UTC) - timedelta(seconds=int(timestamp))) <= TOLERANCE
