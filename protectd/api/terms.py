"""What requests and answers are held to. Controllers check by it, and the document tells it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from protectd.api.query import MAX_NUMBER, MAX_VALUE_CHARACTERS
from protectd.api.schemas.common import Schema
from protectd.domain.providers import Protectables, Providers
from protectd.domain.validation import NO_NUL

SORT_KEYS = ("id", "name", "status", "created_at")
"""What the contract's client asks for on any list. Where a list has no such column the key is left out."""

Narrowed = Callable[[Providers, Protectables], Schema]


@dataclass(frozen=True)
class Parameter:
    """Something that may stand in the query.

    :ivar filters: it narrows a list by a text, as it stands.
    :ivar in_json: its value is written in JSON.
    """

    name: str
    schema: Schema
    description: str
    filters: bool = False
    in_json: bool = False


@dataclass(frozen=True)
class Terms:
    """Those of one verb of a path.

    :ivar answers: JSON Schema of the body by status; None: no body.
    :ivar body: schema of the body; None: none is read.
    :ivar narrowed: the body as the providers and types that there are leave it: what else would be refused
        behind the schema is told in the document already.
    :ivar takes: types of a body that is no JSON, and their schemas.
    :ivar gives: types of answers that are no JSON.
    :ivar query: other names are ignored.
    :ivar refusals: statuses of its refusals, beside those that every request may meet.
    """

    answers: Mapping[int, Schema | None]
    body: Schema | None = None
    narrowed: Narrowed | None = None
    takes: Mapping[str, Schema] = field(default_factory=dict)
    gives: Collection[str] = ()
    query: Sequence[Parameter] = ()
    refusals: Collection[int] = ()

    def filters(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.query if each.filters)


@dataclass(frozen=True)
class Listing:
    """A list that is given by pages.

    :ivar sort_keys: columns it can be sorted by.
    :ivar filters: what it can be narrowed by, beside its project.
    :ivar more: what else may stand in the query.
    :ivar everyones: it is the same for all projects.
    """

    sort_keys: Iterable[str]
    filters: Iterable[str] = ()
    more: Sequence[Parameter] = field(default=())
    everyones: bool = False

    def query(self) -> tuple[Parameter, ...]:
        return (
            *(() if self.everyones else OF_ANYONE),
            *PAGE,
            _sort({*SORT_KEYS, *self.sort_keys}),
            *(text(name) for name in self.filters),
            *self.more,
        )


def text(name: str) -> Parameter:
    """A filter by plain text."""
    schema = {"type": "string", "maxLength": MAX_VALUE_CHARACTERS, "pattern": NO_NUL}
    return Parameter(name, schema, f"only what has this {name.replace('_', ' ')}", filters=True)


def _sort(keys: Iterable[str]) -> Parameter:
    term = f"({'|'.join(sorted(keys))})(:(asc|desc))?"
    schema: dict[str, Any] = {"type": "string", "pattern": f"^{term}(,{term})*$"}
    return Parameter("sort", schema, "keys, the first one first; without a direction they descend")


MOMENT: Schema = {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}

PAGE = (
    Parameter(
        "limit", {"type": "integer", "minimum": 1, "maximum": MAX_NUMBER}, "entries of a page; more are cut"
    ),
    Parameter("marker", {"type": "string", "format": "uuid"}, "the last one seen; the page begins behind it"),
    Parameter("offset", {"type": "integer", "minimum": 0, "maximum": MAX_NUMBER}, "entries to leave out"),
)

ALL_TENANTS = Parameter("all_tenants", {"type": "boolean"}, "those of all projects; for administrators only")
OF_PROJECT = Parameter(
    "project_id",
    {"type": "string", "maxLength": MAX_VALUE_CHARACTERS, "pattern": NO_NUL},
    "those of this project; for administrators only, with all_tenants",
)
OF_ANYONE = (ALL_TENANTS, OF_PROJECT)
