"""The table of moves, and the move itself."""

from __future__ import annotations

import pytest

from protectd.model.models import Checkpoint, CheckpointResource, Plan, Restore, Task, Vault, Verification
from protectd.model.repositories.base import Page
from protectd.model.states import MOVES, MoveNotAllowed, check_move, move
from protectd.model.unit_of_work import Database
from tests.fakes import rows

pytest_plugins = ["tests.fakes.databases"]

CONTRACT = {
    "plan": {"suspended", "started"},
    "checkpoint": {
        "PENDING",
        "protecting",
        "available",
        "error",
        "deleting",
        "deleted",
        "error-deleting",
        "wait_copying",
        "copying",
        "finished",
    },
    "checkpoint_resource": {"PENDING", "protecting", "available", "error", "deleting", "deleted"},
    "restored_resource": {"restoring", "available", "error"},
    "restore": {"PENDING", "in_progress", "success", "fail"},
    "verification": {"PENDING", "in_progress", "success", "fail"},
    "task": {"pending", "running", "done", "failed", "cancelled"},
}
"""The words of the published contract, PENDING before them where work waits, and the tasks' own."""

ENDS = {
    "checkpoint": {"deleted"},
    "restore": {"success", "fail"},
    "verification": {"success", "fail"},
    "task": {"done", "failed", "cancelled"},
}


def words(kind: str) -> set[str]:
    return {word for pair in MOVES[kind] for word in pair}


@pytest.mark.parametrize("kind", sorted(CONTRACT))
def test_the_table_has_every_word_of_the_contract_and_no_other(kind: str) -> None:
    assert words(kind) == CONTRACT[kind]


@pytest.mark.parametrize("kind", sorted(ENDS))
def test_what_has_ended_does_not_move_and_all_else_can(kind: str) -> None:
    assert words(kind) - {source for source, _ in MOVES[kind]} == ENDS[kind]


@pytest.mark.parametrize("kind", sorted(MOVES))
def test_no_move_stays_where_it_is_or_starts_anywhere(kind: str) -> None:
    assert all(source != target and "*" not in (source, target) for source, target in MOVES[kind])


def test_every_waiting_or_working_checkpoint_can_fail_visibly() -> None:
    for source, target in (("PENDING", "error"), ("protecting", "error"), ("deleting", "error-deleting")):
        check_move("checkpoint", source, target)


@pytest.mark.parametrize("model", [Plan, Checkpoint, CheckpointResource, Restore, Verification, Task, Vault])
def test_every_stateful_model_is_in_the_table_and_is_born_in_one_of_its_states(model: type) -> None:
    column = model.__table__.columns[model.state_column]
    assert column.default.arg in words(model.kind)


@pytest.mark.parametrize(
    ("kind", "source", "target"),
    [
        ("checkpoint", "protecting", "deleting"),
        ("checkpoint", "PENDING", "deleting"),
        ("checkpoint", "deleted", "available"),
        ("restore", "success", "in_progress"),
        ("task", "done", "pending"),
        ("task", "pending", "done"),
        ("nothing", "a", "b"),
    ],
)
def test_a_move_that_is_not_in_the_table_is_refused(kind: str, source: str, target: str) -> None:
    with pytest.raises(MoveNotAllowed) as caught:
        check_move(kind, source, target)
    assert caught.value.facts == {"kind": kind, "source": source, "target": target}


def test_a_refused_move_leaves_the_row_alone(chosen_database: Database) -> None:
    with chosen_database.write() as uow:
        plan = uow.plans.add(rows.plan())
        with pytest.raises(MoveNotAllowed):
            move(uow.session, Plan, plan.id, "suspended", "gone")
    with chosen_database.read() as uow:
        assert uow.plans.get(plan.id).status == "suspended"


def test_a_move_from_a_state_that_is_past_loses_and_shows_the_present_one(chosen_database: Database) -> None:
    with chosen_database.write() as uow:
        plan = uow.plans.add(rows.plan())
        stale = uow.plans.get(plan.id)
        assert move(uow.session, Plan, plan.id, "suspended", "started", name="moved")
        assert not move(uow.session, Plan, plan.id, "suspended", "started", name="again")
        assert (stale.status, stale.name) == ("started", "moved")


def test_a_move_sends_what_is_pending_in_the_session_first(chosen_database: Database) -> None:
    with chosen_database.write() as uow:
        plan = uow.plans.add(rows.plan())
        plan.description = "kept"
        assert move(uow.session, Plan, plan.id, "suspended", "started")
    with chosen_database.read() as uow:
        assert (uow.plans.get(plan.id).status, uow.plans.get(plan.id).description) == ("started", "kept")


def test_a_move_touches_the_time_of_change(chosen_database: Database) -> None:
    with chosen_database.write() as uow:
        before = uow.plans.add(rows.plan()).updated_at
    with chosen_database.write() as uow:
        plan = uow.plans.page(Page(1))[0]
        move(uow.session, Plan, plan.id, "suspended", "started")
        assert plan.updated_at > before
