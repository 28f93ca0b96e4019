"""What the rows of plans and of their resources hold, column by column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError

from protectd.model.models import Plan, PlanResource
from tests.fakes.service import MEMORY_ID, Client, Service


def rows(service: Service, statement: str, **values: Any) -> list[dict[str, Any]]:
    with service.parts.database.read() as uow:
        return [dict(row) for row in uow.session.execute(text(statement), values).mappings()]


def plan_row(service: Service, id: str) -> dict[str, Any]:
    (row,) = rows(service, "SELECT * FROM plans WHERE id = :id", id=id)
    return row


def resource_rows(service: Service, plan_id: str) -> list[dict[str, Any]]:
    return rows(service, "SELECT * FROM resources WHERE plan_id = :id ORDER BY id", id=plan_id)


@pytest.fixture
def two(service: Service, member: Client) -> dict[str, Any]:
    """A plan of two directories."""
    resources = [
        {"type": "directory", "name": name, "extra_info": {"path": str(service.allowed / name)}}
        for name in ("one", "two")
    ]
    return member.plan("", resources=resources)


def test_a_plan_is_kept_as_it_was_given(service: Service, member: Client, two: dict[str, Any]) -> None:
    row = plan_row(service, two["id"])
    assert (row["id"], row["name"], row["provider_id"]) == (two["id"], "nightly", MEMORY_ID)
    assert (row["project_id"], row["status"], bool(row["deleted"])) == (member.project_id, "suspended", False)
    assert row["created_at"] is not None and row["deleted_at"] is None
    assert [(each["resource_type"], each["resource_id"]) for each in resource_rows(service, two["id"])] == [
        (each["type"], each["id"]) for each in two["resources"]
    ]


def test_two_plans_have_ids_of_their_own(member: Client, service: Service, two: dict[str, Any]) -> None:
    assert member.plan(service.allowed / "one")["id"] != two["id"]


def test_a_change_moves_when_it_was_changed_and_nothing_else(
    service: Service, member: Client, two: dict[str, Any]
) -> None:
    before = plan_row(service, two["id"])
    member.call("PUT", f"plans/{two['id']}", {"plan": {"name": "daily"}})
    after = plan_row(service, two["id"])
    assert after["updated_at"] > before["updated_at"]
    changed = {"name", "updated_at"}
    assert {name: after[name] for name in after if name not in changed} == {
        name: before[name] for name in before if name not in changed
    }


def test_a_resource_that_leaves_is_kept_as_deleted(
    service: Service, member: Client, two: dict[str, Any]
) -> None:
    body = {"plan": {"resources": [two["resources"][1]]}}
    member.call("PUT", f"plans/{two['id']}", body)
    gone, kept = resource_rows(service, two["id"])
    assert (bool(gone["deleted"]), gone["deleted_at"] is not None) == (True, True)
    assert (bool(kept["deleted"]), kept["deleted_at"]) == (False, None)


def test_a_deleted_plan_is_kept_with_its_resources_and_not_found(
    service: Service, member: Client, two: dict[str, Any]
) -> None:
    member.call("DELETE", f"plans/{two['id']}")
    row = plan_row(service, two["id"])
    assert (bool(row["deleted"]), row["deleted_at"] is not None) == (True, True)
    assert all(each["deleted"] and each["deleted_at"] for each in resource_rows(service, two["id"]))
    member.refused("GET", f"plans/{two['id']}", 404)


def test_no_resource_is_without_its_plan(service: Service) -> None:
    values = {"plan_id": "nobody", "resource_id": "x", "resource_type": "directory", "resource_name": "n"}
    with pytest.raises(IntegrityError), service.parts.database.write() as uow:
        uow.session.execute(insert(PlanResource).values(**values))
        uow.flush()


def test_a_name_of_255_characters_of_any_script_is_kept_whole(
    service: Service, member: Client, tmp_path: Path
) -> None:
    name = "🗄備é" * 85
    plan = member.plan(service.allowed / "long", name=name)
    with service.parts.database.read() as uow:
        assert uow.session.scalar(select(Plan.name).where(Plan.id == plan["id"])) == name
