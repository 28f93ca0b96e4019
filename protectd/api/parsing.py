"""From bytes to checked values: JSON that every reader would read alike, then the schema of the action."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from protectd.api.errors import MalformedBody
from protectd.common.fields import join, shown

MAX_DEPTH = 32
MAX_INTEGER = 2**63 - 1
_UNFIT = re.compile("[\0\ud800-\udfff]")


def parse_json(raw: bytes) -> Any:
    """Strict JSON: no name twice in an object, no NaN, no NUL, no half of a surrogate pair, no number that
    another reader would round.

    :raises MalformedBody: with the dotted path of the place where that is known.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_number,
        )
    except UnicodeDecodeError:
        raise MalformedBody(field="body", reason="is not UTF-8") from None
    except RecursionError:
        raise MalformedBody(field="body", reason="is nested too deep") from None
    except ValueError:
        raise MalformedBody(field="body", reason="is not valid JSON") from None
    check_value(value, "", 0)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise MalformedBody(field=shown(twice), reason="is given twice")
    return members


def _number(text: str) -> float:
    """`1.0` is an integer, for JSON knows but one kind of numbers."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) <= MAX_INTEGER else value


def _refuse_constant(name: str) -> Any:
    raise MalformedBody(field="body", reason=f"has {name}, which is not JSON")


def check_value(value: Any, path: str, depth: int) -> None:
    """Numbers are compared, never converted: an integer of 400 digits fits into no float."""
    if depth > MAX_DEPTH:
        raise MalformedBody(field=path[:64], reason="is nested too deep")
    if isinstance(value, str):
        check_text(value, path)
    elif isinstance(value, (int, float)) and not abs(value) <= MAX_INTEGER:
        raise MalformedBody(field=path or "body", reason="is a number out of range")
    elif isinstance(value, Mapping):
        for name, member in value.items():
            if _UNFIT.search(name):
                check_text(name, join(path, shown(name)))
            check_value(member, join(path, name), depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_value(item, join(path, index), depth + 1)


def check_text(text: str, path: str) -> None:
    """:raises MalformedBody: text that no database and no file name can hold."""
    if _UNFIT.search(text) is None:
        return
    if "\0" in text:
        raise MalformedBody(field=path or "body", reason="has a NUL character")
    raise MalformedBody(field=path or "body", reason="has half of a surrogate pair")
