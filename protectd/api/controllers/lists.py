"""One page of a collection, and the link to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.terms import SORT_KEYS
from protectd.model.repositories.base import InvalidMarker, Page


def listed(
    call: Call,
    key: str,
    segments: Sequence[str],
    load: Callable[[Page], list[Any]],
    view: Callable[[Any], dict[str, Any]],
    sort_keys: Iterable[str],
) -> Answer:
    """`{key: [...]}`, with `<key>_links` when there is more.

    :param segments: the collection's path below the project.
    :param sort_keys: columns this list can be sorted by.
    """
    page = _known(call.query.page({*SORT_KEYS, *sort_keys}), sort_keys)
    rows = load(replace(page, limit=page.limit + 1))
    shown = rows[: page.limit]
    body: dict[str, Any] = {key: [view(row) for row in shown]}
    if len(rows) > page.limit:
        href = f"{call.url(*segments)}?{call.query.after(shown[-1].id)}"
        body[f"{key}_links"] = [{"rel": "next", "href": href}]
    return Answer(body)


def _known(page: Page, sort_keys: Iterable[str]) -> Page:
    return replace(page, sort=tuple(term for term in page.sort if term[0] in sort_keys))


def _text_of(name: str) -> Callable[[Any], str]:
    return lambda item: str(getattr(item, name, ""))


class Shelf:
    """Pages of what is held in memory, sorted by its attributes; ids are the last resort."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = list(items)

    def page(self, page: Page) -> list[Any]:
        items = sorted(self._items, key=lambda item: str(item.id))
        for name, direction in reversed(page.sort):
            items = sorted(items, key=_text_of(name), reverse=direction == "desc")
        start = 0 if page.marker is None else self._behind(items, page.marker)
        return items[start + page.offset :][: page.limit]

    def _behind(self, items: Sequence[Any], marker: str) -> int:
        for number, item in enumerate(items):
            if item.id == marker:
                return number + 1
        raise InvalidMarker(field="marker", reason="nothing in this list has this id")
