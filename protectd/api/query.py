"""Query strings: paging, sorting and filters in the words of the data-protection contract."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

from protectd.api.parsing import check_value
from protectd.common.errors import InvalidField
from protectd.common.fields import shown
from protectd.common.ids import canonical_id, is_uuid_like
from protectd.model.repositories.base import Direction, Page

MAX_FIELDS = 64
MAX_VALUE_CHARACTERS = 4096
MAX_NUMBER = 999_999_999
TRUE_WORDS = frozenset({"true", "t", "yes", "y", "on", "1"})
FALSE_WORDS = frozenset({"false", "f", "no", "n", "off", "0"})
DIRECTIONS: dict[str, Direction] = {"asc": "asc", "desc": "desc"}


class InvalidQuery(InvalidField):
    code = "query.invalid"


def parse(query_string: str) -> dict[str, str]:
    """Names and values, each name once.

    :raises InvalidQuery: not UTF-8, a NUL, a name given twice, or too much of it.
    """
    try:
        pairs = parse_qsl(query_string, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise InvalidQuery(field="query", reason="is not UTF-8, or has too many fields") from None
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise InvalidQuery(field=shown(name), reason="is given twice")
        if "\0" in name or "\0" in value or len(value) > MAX_VALUE_CHARACTERS:
            raise InvalidQuery(field=shown(name), reason="has a NUL character or is too long")
        values[name] = value
    return values


def _strict(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


class Query:
    """What a list was asked for. Unknown names are ignored, as the contract does.

    :param max_limit: entries of a page when the client asks for more, or does not say.
    """

    def __init__(self, values: Mapping[str, str], max_limit: int) -> None:
        self.values = dict(values)
        self._max_limit = max_limit

    def page(self, sort_keys: Iterable[str]) -> Page:
        """:raises InvalidQuery: names the parameter that cannot be used."""
        return Page(
            limit=min(self._number("limit", 1, self._max_limit), self._max_limit),
            marker=self._marker(),
            sort=self._sort(frozenset(sort_keys)),
            offset=self._number("offset", 0, 0),
        )

    def text(self, *names: str) -> dict[str, Any]:
        """Filters by plain text. An empty value is a filter too."""
        return {name: self.values[name] for name in names if name in self.values}

    def flag(self, name: str) -> bool:
        """:raises InvalidQuery: not one of the words for true and false."""
        word = self.values.get(name, "false").strip().lower()
        if word not in TRUE_WORDS | FALSE_WORDS:
            raise InvalidQuery(field=name, reason="must be true or false")
        return word in TRUE_WORDS

    def flags(self, *names: str) -> dict[str, Any]:
        """Filters by true and false. :raises InvalidQuery: see `flag`."""
        return {name: self.flag(name) for name in names if name in self.values}

    def moment(self, name: str, *, end: bool = False) -> datetime | None:
        """A date, or an ISO 8601 moment; without zone it is UTC.

        :param end: a date stands for the first moment after that day.
        :raises InvalidQuery: neither.
        """
        if name not in self.values:
            return None
        text = self.values[name].strip()
        try:
            moment = datetime.fromisoformat(text)
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
            return moment + timedelta(days=1) if end and len(text) == len("2020-01-31") else moment
        except (ValueError, OverflowError):
            raise InvalidQuery(field=name, reason="must be a date such as 2020-01-31") from None

    def mapping(self, name: str) -> dict[str, Any]:
        """An object as JSON, or as the Python text that the contract's own client sends.

        :raises InvalidQuery: neither.
        """
        text = self.values.get(name, "{}")
        for read in (_strict, ast.literal_eval):
            try:
                value = read(text)
            except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
                continue
            if isinstance(value, dict) and all(isinstance(key, str) for key in value):
                check_value(value, name, 0)
                return value
        raise InvalidQuery(field=name, reason="must be an object")

    def _number(self, name: str, least: int, default: int) -> int:
        text = self.values.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) < least:
            raise InvalidQuery(field=name, reason=f"must be an integer from {least} to {MAX_NUMBER}")
        return int(text)

    def _marker(self) -> str | None:
        marker = self.values.get("marker")
        if marker is None:
            return None
        if not is_uuid_like(marker):
            raise InvalidQuery(field="marker", reason="must be an id of this list")
        return canonical_id(marker)

    def _sort(self, known: frozenset[str]) -> tuple[tuple[str, Direction], ...]:
        """`sort=key:dir,key2:dir`, or `sort_key` with `sort_dir`; a key without direction descends."""
        separate = "sort_key" in self.values or "sort_dir" in self.values
        if "sort" in self.values and separate:
            raise InvalidQuery(field="sort", reason="does not go with sort_key and sort_dir")
        if separate:
            pair = (self.values.get("sort_key", "created_at"), self.values.get("sort_dir", "desc"))
            return (self._term(*pair, "sort_key", known),)
        terms = self.values.get("sort", "created_at:desc").split(",")
        return tuple(self._split(term.strip(), known) for term in terms)

    def _split(self, term: str, known: frozenset[str]) -> tuple[str, Direction]:
        key, _, direction = term.partition(":")
        return self._term(key, direction or "desc", "sort", known)

    def _term(self, key: str, direction: str, name: str, known: frozenset[str]) -> tuple[str, Direction]:
        if key not in known:
            raise InvalidQuery(field=name, reason="knows " + ", ".join(sorted(known)))
        if direction not in DIRECTIONS:
            raise InvalidQuery(field=name, reason="knows the directions asc and desc")
        return key, DIRECTIONS[direction]

    def after(self, marker: str) -> str:
        """The same query, going on behind `marker`."""
        kept = {name: value for name, value in self.values.items() if name not in ("marker", "offset")}
        return urlencode({**kept, "marker": marker})
