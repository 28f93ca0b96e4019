"""A chain of audit events: each one names the hash of the one before. Values in, values out.

An event is a line of JSON: its number, what happened, the hash of the line before it and its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from protectd.common.errors import ProtectdError

START = "0" * 64
"""In place of a hash before the first event."""

BEGIN, END = "begin", "end"


class ChainBroken(ProtectdError):
    code = "audit.chain_broken"
    message = "event {number}: {reason}"


@dataclass(frozen=True, slots=True)
class Head:
    """How far a chain has come. :ivar ended: nothing comes after it."""

    count: int = 0
    hash: str = START
    ended: bool = False


def link(head: Head, event: Mapping[str, Any]) -> tuple[bytes, Head]:
    """The line of the next event, and the head behind it. :param event: holds no `n`, `previous`, `hash`."""
    told = {"n": head.count, **event, "previous": head.hash}
    hashed = _hash(told)
    line = json.dumps(told | {"hash": hashed}, separators=(",", ":")).encode() + b"\n"
    return line, Head(head.count + 1, hashed, event.get("event") == END)


def walk(lines: Iterator[bytes]) -> Iterator[Head]:
    """The head behind each event of a chain.

    :raises ChainBroken: the first event that is not what was written there. A last line without an end is
        one that the writer was cut off in.
    """
    head = Head()
    for line in lines:
        if not line.endswith(b"\n"):
            return
        head = _checked(head, line)
        yield head


def _checked(head: Head, line: bytes) -> Head:
    if head.ended:
        raise ChainBroken(number=head.count, reason="comes behind the end")
    try:
        told = dict(json.loads(line))
        hashed = told.pop("hash")
    except (ValueError, KeyError, TypeError):
        raise ChainBroken(number=head.count, reason="is no event") from None
    if told.get("n") != head.count or told.get("previous") != head.hash:
        raise ChainBroken(number=head.count, reason="does not follow the one before")
    if hashed != _hash(told):
        raise ChainBroken(number=head.count, reason="has been changed")
    return Head(head.count + 1, hashed, told.get("event") == END)


def _hash(told: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
