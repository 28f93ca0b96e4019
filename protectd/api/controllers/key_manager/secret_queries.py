"""What a list of secrets is asked for, in the words of the key manager's contract."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from protectd.api.call import Call
from protectd.api.controllers.key_manager.base import LIKE, TEXT, WINDOW, listed_project, window
from protectd.api.query import TRUE_WORDS, InvalidQuery
from protectd.api.schemas.common import Schema
from protectd.api.terms import MOMENT, Parameter
from protectd.domain.key_manager import times
from protectd.model.repositories.secrets import COMPARISONS, MOMENTS, PATTERNS, SORT_KEYS, SecretQuery

LOWER, UPPER = ("gt", "gte"), ("lt", "lte")
KEPT = (*PATTERNS, *MOMENTS, "bits", "secret_type", "sort", "acl_only")
"""What links to other pages repeat."""

MAX_BITS = 2**31

_MOMENT: Schema = {"anyOf": [*MOMENT["anyOf"], {"const": ""}]}
_SORT = "|".join(sorted({*SORT_KEYS, "status"}))

QUERY = (
    *WINDOW,
    *(Parameter(name, TEXT, f"only secrets with this {name}{LIKE}") for name in PATTERNS),
    Parameter("bits", TEXT, "only secrets with so many bits; what is no number counts for nothing"),
    Parameter("secret_type", TEXT, "only secrets of this type"),
    *(
        Parameter(name, _MOMENT, "a moment, or bounds such as gt:2030-01-01,lte:2031-01-01")
        for name in MOMENTS
    ),
    Parameter(
        "sort",
        {"type": "string", "pattern": f"^(({_SORT})(:(asc|desc))?)?$"},
        "keys, each once and the first one first, with commas between them; they ascend if nothing is said",
    ),
    Parameter("acl_only", TEXT, "true: secrets of any project whose list of readers has the caller"),
)


def of(call: Call) -> SecretQuery:
    """:raises InvalidQuery: a moment or a key of the order is none, or they contradict each other."""
    values = call.query.values
    limit, offset = window(call)
    listed = values.get("acl_only", "").strip().lower() in TRUE_WORDS
    return SecretQuery(
        project_id=listed_project(call),
        hidden_id=call.runtime.options.service_project_id,
        now=call.runtime.clock.now(),
        limit=limit,
        offset=offset,
        reader_id=call.context.user_id if listed else None,
        patterns={name: values[name] for name in PATTERNS if values.get(name)},
        bits=_bits(values.get("bits", "")),
        secret_type=values.get("secret_type") or None,
        moments=[each for name in MOMENTS if values.get(name) for each in _moments(name, values[name])],
        sort=list(_sort(values.get("sort", ""))),
    )


def kept(call: Call) -> list[tuple[str, str]]:
    return [(name, text) for name, text in call.query.values.items() if name in KEPT]


def _bits(text: str) -> int | None:
    """Junk is ignored, as the contract has it."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0
    return number if 0 < number < MAX_BITS else None


def _moments(name: str, text: str) -> list[tuple[str, str, datetime]]:
    found: list[tuple[str, str, datetime]] = []
    for part in text.split(","):
        head, colon, rest = part.strip().partition(":")
        known = bool(colon) and head in COMPARISONS and head != ""
        comparison, said = (head, rest) if known else ("", part)
        found.append((name, comparison, times.parse(said, name)))
    _check_bounds(name, [comparison for _, comparison, _ in found])
    return found


def _check_bounds(name: str, comparisons: list[str]) -> None:
    for side in (LOWER, UPPER):
        if sum(each in side for each in comparisons) > 1:
            raise InvalidQuery(field=name, reason="has two bounds on one side")
    if "" in comparisons and len(comparisons) > 1:
        raise InvalidQuery(field=name, reason="is one moment, or has bounds")


def _sort(text: str) -> Iterator[tuple[str, bool]]:
    seen = set()
    for term in filter(None, (part.strip() for part in text.split(","))):
        key, _, direction = term.partition(":")
        if key not in SORT_KEYS and key != "status":
            raise InvalidQuery(field="sort", reason="knows " + ", ".join(sorted({*SORT_KEYS, "status"})))
        if key in seen:
            raise InvalidQuery(field="sort", reason=f"names {key} twice")
        if direction not in ("", "asc", "desc"):
            raise InvalidQuery(field="sort", reason="knows the directions asc and desc")
        seen.add(key)
        if key in SORT_KEYS:  # all have one status
            yield key, direction == "desc"
