"""Walking through a list page by page while it grows."""

from __future__ import annotations

import itertools
import random
from datetime import timedelta
from typing import Any

import pytest

from protectd.model.base import utc_now
from protectd.model.models import Restore
from protectd.model.repositories.base import Page
from protectd.model.unit_of_work import Database
from tests.fakes import rows
from tests.fakes.rows import OTHER_PROJECT, PROJECT

pytest_plugins = ["tests.fakes.databases"]

NOW = utc_now().replace(microsecond=0)
MOMENTS = [None, NOW, NOW + timedelta(microseconds=1), NOW - timedelta(days=1)]
STATUSES = ["PENDING", "in_progress", "success", "fail"]
KEYS = ("started_at", "status", "created_at", "id", "ended_at")
SORTS = [((key, direction),) for key in KEYS for direction in ("asc", "desc")] + [
    (("started_at", "asc"), ("status", "desc")),
    (("status", "desc"), ("started_at", "desc"), ("id", "asc")),
    (("ended_at", "desc"), ("started_at", "asc"), ("created_at", "asc")),
]


def some(dice: random.Random, count: int) -> list[Restore]:
    """Restores with many ties and many NULLs."""
    return [
        rows.restore(
            status=dice.choice(STATUSES),
            started_at=dice.choice(MOMENTS),
            ended_at=dice.choice(MOMENTS),
            created_at=dice.choice(MOMENTS[1:]),
        )
        for _ in range(count)
    ]


def add(database: Database, entities: list[Restore]) -> list[str]:
    with database.write() as uow:
        return [uow.restores.add(entity).id for entity in entities]


def rank(value: Any) -> tuple[bool, Any]:
    """NULL counts as the smallest."""
    return (value is not None, value)


def in_order(one: Restore, other: Restore, sort: tuple[tuple[str, str], ...]) -> bool:
    tie_breakers = (("created_at", sort[0][1]), ("id", sort[0][1]))
    for key, direction in (*sort, *tie_breakers):
        left, right = rank(getattr(one, key)), rank(getattr(other, key))
        if left != right:
            return left < right if direction == "asc" else left > right
    return False


@pytest.mark.parametrize("sort", SORTS, ids=lambda sort: ",".join(":".join(pair) for pair in sort))
def test_a_walk_sees_all_that_was_there_once_and_in_order_while_rows_come(
    any_database: Database, sort: Any
) -> None:
    dice = random.Random(repr(sort))
    there = add(any_database, some(dice, 40))
    add(any_database, [rows.restore(project_id=OTHER_PROJECT)])
    seen: list[Restore] = []
    marker = None
    for _ in range(100):
        with any_database.read() as uow:
            part = uow.restores.page(Page(dice.randint(1, 9), marker, sort), PROJECT)
        if not part:
            break
        seen += part
        marker = part[-1].id
        if len(seen) < 60:
            add(any_database, some(dice, 2))
    ids = [restore.id for restore in seen]
    assert len(set(ids)) == len(ids)
    assert set(there) <= set(ids)
    assert all(in_order(one, other, sort) for one, other in itertools.pairwise(seen))


def test_a_walk_goes_on_after_its_marker_was_deleted(any_database: Database) -> None:
    ids = sorted(add(any_database, some(random.Random(1), 6)))
    with any_database.write() as uow:
        uow.restores.delete(uow.restores.get(ids[2]))
    with any_database.read() as uow:
        rest = uow.restores.page(Page(10, ids[2], (("id", "asc"),)), PROJECT)
    assert [restore.id for restore in rest] == ids[3:]


def test_filters_limit_and_offset_hold_together(any_database: Database) -> None:
    add(any_database, some(random.Random(2), 30))
    with any_database.read() as uow:
        every = uow.restores.page(Page(100, sort=(("id", "asc"),)), PROJECT, {"status": "fail"})
        part = uow.restores.page(Page(2, offset=1, sort=(("id", "asc"),)), PROJECT, {"status": "fail"})
    assert {restore.status for restore in every} == {"fail"}
    assert [restore.id for restore in part] == [restore.id for restore in every[1:3]]


def test_a_list_starts_with_the_newest(any_database: Database) -> None:
    dated = [rows.restore(created_at=NOW + timedelta(seconds=second)) for second in (1, 3, 2)]
    add(any_database, dated)
    with any_database.read() as uow:
        assert [found.id for found in uow.restores.page(Page(10))] == [dated[i].id for i in (1, 2, 0)]
