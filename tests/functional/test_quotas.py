"""Quotas: what a project may have and has, in the order an administrator and a user would meet them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protectd.common.ids import new_id
from tests.fakes.service import FILES_ID, MEMORY_ID, Client, Service, running

UNLIMITED = {"checkpoints": -1, "stored_bytes": -1, "operations": -1}
DEFAULTS = UNLIMITED | {"plans": 50}


@pytest.fixture
def owner(service: Service) -> Client:
    return service.client()


@pytest.fixture
def limited(service: Service, owner: Client) -> Any:
    """Sets limits of the owner's project."""
    return limiter(service, owner)


def limiter(service: Service, owner: Client) -> Any:
    admin = service.client(role="admin")

    def set_limits(**limits: Any) -> dict[str, Any]:
        answer = admin.call("PUT", f"quotas/{owner.project_id}", {"quota": limits})
        assert answer.status_int == 200, answer
        return dict(answer.json["quota"])

    return set_limits


def in_use(client: Client) -> dict[str, int]:
    detail = client.get(f"quotas/{client.project_id}/detail")["quota"]
    return {name: entry["in_use"] for name, entry in detail.items() if name != "id"}


def used(**amounts: int) -> dict[str, int]:
    return dict.fromkeys(DEFAULTS, 0) | amounts


# --- what is shown and changed ---


def test_a_project_sees_its_limits_and_what_it_uses(service: Service, owner: Client) -> None:
    own, plan = f"quotas/{owner.project_id}", owner.plan(service.allowed)
    assert owner.get(own) == {"quota": DEFAULTS | {"id": owner.project_id}}
    assert owner.get(f"{own}/defaults") == {"quota": DEFAULTS | {"id": owner.project_id}}
    detail = owner.get(f"{own}/detail")["quota"]
    assert detail.pop("id") == owner.project_id
    assert detail["plans"] == {"limit": 50, "in_use": 1, "reserved": 0}
    assert detail["stored_bytes"] == {"limit": -1, "in_use": 0, "reserved": 0}
    owner.call("DELETE", f"plans/{plan['id']}")
    assert in_use(owner) == used()


def test_an_administrator_changes_limits_and_takes_them_away(service: Service, owner: Client) -> None:
    admin, own = service.client(role="admin"), f"quotas/{owner.project_id}"
    owner.plan(service.allowed)
    answer = admin.call("PUT", own, {"quota": {"plans": "60", "checkpoints": 7, "volumes": "no"}})
    assert answer.json == {"quota": DEFAULTS | {"plans": 60, "checkpoints": 7}}
    assert owner.get(own)["quota"] == DEFAULTS | {"plans": 60, "checkpoints": 7, "id": owner.project_id}
    assert admin.call("PUT", own, {"quota": {"checkpoints": "-1"}}).json["quota"]["checkpoints"] == -1
    assert owner.get(f"{own}/defaults")["quota"]["plans"] == 50

    assert admin.call("DELETE", own).status_int == 204
    assert admin.call("DELETE", own).status_int == 204
    assert owner.get(own)["quota"]["plans"] == 50
    assert in_use(owner) == used(plans=1)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"plans": -2}, "quota.plans"),
        ({"plans": "-2"}, "quota.plans"),
        ({"plans": "many"}, "quota.plans"),
        ({"plans": ""}, "quota.plans"),
        ({"plans": 1.5}, "quota.plans"),
        ({"plans": True}, "quota.plans"),
        ({"plans": None}, "quota.plans"),
        ({"plans": "9" * 30}, "quota.plans"),
        ({"checkpoints": [3]}, "quota.checkpoints"),
        ([], "quota"),
        (None, "quota"),
    ],
)
def test_what_is_no_limit_is_refused(service: Service, owner: Client, value: Any, field: str) -> None:
    admin = service.client(role="admin")
    body = {"quota": value}
    assert admin.refused("PUT", f"quotas/{owner.project_id}", 400, body)["field"] == field


