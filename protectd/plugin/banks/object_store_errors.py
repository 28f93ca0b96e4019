"""The errors of `obstore` as the contract's.

The library tells the status of an answer in its text only, which also has the request's URL: for some stores
that one is signed. So the few known facts are picked out, and the rest, with the error itself, is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError, InvalidPathError, NotSupportedError

from protectd.common.errors import ProtectdError
from protectd.plugin.banks.statuses import failure
from protectd.plugin.base import BankObjectNotFound, BankRefused, BankUnavailable

_STATUS = re.compile(r"\bstatus: ([1-5][0-9][0-9])\b|\bstatus code: ([1-5][0-9][0-9])\b")
_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,64})</Code>")
_SYSTEM = re.compile(r'message: "([^"\\?]{1,200})"')
_BEYOND = "Wanted range starting at"
_NO_BUCKET = frozenset(("NoSuchBucket", "ContainerNotFound"))
_AGAIN = frozenset(
    ("RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch", "Md5Mismatch")
)
"""Codes of the status 400 that tell of a bad line, not of a bad request."""
_FINAL = (InvalidPathError, NotSupportedError, ValueError)


class OutOfRange(Exception):
    """The part that was asked for begins at the object's end or behind it."""


@contextmanager
def translated(key: str, *, bucket_only: bool = False) -> Iterator[None]:
    """:param bucket_only: that something is not there can only mean the bucket.
    :raises OutOfRange: when reading.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise _missing(key, str(error), bucket_only) from None
    except (BaseError, ValueError) as error:
        raise _told(key, error) from None


def _missing(key: str, text: str, bucket: bool) -> ProtectdError:
    code = _code(text)
    if bucket or code in _NO_BUCKET:
        return BankRefused(key=key or "its root", reason=f"the bucket is not there ({code or 404})")
    return BankObjectNotFound(key=key)


def _told(key: str, error: Exception) -> Exception:
    text = str(error)
    status = _status(text)
    if status == 416 or _BEYOND in text:
        return OutOfRange()
    if status == 404:
        return _missing(key, text, bucket=True)
    if status:
        return failure(408 if _code(text) in _AGAIN else status, key, _code(text))
    if isinstance(error, _FINAL):
        return BankRefused(key=key or "its root", reason=_first_line(text))
    return BankUnavailable(reason=_broken(text))


def _status(text: str) -> int:
    found = _STATUS.search(text)
    return int(found[1] or found[2]) if found else 0


def _code(text: str) -> str:
    found = _CODE.search(text)
    return found[1] if found else ""


def _broken(text: str) -> str:
    """What the system says of a connection, if it says something."""
    if "kind: Timeout" in text:
        return "no answer in time"
    said = _SYSTEM.findall(text)
    return f"the connection broke: {said[-1]}" if said else "the connection broke or the answer is no answer"


def _first_line(text: str) -> str:
    return re.sub(r"https?://\S+", "...", text.partition("\n")[0])[:200]
