"""Parts of objects over HTTP: what to ask for, and whether the answer is it, whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from protectd.plugin.banks.statuses import failure
from protectd.plugin.base import BankRefused, BankUnavailable

_CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+|\*)")


class Part(NamedTuple):
    """Where the bytes that were asked for lie in the body of an answer."""

    skip: int
    size: int


def range_header(offset: int, length: int) -> dict[str, str]:
    """:param length: bytes, not zero; -1 for all to the end."""
    if length < 0:
        return {"Range": f"bytes={offset}-"} if offset else {}
    return {"Range": f"bytes={offset}-{offset + length - 1}"}


def part_of(status: int, headers: Mapping[str, str], key: str, offset: int, length: int) -> Part:
    """Judge an answer to `range_header` by its status and headers.

    A server that knows no ranges gives the whole object, which has the part in it.

    :raises BankUnavailable: it is less than was asked for although the object goes on, or something else.
    :raises BankRefused: the server does not say how much it sends, or sends it compressed.
    """
    if status == 416:
        return Part(0, 0)
    if status not in (200, 206):
        raise failure(status, key)
    if headers.get("Content-Encoding", "identity") != "identity":
        raise BankRefused(key=key, reason="the server sends it compressed")
    if status == 206:
        return Part(0, _partial(headers.get("Content-Range", ""), key, offset, length))
    total = _total(headers, key)
    start = min(offset, total)
    return Part(start, total - start if length < 0 else min(length, total - start))


def _partial(content_range: str, key: str, offset: int, length: int) -> int:
    found = _CONTENT_RANGE.fullmatch(content_range.strip())
    if found is None:
        raise BankRefused(key=key, reason="the server sends a part and does not say which")
    first, after = int(found[1]), int(found[2]) + 1
    ends_object = found[3] != "*" and after == int(found[3])
    if first != offset or not (ends_object or after == offset + length):
        raise BankUnavailable(reason=f"asked for {key} from {offset}, the server sends {found[0]}")
    if length >= 0 and after > offset + length:
        raise BankUnavailable(reason=f"the server sends more of {key} than was asked for")
    return max(0, after - first)  # some servers say `bytes 99-9/10` for a part behind the end


def _total(headers: Mapping[str, str], key: str) -> int:
    text = headers.get("Content-Length", "")
    if not (text.isascii() and text.isdigit()):
        raise BankRefused(key=key, reason="the server does not say how long it is")
    return int(text)
