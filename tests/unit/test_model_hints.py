"""Which index is named for a page, and to whom."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from sqlalchemy.dialects import mysql, postgresql, sqlite

from protectd.model.models import Checkpoint, Plan, Task
from protectd.model.repositories.hints import by_index, paging_index
from protectd.model.repositories.keyset import Key

NEWEST = [Key(Task.created_at, True), Key(Task.id, True)]


@pytest.mark.parametrize(
    ("equal", "name"),
    [
        ({"project_id"}, "ix_tasks_project_id_created_at_id"),
        ({"project_id", "operation"}, "ix_tasks_project_id_operation_created_at_id"),
        ({"project_id", "outcome"}, "ix_tasks_project_id_outcome_created_at_id"),
        (set(), "ix_tasks_created_at_id"),
        ({"project_id", "checkpoint_id"}, None),
        ({"project_id", "operation", "outcome"}, None),
    ],
)
def test_the_index_has_what_is_equal_first_and_the_order_after_it(equal, name):
    assert paging_index(Task, equal, NEWEST) == name


def test_another_order_is_no_indexs_business():
    assert paging_index(Task, {"project_id"}, [Key(Task.ended_at, True), *NEWEST]) is None


@pytest.mark.parametrize("model", [Checkpoint, Plan])
def test_lists_of_a_project_have_an_index(model):
    keys = [Key(model.created_at, True), Key(model.id, True)]
    assert paging_index(model, {"project_id"}, keys) is not None


def test_only_those_who_need_it_are_told():
    query = by_index(select(Task), Task, "some_index")
    assert "FROM tasks FORCE INDEX (some_index)" in str(query.compile(dialect=mysql.dialect()))
    for dialect in (postgresql.dialect(), sqlite.dialect()):
        assert "some_index" not in str(query.compile(dialect=dialect))
