"""Holds: placed by anyone of the project, lifted by administrators, and nothing deletes what is held."""

from __future__ import annotations

import pytest

from protectd.common.ids import new_id
from tests.fakes.service import Client, Service, together

HOLD = {"hold": {"reason": "court"}}


@pytest.fixture
def owner(direct: Service) -> Client:
    return direct.client()


@pytest.fixture
def path(direct: Service, owner: Client) -> str:
    """Of an available checkpoint."""
    made = owner.checkpoint(owner.plan(direct.directory(new_id())))
    return f"providers/{made['protection_plan']['provider_id']}/checkpoints/{made['id']}"


def held(owner: Client, path: str, reason: str = "court") -> dict[str, str]:
    answer = owner.call("PUT", f"{path}/hold", {"hold": {"reason": reason}})
    assert answer.status_int == 200, answer
    return dict(answer.json["hold"])


def test_the_way_of_a_hold(direct: Service, owner: Client, path: str) -> None:
    admin = direct.client(owner.project_id, role="admin")
    assert owner.get(f"{path}/hold") == {"hold": None}
    hold = held(owner, path)
    assert hold["reason"] == "court" and hold["held_by"] and hold["held_at"]
    assert owner.get(path)["checkpoint"]["hold"] == owner.get(f"{path}/hold")["hold"] == hold
    assert owner.get(path.rpartition("/")[0])["checkpoints"][0]["hold"] == hold

    for client in (owner, admin):
        assert client.refused("DELETE", path, 409)["error"] == "checkpoint.held"
    assert owner.refused("DELETE", f"{path}/hold", 403)["error"] == "forbidden"
    assert owner.get(path)["checkpoint"]["hold"] == hold

    assert admin.call("DELETE", f"{path}/hold").status_int == 204
    assert admin.call("DELETE", f"{path}/hold").status_int == 204
    assert owner.get(path)["checkpoint"]["hold"] is None
    assert owner.call("DELETE", path).status_int == 202
    assert owner.ended(path, "checkpoint")["status"] == "deleted"


def test_placing_it_again_keeps_the_first_moment(owner: Client, path: str) -> None:
    first, again = held(owner, path), held(owner, path, "appeal")
    assert again == first | {"reason": "appeal"}


def test_nobody_but_an_administrator_takes_over_anothers_hold(
    direct: Service, owner: Client, path: str
) -> None:
    first = held(owner, path)
    other = direct.client(owner.project_id)
    fault = other.refused("PUT", f"{path}/hold", 409, {"hold": {"reason": "mine"}})
    assert fault["error"] == "checkpoint.held_by_another"
    assert owner.get(f"{path}/hold")["hold"] == first
    assert held(direct.client(owner.project_id, role="admin"), path, "audit")["reason"] == "audit"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "hold"),
        ({"hold": {}}, "hold.reason"),
        ({"hold": {"reason": " "}}, "hold.reason"),
        ({"hold": {"reason": "x" * 256}}, "hold.reason"),
        ({"hold": {"reason": 7}}, "hold.reason"),
        ({"hold": {"reason": "r", "until": 7}}, "hold.until"),
        ({"hold": None}, "hold"),
    ],
)
def test_a_hold_has_a_reason(owner: Client, path: str, body: dict[str, object], field: str) -> None:
    assert owner.refused("PUT", f"{path}/hold", 400, body)["field"] == field


def test_a_strangers_checkpoint_is_not_there(direct: Service, owner: Client, path: str) -> None:
    stranger = direct.client()
    for verb, body in (("GET", None), ("PUT", {"hold": {"reason": "r"}}), ("DELETE", None)):
        assert stranger.refused(verb, f"{path}/hold", 404, body)["error"] == "checkpoint.not_found"
    assert owner.get(f"{path}/hold") == {"hold": None}


def test_what_is_deleted_cannot_be_held(owner: Client, path: str) -> None:
    owner.call("DELETE", path)
    owner.ended(path, "checkpoint")
    assert owner.refused("PUT", f"{path}/hold", 404, {"hold": {"reason": "r"}})


def test_a_checkpoint_is_never_held_and_deleted(shared: Service) -> None:
    client = shared.client()
    plan = client.plan(shared.allowed)
    for _ in range(4):
        made = client.checkpoint(plan)
        with shared.parts.database.write() as uow:
            uow.checkpoints.get(made["id"]).status = "available"
        url = f"providers/{plan['provider_id']}/checkpoints/{made['id']}"
        asks = [
            lambda own, path=url: own.call("DELETE", path).status_int,
            lambda own, path=url: own.call("PUT", f"{path}/hold", HOLD).status_int,
        ]
        statuses = together(shared, client, asks * 3)
        deletes, holds = statuses[::2].count(202), statuses[1::2].count(200)
        assert set(statuses) <= {200, 202, 409}
        assert (deletes, holds) in {(0, 3), (1, 0)}
        assert (client.get(url)["checkpoint"]["hold"] is None) is bool(deletes)