def test_who_may_do_what(service: Service, owner: Client) -> None:
    admin, other, body = service.client(role="admin"), new_id(), {"quota": {"plans": 1}}
    for path in ("", "/detail", "/defaults"):
        assert owner.refused("GET", f"quotas/{other}{path}", 403)["error"] == "forbidden"
        assert admin.get(f"quotas/{other}{path}")["quota"]["id"] == other
        assert admin.refused("GET", f"quotas/me{path}", 400)["field"] == "quota_project_id"
    for verb, wanted in (("PUT", body), ("DELETE", None)):
        assert owner.refused(verb, f"quotas/{owner.project_id}", 403, wanted)["error"] == "forbidden"
        assert admin.refused(verb, "quotas/me", 400, wanted)["field"] == "quota_project_id"
    for verb, wanted in (("GET", None), ("PUT", {"quota_class": {"plans": 1}})):
        assert owner.refused(verb, "quota_classes/default", 403, wanted)["error"] == "forbidden"
    assert owner.refused("GET", "quotas", 404)["error"] == "path.not_found"


# --- limits hold ---


def test_one_plan_too_many_is_told_as_the_contract_does(
    service: Service, owner: Client, limited: Any
) -> None:
    limited(plans=2)
    plans = [owner.plan(service.allowed) for _ in range(2)]
    answer = owner.call("POST", "plans", owner.plan_body(service.allowed))
    fault = answer.json["overLimit"]
    assert (answer.status_int, answer.headers["Retry-After"], fault["retryAfter"]) == (413, "0", 0)
    assert (fault["error"], fault["message"]) == (
        "quota.exceeded",
        "the project's quota of plans is used up: 2 of 2 in use",
    )
    assert len(owner.get("plans")["plans"]) == 2
    owner.call("DELETE", f"plans/{plans[0]['id']}")
    owner.plan(service.allowed)
    assert in_use(owner) == used(plans=2)


def test_a_plan_that_is_refused_takes_nothing(service: Service, owner: Client) -> None:
    owner.refused("POST", "plans", 403, owner.plan_body("/not/allowed"))
    assert in_use(owner) == used()
    plan = owner.plan(service.allowed)
    owner.checkpoint(plan)
    owner.refused("DELETE", f"plans/{plan['id']}", 409)
    assert in_use(owner) == used(plans=1, checkpoints=1, operations=1)


def test_fewer_than_are_there_lets_nothing_go_and_nothing_come(
    service: Service, owner: Client, limited: Any
) -> None:
    plans = [owner.plan(service.allowed) for _ in range(3)]
    limited(plans=1)
    for plan in plans[:2]:
        owner.refused("POST", "plans", 413, owner.plan_body(service.allowed))
        owner.call("DELETE", f"plans/{plan['id']}")
    owner.refused("POST", "plans", 413, owner.plan_body(service.allowed))
    owner.call("DELETE", f"plans/{plans[2]['id']}")
    owner.plan(service.allowed)


def test_operations_that_wait_or_run_count_until_they_end(
    service: Service, owner: Client, limited: Any
) -> None:
    limited(operations=2)
    plan = owner.plan(service.allowed)
    for _ in range(2):
        owner.checkpoint(plan)
    path = f"providers/{MEMORY_ID}/checkpoints"
    fault = owner.refused("POST", path, 413, {"checkpoint": {"plan_id": plan["id"]}})
    assert fault["message"] == "the project's quota of operations is used up: 2 of 2 in use"
    assert len(owner.get(path)["checkpoints"]) == 2
    assert in_use(owner) == used(plans=1, checkpoints=2, operations=2)

    for line in owner.get("operation_logs")["operation_logs"]:
        owner.call("DELETE", f"operation_logs/{line['id']}")
    service.parts.reconciler.run_once()
    assert in_use(owner) == used(plans=1)
    owner.checkpoint(plan)


def test_others_have_limits_of_their_own(service: Service, owner: Client, limited: Any) -> None:
    limited(plans=0)
    owner.refused("POST", "plans", 413, owner.plan_body(service.allowed))
    service.client().plan(service.allowed)


# --- a checkpoint's life ---


@pytest.fixture
def done(direct: Service) -> Client:
    """Whose operations are done when the answer comes."""
    return direct.client()


def test_a_checkpoint_counts_with_its_bytes_until_it_is_deleted(direct: Service, done: Client) -> None:
    made = done.checkpoint(done.plan(direct.directory(new_id()), FILES_ID))
    path = f"providers/{FILES_ID}/checkpoints/{made['id']}"
    checkpoint = done.ended(path, "checkpoint")
    assert checkpoint["status"] == "available" and checkpoint["stored_bytes"]
    stored = used(plans=1, checkpoints=1, stored_bytes=checkpoint["stored_bytes"])
    assert in_use(done) == stored
    done.post("verifications", {"verification": verification(made)}, 202)
    assert in_use(done) == stored
    done.call("DELETE", path)
    assert done.ended(path, "checkpoint")["status"] == "deleted"
    assert in_use(done) == used(plans=1)


