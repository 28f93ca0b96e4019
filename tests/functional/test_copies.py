"""Copies: a plan's checkpoints brought to another provider, and what can be done with them there."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.service import FILES_ID, MEMORY_ID, Client, Service, together
from tests.fakes.tree import differences, tree

UNKNOWN_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
TO_MEMORY = {"copy": {"provider_id": MEMORY_ID}}


def copy_body(plan: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"copy": {"plan_id": plan["id"], "parameters": TO_MEMORY, **fields}}


def action(plan: dict[str, Any]) -> str:
    return f"providers/{plan['provider_id']}/checkpoints/action"


def copy(client: Client, plan: dict[str, Any], parameters: Any = TO_MEMORY) -> list[dict[str, str]]:
    """The pairs that a request for copies answers."""
    body = copy_body(plan, parameters=parameters)
    answered = client.post(action(plan), body, 202)["copy"]
    assert answered == {
        "project_id": client.project_id,
        "provider_id": plan["provider_id"],
        "plan_id": plan["id"],
        "checkpoint_id": answered["checkpoint_id"],
        "parameters": parameters,
    }
    return list(answered["checkpoint_id"])


def show(client: Client, id: str, provider_id: str = MEMORY_ID) -> dict[str, Any]:
    return dict(client.get(f"providers/{provider_id}/checkpoints/{id}")["checkpoint"])


def change(service: Service, id: str, **values: Any) -> None:
    with service.parts.database.write() as uow:
        found = uow.checkpoints.get(id)
        for name, value in values.items():
            setattr(found, name, value)


@pytest.fixture
def owner(direct: Service) -> Client:
    return direct.client()


@pytest.fixture
def source(direct: Service, request: pytest.FixtureRequest) -> Path:
    made = direct.allowed / request.node.name[:80]
    made.mkdir()
    (made / "below").mkdir()
    (made / "one.txt").write_text("one\n" * 10_000)
    (made / "below" / "two.bin").write_bytes(os.urandom(300_000))
    (made / "link").symlink_to("below/two.bin")
    return made


@pytest.fixture
def plan(owner: Client, source: Path) -> dict[str, Any]:
    return owner.plan(source, FILES_ID)


# --- what becomes of them ---


def test_every_available_checkpoint_is_copied_and_tells_what_its_source_tells(
    owner: Client, plan: dict[str, Any], source: Path
) -> None:
    first = owner.checkpoint(plan, extra_info={"why": "first"})
    (source / "one.txt").write_text("changed\n")
    second = owner.checkpoint(plan)
    pairs = copy(owner, plan)
    assert [pair["checkpoint_protect_id"] for pair in pairs] == [first["id"], second["id"]]
    shown = show(owner, pairs[0]["checkpoint_copy_id"])
    original = show(owner, first["id"], FILES_ID)
    assert (shown["status"], shown["source_id"]) == ("available", first["id"])
    assert json.loads(shown["extra_info"]) == {"why": "first", "copy_status": "finished"}
    assert shown["protection_plan"] == original["protection_plan"] | {"provider_id": MEMORY_ID}
    for name in ("resource_graph", "created_at", "files", "logical_bytes", "partial", "project_id"):
        assert shown[name] == original[name], name
    assert shown["stored_bytes"] > 0
    assert original["source_id"] is None
    listed = owner.get(f"providers/{MEMORY_ID}/checkpoints?plan_id={plan['id']}")["checkpoints"]
    assert {each["id"] for each in listed} == {pair["checkpoint_copy_id"] for pair in pairs}


def test_only_what_is_missing_there_is_moved(owner: Client, plan: dict[str, Any], source: Path) -> None:
    owner.checkpoint(plan)
    (pair,) = copy(owner, plan)
    whole = show(owner, pair["checkpoint_copy_id"])["stored_bytes"]
    (source / "small.txt").write_text("small\n")
    owner.checkpoint(plan)
    (pair,) = copy(owner, plan)
    assert 0 < show(owner, pair["checkpoint_copy_id"])["stored_bytes"] < whole / 2


def test_what_is_copied_is_not_copied_again_and_a_copy_never(owner: Client, plan: dict[str, Any]) -> None:
    owner.checkpoint(plan)
    assert len(copy(owner, plan)) == 1
    assert copy(owner, plan) == []
    assert len(copy(owner, plan, {})) == 1, "to itself it is not copied yet"
    assert copy(owner, plan, {}) == [], "neither the checkpoint nor its copies"


def test_a_copy_restores_where_its_source_would(
    direct: Service, owner: Client, plan: dict[str, Any], source: Path
) -> None:
    made = owner.checkpoint(plan)
    (pair,) = copy(owner, plan)
    copied = show(owner, pair["checkpoint_copy_id"])
    owner.call("DELETE", f"providers/{FILES_ID}/checkpoints/{made['id']}")
    assert show(owner, made["id"], FILES_ID)["status"] == "deleted"
    target = direct.allowed / f"{source.name}-back"
    restore = owner.restore(copied, parameters={"directory": {"path": str(target)}})["restore"]
    assert restore["status"] == "success", restore["error"]
    assert differences(tree(source), tree(target)) == []
    body = {"verification": {"provider_id": MEMORY_ID, "checkpoint_id": copied["id"], "parameters": {}}}
    verification = owner.post("verifications", body, 202)["verification"]
    assert verification["status"] == "success", verification["error"]


def test_a_copy_within_one_provider_takes_no_more_than_its_snapshot(
    direct: Service, owner: Client, plan: dict[str, Any], source: Path
) -> None:
    made = owner.checkpoint(plan)
    (pair,) = copy(owner, plan, {})
    copied = show(owner, pair["checkpoint_copy_id"], FILES_ID)
    assert (copied["status"], copied["stored_bytes"]) == ("available", 0)
    (here,), (there,) = made["resources"], copied["resources"]
    assert here["snapshot_id"] != there["snapshot_id"]
    owner.call("DELETE", f"providers/{FILES_ID}/checkpoints/{made['id']}")
    target = direct.allowed / f"{source.name}-back"
    restore = owner.restore(copied, parameters={"directory": {"path": str(target)}})["restore"]
    assert restore["status"] == "success", restore["error"]
    assert differences(tree(source), tree(target)) == []


def test_a_plan_goes_on_from_its_own_checkpoints_after_a_copy(owner: Client, plan: dict[str, Any]) -> None:
    owner.checkpoint(plan)
    copy(owner, plan)
    again = owner.checkpoint(plan)
    assert (again["status"], again["added_bytes"] < 10_000) == ("available", True)


def test_restic_likes_both_vaults(
    direct: Service, owner: Client, plan: dict[str, Any], restic: str, tmp_path: Path
) -> None:
    """A copy to a vault on disk: from the one in memory."""
    plan = owner.plan(plan["resources"][0]["extra_info"]["path"], MEMORY_ID)
    made = owner.checkpoint(plan)
    (pair,) = copy(owner, plan, {"copy": {"provider_id": FILES_ID}})
    copied = show(owner, pair["checkpoint_copy_id"], FILES_ID)
    provider = direct.parts.providers.get(FILES_ID)
    repository, password = direct.parts.env.vaults.credentials(provider, owner.project_id)

    def run(*words: str) -> str:
        environ = {"RESTIC_REPOSITORY": repository, "RESTIC_PASSWORD": password, "HOME": str(tmp_path)}
        return subprocess.run(
            [restic, "--no-cache", *words], env=environ, check=True, capture_output=True, text=True
        ).stdout

    run("check", "--read-data")
    manifest, snapshot = json.loads(run("snapshots", "--json"))
    assert f"protectd:manifest={copied['id']}" in manifest["tags"]
    assert json.loads(run("dump", manifest["id"], "manifest.json"))["checkpoint"]["id"] == copied["id"]
    assert snapshot["original"] == made["resources"][0]["snapshot_id"]
    assert snapshot["id"] == copied["resources"][0]["snapshot_id"]
    tags = dict(tag.split("=", 1) for tag in snapshot["tags"])
    assert tags["protectd:checkpoint"] == copied["id"]
    assert tags["protectd:resource"] == copied["resources"][0]["id"]


def test_the_log_tells_of_each_copy(owner: Client, plan: dict[str, Any]) -> None:
    owner.checkpoint(plan)
    (pair,) = copy(owner, plan)
    (line,) = owner.get("operation_logs?operation_type=copy")["operation_logs"]
    assert (line["status"], line["checkpoint_id"]) == ("available", pair["checkpoint_copy_id"])
    assert (line["plan_id"], line["provider_id"]) == (plan["id"], MEMORY_ID)


# --- what goes wrong ---


def test_one_that_fails_says_why_and_leaves_the_others_alone(
    direct: Service, owner: Client, plan: dict[str, Any]
) -> None:
    bad, good = owner.checkpoint(plan), owner.checkpoint(plan)
    with direct.parts.database.write() as uow:
        row = uow.checkpoints.get(bad["id"]).resources[0]
        row.snapshot_id, kept = "f" * 64, row.snapshot_id
    pairs = copy(owner, plan)
    assert [pair["checkpoint_protect_id"] for pair in pairs] == [bad["id"], good["id"]]
    failed, copied = (show(owner, pair["checkpoint_copy_id"]) for pair in pairs)
    assert (failed["status"], copied["status"]) == ("error", "available")
    assert failed["error"]["code"] == "vault.snapshot_not_found"
    assert failed["resources"][0]["status"] == "error"
    with direct.parts.database.write() as uow:
        uow.checkpoints.get(bad["id"]).resources[0].snapshot_id = kept
    (pair,) = copy(owner, plan)
    assert pair["checkpoint_protect_id"] == bad["id"], "what failed is tried again"
    assert show(owner, pair["checkpoint_copy_id"])["status"] == "available"


def test_one_that_was_deleted_is_made_again(owner: Client, plan: dict[str, Any]) -> None:
    owner.checkpoint(plan)
    (pair,) = copy(owner, plan)
    owner.call("DELETE", f"providers/{MEMORY_ID}/checkpoints/{pair['checkpoint_copy_id']}")
    (again,) = copy(owner, plan)
    assert again["checkpoint_protect_id"] == pair["checkpoint_protect_id"]
    assert show(owner, again["checkpoint_copy_id"])["status"] == "available"


# --- while they wait ---


@pytest.fixture
def waiting(service: Service, member: Client) -> tuple[dict[str, Any], dict[str, Any]]:
    """A plan and a checkpoint of it that is available as far as the rows say."""
    plan = member.plan(service.allowed, FILES_ID)
    made = member.checkpoint(plan)
    change(service, made["id"], status="available")
    return plan, made


def test_a_copy_waits_and_pins_its_source(
    service: Service, member: Client, waiting: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    plan, made = waiting
    (pair,) = copy(member, plan)
    copied = show(member, pair["checkpoint_copy_id"])
    assert (copied["status"], copied["progress"]["operation"]) == ("wait_copying", "copy")
    for provider_id, id, error in (
        (FILES_ID, made["id"], "checkpoint.pinned"),
        (MEMORY_ID, copied["id"], "checkpoint.busy"),
    ):
        fault = member.refused("DELETE", f"providers/{provider_id}/checkpoints/{id}", 409)
        assert fault["error"] == error
    (line,) = member.get("operation_logs?status=wait_copying")["operation_logs"]
    assert line["operation_type"] == "copy"
    change(service, copied["id"], status="error")
    assert member.call("DELETE", f"providers/{FILES_ID}/checkpoints/{made['id']}").status_int == 202


def test_a_copy_that_is_asked_to_end_is_in_error_and_lets_its_source_go(
    service: Service, member: Client, waiting: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    plan, _ = waiting
    copy(member, plan)
    (line,) = member.get("operation_logs?operation_type=copy")["operation_logs"]
    assert member.call("DELETE", f"operation_logs/{line['id']}").status_int == 202


def test_of_many_requests_at_once_one_copies(
    service: Service, member: Client, waiting: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    plan, _ = waiting
    found = together(service, member, [lambda client: copy(client, plan)] * 6)
    assert sorted(map(len, found)) == [0, 0, 0, 0, 0, 1]


def test_no_more_are_begun_than_quotas_have_room_for_and_the_rest_comes_later(
    service: Service, member: Client
) -> None:
    plan = member.plan(service.allowed, FILES_ID)
    made = [member.checkpoint(plan)["id"] for _ in range(3)]
    for id in made:
        change(service, id, status="available")
    admin = service.client(role="admin")
    for limit, copied in ((5, made[:2]), (6, made[2:])):
        quota = {"quota": {"checkpoints": limit}}
        assert admin.call("PUT", f"quotas/{member.project_id}", quota).status_int == 200
        assert [pair["checkpoint_protect_id"] for pair in copy(member, plan)] == copied


# --- what is refused ---


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"plan_id": "x"}, "copy.plan_id"),
        ({"plan_id": None}, "copy.plan_id"),
        ({"parameters": None}, "copy.parameters"),
        ({"parameters": {"directory": {}}}, "copy.parameters.directory"),
        ({"parameters": {"copy": {"provider": "x"}}}, "copy.parameters.copy.provider"),
        ({"parameters": {"copy": {"provider_id": "x"}}}, "copy.parameters.copy.provider_id"),
        ({"parameters": {"copy": {"provider_id": UNKNOWN_ID}}}, "copy.parameters.copy.provider_id"),
        ({"more": 1}, "copy.more"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    member: Client, waiting: tuple[dict[str, Any], dict[str, Any]], fields: dict[str, Any], field: str
) -> None:
    plan, _ = waiting
    assert member.refused("POST", action(plan), 400, copy_body(plan, **fields))["field"] == field


def test_the_parameters_are_required(member: Client) -> None:
    body = {"copy": {"plan_id": UNKNOWN_ID}}
    fault = member.refused("POST", f"providers/{FILES_ID}/checkpoints/action", 400, body)
    assert fault["field"] == "copy.parameters"


def test_a_plan_without_a_checkpoint_has_nothing_to_copy(service: Service, member: Client) -> None:
    plan = member.plan(service.allowed, FILES_ID)
    fault = member.refused("POST", action(plan), 400, copy_body(plan))
    assert (fault["error"], fault["field"]) == ("copy.no_checkpoint", "copy.plan_id")


def test_one_whose_checkpoints_are_not_available_yet_is_answered_with_none(
    service: Service, member: Client
) -> None:
    plan = member.plan(service.allowed, FILES_ID)
    member.checkpoint(plan)
    assert copy(member, plan) == []


def test_the_plan_has_to_be_the_projects_and_the_providers(
    service: Service, member: Client, waiting: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    plan, _ = waiting
    fault = member.refused("POST", action(plan | {"provider_id": MEMORY_ID}), 400, copy_body(plan))
    assert (fault["error"], fault["field"]) == ("plan.other_provider", "copy.plan_id")
    member.refused("POST", action(plan | {"provider_id": UNKNOWN_ID}), 404, copy_body(plan))
    member.refused("POST", action(plan | {"provider_id": "x"}), 400, copy_body(plan))
    fault = service.client().refused("POST", action(plan), 404, copy_body(plan))
    assert (fault["error"], fault["field"]) == ("plan.not_found", "copy.plan_id")


def test_other_verbs_are_refused(member: Client) -> None:
    path = f"providers/{FILES_ID}/checkpoints/action"
    assert member.refused("GET", path, 405)["error"]
    assert member.refused("DELETE", path, 405)["error"]