def verification(checkpoint: dict[str, Any]) -> dict[str, Any]:
    provider_id = checkpoint["protection_plan"]["provider_id"]
    return {"provider_id": provider_id, "checkpoint_id": checkpoint["id"], "parameters": {}}


def test_a_checkpoint_that_fails_does_not_count(direct: Service, done: Client) -> None:
    limiter(direct, done)(checkpoints=1)
    gone = direct.directory(new_id())
    plan = done.plan(gone)
    for file in sorted(gone.rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    gone.rmdir()
    for _ in range(3):
        made = done.checkpoint(plan)
        assert made["status"] == "error"
        assert in_use(done) == used(plans=1)
    assert done.call("DELETE", f"providers/{MEMORY_ID}/checkpoints/{made['id']}").status_int == 202
    assert in_use(done) == used(plans=1)


def test_a_deletion_that_fails_gives_nothing_back(direct: Service, done: Client) -> None:
    made = done.checkpoint(done.plan(direct.directory(new_id()), FILES_ID))
    path = f"providers/{FILES_ID}/checkpoints/{made['id']}"
    before, bank = in_use(done), direct.allowed.parent / "bank"
    away = bank.rename(bank.with_name("away"))
    bank.write_text("in the way")
    done.call("DELETE", path)
    assert done.get(path)["checkpoint"]["status"] in ("deleting", "error-deleting")
    assert in_use(done) == before
    bank.unlink()
    away.rename(bank)


def test_a_project_that_is_full_begins_no_more(direct: Service, done: Client) -> None:
    limits = limiter(direct, done)
    plan = done.plan(direct.directory(new_id()), FILES_ID)
    limits(stored_bytes=1)
    done.checkpoint(plan)
    full = in_use(done)["stored_bytes"]
    assert full > 1
    path = f"providers/{FILES_ID}/checkpoints"
    fault = done.refused("POST", path, 413, {"checkpoint": {"plan_id": plan["id"]}})
    assert fault["message"] == f"the project's quota of stored_bytes is used up: {full} of 1 in use"
    limits(stored_bytes=full + 1)
    done.checkpoint(plan)


# --- classes ---


@pytest.fixture
def classes(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path, quota={"plans": 3, "project_classes": {GOLD: "gold"}}) as made:
        yield made


GOLD = "6c3f6d1e-7c43-4f3c-8f10-1d3c7a2f6e55"


def test_the_class_of_a_project_sets_what_it_may_have(classes: Service) -> None:
    admin, gold, other = classes.client(role="admin"), classes.client(GOLD), classes.client()

    def plans(client: Client) -> int:
        return int(client.get(f"quotas/{client.project_id}")["quota"]["plans"])

    def set_class(name: str, limit: int) -> dict[str, Any]:
        answer = admin.call("PUT", f"quota_classes/{name}", {"quota_class": {"plans": limit}})
        return dict(answer.json["quota_class"])

    assert admin.get("quota_classes/default")["quota_class"] == UNLIMITED | {"plans": 3, "id": "default"}
    assert (plans(gold), plans(other)) == (3, 3)
    assert set_class("default", 1) == UNLIMITED | {"plans": 1}
    assert (plans(gold), plans(other)) == (1, 1)
    set_class("gold", 2)
    assert (plans(gold), plans(other)) == (2, 1)
    for client, most in ((gold, 2), (other, 1)):
        for _ in range(most):
            client.plan(classes.allowed)
        client.refused("POST", "plans", 413, client.plan_body(classes.allowed))
    limiter(classes, gold)(plans=5)
    assert (plans(gold), plans(other)) == (5, 1)
    gold.plan(classes.allowed)
    assert admin.get("quota_classes/silver")["quota_class"]["plans"] == 1
    assert gold.get(f"quotas/{GOLD}/defaults")["quota"]["plans"] == 2
    assert admin.refused("GET", f"quota_classes/{'x' * 256}", 400)["field"] == "class_name"
