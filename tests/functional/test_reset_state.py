"""Checkpoints that something went wrong with: a way out of every state, and none into a lie."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest

from protectd.domain.balances import heal
from protectd.model.states import MOVES
from protectd.model.unit_of_work import Database
from protectd.tasks.errors import LeaseLost
from protectd.tasks.protect import ProtectCheckpoint
from tests.fakes import rows
from tests.fakes.clock import ManualClock
from tests.fakes.service import FILES_ID, MEMORY_ID, Client, Service, run_body, together
from tests.fakes.tree import differences, tree
from tests.fakes.vaults import PROVIDER_ID, Protected

pytest_plugins = ["tests.fakes.databases"]

UNKNOWN_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
STUCK = [
    "PENDING",
    "protecting",
    "available",
    "error",
    "deleting",
    "error-deleting",
    "wait_copying",
    "copying",
]


def url(checkpoint: dict[str, Any]) -> str:
    return f"providers/{checkpoint['protection_plan']['provider_id']}/checkpoints/{checkpoint['id']}"


def body(state: Any) -> dict[str, Any]:
    return {"os-resetState": {"state": state}}


def place(
    service: Service,
    checkpoint: dict[str, Any],
    status: str,
    resources: str | None = None,
    *,
    recorded: bool = True,
) -> None:
    """Leave a checkpoint in a state as a worker would that was lost, and whose task nobody has any more.

    :param recorded: False: it was lost before the rows said where the data lies.
    """
    with service.parts.database.write() as uow:
        row = uow.checkpoints.get(checkpoint["id"])
        row.status = status
        for resource in row.resources:
            resource.status = resources or resource.status
            resource.snapshot_id = resource.snapshot_id if recorded else None
        row.manifest_id = row.manifest_id if recorded else None
        for task in uow.tasks.live("checkpoint", checkpoint["id"]):
            task.state = "failed"


@pytest.fixture
def made(direct: Service) -> tuple[Client, dict[str, Any]]:
    """An available checkpoint and its owner."""
    member = direct.client()
    checkpoint = member.checkpoint(member.plan(direct.directory(uuid.uuid4().hex), FILES_ID))
    assert checkpoint["status"] == "available", checkpoint["error"]
    return member, checkpoint


# --- to error ---


@pytest.mark.parametrize("status", [*STUCK, "finished"])
def test_every_state_that_nobody_works_in_can_be_called_an_error(
    service: Service, member: Client, status: str
) -> None:
    checkpoint = member.checkpoint(member.plan(service.allowed / "x"))
    place(service, checkpoint, status)
    answer = member.call("PUT", url(checkpoint), body("error"))
    assert (answer.status_int, answer.json) == (202, {})
    assert answer.headers["Location"].endswith(url(checkpoint))
    shown = member.get(url(checkpoint))["checkpoint"]
    assert shown["status"] == "error"
    assert [each["status"] for each in shown["resources"]] == ["error"]
    assert member.call("DELETE", url(checkpoint)).status_int == 202


@pytest.mark.parametrize("state", ["available", "error"])
def test_what_a_task_has_in_hand_is_left_to_it(service: Service, member: Client, state: str) -> None:
    checkpoint = member.checkpoint(member.plan(service.allowed / "x"))
    fault = member.refused("PUT", url(checkpoint), 400, body(state))
    assert fault["error"] == "checkpoint.reset_refused"
    assert "protect" in fault["message"] and "PENDING" in fault["message"]
    assert member.get(url(checkpoint))["checkpoint"]["status"] == "PENDING"


@pytest.mark.parametrize("state", ["available", "error"])
def test_what_is_being_read_is_left_as_it_is(service: Service, member: Client, state: str) -> None:
    for key in ("restore", "verification", "copy"):
        plan = member.plan(service.allowed / "x")
        checkpoint = member.checkpoint(plan)
        place(service, checkpoint, "available")
        if key == "copy":
            path = f"providers/{MEMORY_ID}/checkpoints/action"
            member.post(path, {"copy": {"plan_id": plan["id"], "parameters": {}}}, 202)
        else:
            member.post(f"{key}s", {key: run_body(checkpoint)}, 202)
        fault = member.refused("PUT", url(checkpoint), 409, body(state))
        assert fault["error"] == "checkpoint.pinned"
        assert member.get(url(checkpoint))["checkpoint"]["status"] == "available"


def test_of_restores_and_a_reset_at_once_none_reads_what_is_in_error(
    service: Service, member: Client
) -> None:
    """Either the reset is first and they are refused, or it is."""
    for _ in range(8):
        checkpoint = member.checkpoint(member.plan(service.allowed / "x"))
        place(service, checkpoint, "available")

        def put(client: Client, where: str = url(checkpoint)) -> int:
            return client.call("PUT", where, body("error")).status_int

        def restore(client: Client, of: dict[str, Any] = checkpoint) -> int:
            return client.call("POST", "restores", {"restore": run_body(of)}).status_int

        answers = together(service, member, [put, restore, restore, put])
        resets, restores = {answers[0], answers[3]}, set(answers[1:3])
        status = member.get(url(checkpoint))["checkpoint"]["status"]
        assert (resets, restores, status) in [({202}, {409}, "error"), ({409}, {202}, "available")]


def test_one_that_is_gone_stays_so(service: Service, member: Client) -> None:
    checkpoint = member.checkpoint(member.plan(service.allowed / "x"))
    place(service, checkpoint, "deleted")
    assert "deleted" in member.refused("PUT", url(checkpoint), 400, body("error"))["message"]


def test_what_is_not_the_projects_is_not_there(service: Service, member: Client) -> None:
    checkpoint = member.checkpoint(member.plan(service.allowed / "x"))
    place(service, checkpoint, "error")
    for client in (service.client(), service.client(role="admin")):
        assert client.refused("PUT", url(checkpoint), 404, body("error"))["error"] == "checkpoint.not_found"
    elsewhere = url(checkpoint).replace(MEMORY_ID, FILES_ID)
    member.refused("PUT", elsewhere, 404, body("error"))
    member.refused("PUT", url(checkpoint).replace(checkpoint["id"], UNKNOWN_ID), 404, body("error"))
    boss = service.client(role="admin")
    answer = boss.call("PUT", f"{url(checkpoint)}?all_tenants=1", body("error"))
    assert answer.status_int == 202


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        (body("deleted"), "os-resetState.state"),
        (body(None), "os-resetState.state"),
        ({"os-resetState": {}}, "os-resetState.state"),
        ({"os-resetState": {"state": "error", "more": 1}}, "os-resetState.more"),
        ({"state": "error"}, "state"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    service: Service, member: Client, sent: dict[str, Any], field: str
) -> None:
    checkpoint = member.checkpoint(member.plan(service.allowed / "x"))
    assert member.refused("PUT", url(checkpoint), 400, sent)["field"] == field


def test_no_way_out_needs_a_source_that_is_not_named() -> None:
    allowed = MOVES["checkpoint"]
    assert {(status, "error") for status in STUCK if status != "error"} <= allowed
    assert {(status, "available") for status in STUCK if status != "available"} <= allowed


# --- to available ---


@pytest.mark.parametrize("status", STUCK)
def test_a_whole_checkpoint_is_available_again(
    direct: Service, made: tuple[Client, dict[str, Any]], status: str
) -> None:
    member, checkpoint = made
    place(direct, checkpoint, status, "error" if status == "error" else None)
    assert member.call("PUT", url(checkpoint), body("available")).status_int == 202
    shown = member.get(url(checkpoint))["checkpoint"]
    assert (shown["status"], shown["error"]) == ("available", None)
    assert [each["status"] for each in shown["resources"]] == ["available"]
    assert shown["progress"]["operation"] == "reset"
    same = ("files", "logical_bytes", "resource_graph", "partial", "ended_at", "created_at")
    assert {key: shown[key] for key in same} == {key: checkpoint[key] for key in same}
    target = direct.allowed / uuid.uuid4().hex
    restored = member.restore(checkpoint, parameters={"directory": {"path": str(target)}})["restore"]
    assert restored["status"] == "success", restored["error"]
    assert (target / "below" / "two.txt").read_text() == "two\n"


@pytest.mark.parametrize("status", STUCK)
def test_one_without_its_data_stays_where_it_is_and_says_why(
    direct: Service, made: tuple[Client, dict[str, Any]], status: str
) -> None:
    member, checkpoint = made
    provider = direct.parts.providers.get(FILES_ID)
    with direct.parts.vaults.session(provider, member.project_id) as vault:
        vault.forget([each.id for each in vault.snapshots()])
    place(direct, checkpoint, status)
    assert member.call("PUT", url(checkpoint), body("available")).status_int == 202
    shown = member.get(url(checkpoint))["checkpoint"]
    assert shown["status"] == status
    assert shown["error"]["code"] == "manifest.data_gone"
    assert checkpoint["resources"][0]["id"] in shown["error"]["message"]


def test_one_whose_pack_is_gone_stays_where_it_is(
    direct: Service, made: tuple[Client, dict[str, Any]]
) -> None:
    member, checkpoint = made
    shutil.rmtree(direct.allowed.parent / "bank" / FILES_ID / member.project_id / "data")
    place(direct, checkpoint, "error")
    member.call("PUT", url(checkpoint), body("available"))
    shown = member.get(url(checkpoint))["checkpoint"]
    assert (shown["status"], shown["error"]["code"]) == ("error", "resource.damaged")


def test_one_that_was_never_saved_stays_where_it_is(direct: Service) -> None:
    member = direct.client()
    checkpoint = member.checkpoint(member.plan(direct.allowed / "never", FILES_ID))
    assert checkpoint["status"] == "error"
    member.call("PUT", url(checkpoint), body("available"))
    shown = member.get(url(checkpoint))["checkpoint"]
    assert (shown["status"], shown["error"]["code"]) == ("error", "task.not_saved")


def test_of_a_delete_and_resets_at_once_one_is_first(service: Service, member: Client) -> None:
    """Whichever it is, what follows is a state that has a way out, and one task."""
    for _ in range(5):
        checkpoint = member.checkpoint(member.plan(service.allowed / "x"))
        place(service, checkpoint, "error")

        def put(client: Client, where: str = url(checkpoint)) -> Any:
            return client.call("PUT", where, body("available"))

        def delete(client: Client, where: str = url(checkpoint)) -> Any:
            return client.call("DELETE", where)

        answers = together(service, member, [put, put, delete, put])
        resets = [answer.status_int for answer in (answers[0], answers[1], answers[3])]
        assert resets.count(202) <= 1
        assert set(resets) <= {202, 400}
        assert answers[2].status_int == 202
        assert member.get(url(checkpoint))["checkpoint"]["status"] == "deleting"


def in_use(member: Client) -> tuple[int, int]:
    quota = member.get(f"quotas/{member.project_id}/detail")["quota"]
    return quota["checkpoints"]["in_use"], quota["stored_bytes"]["in_use"]


def limit(service: Service, member: Client, checkpoints: int) -> None:
    body = {"quota": {"checkpoints": checkpoints}}
    boss = service.client(role="admin")
    assert boss.call("PUT", f"quotas/{member.project_id}", body).status_int == 200


def test_what_lies_in_the_bank_counts_whatever_it_is_called(
    direct: Service, made: tuple[Client, dict[str, Any]]
) -> None:
    member, checkpoint = made
    before = in_use(member)
    assert before[0] == 1 and before[1] > 0
    for state in ("error", "error", "available", "available", "error"):
        assert member.call("PUT", url(checkpoint), body(state)).status_int == 202
        assert in_use(member) == before
        assert heal(direct.parts.database, member.project_id, direct.parts.clock) == {}
    shutil.rmtree(direct.allowed.parent / "bank" / FILES_ID / member.project_id / "data")
    member.call("PUT", url(checkpoint), body("available"))
    assert member.get(url(checkpoint))["checkpoint"]["status"] == "error"
    assert in_use(member) == before
    assert member.call("DELETE", url(checkpoint)).status_int == 202
    assert in_use(member) == (0, 0)


def test_nothing_is_parked_by_calling_it_an_error(
    direct: Service, made: tuple[Client, dict[str, Any]]
) -> None:
    member, checkpoint = made
    limit(direct, member, checkpoints=1)
    member.call("PUT", url(checkpoint), body("error"))
    plan_id = checkpoint["protection_plan"]["id"]
    path = f"providers/{FILES_ID}/checkpoints"
    fault = member.refused("POST", path, 413, {"checkpoint": {"plan_id": plan_id}})
    assert fault["error"] == "quota.exceeded"
    assert member.call("PUT", url(checkpoint), body("available")).status_int == 202
    assert member.get(url(checkpoint))["checkpoint"]["status"] == "available"


def test_none_that_was_given_back_is_available_again_beyond_the_quota(
    direct: Service, made: tuple[Client, dict[str, Any]]
) -> None:
    member, checkpoint = made
    limit(direct, member, checkpoints=1)
    place(direct, checkpoint, "protecting", recorded=False)
    member.call("PUT", url(checkpoint), body("error"))
    assert in_use(member) == (0, 0)
    plan = {"id": checkpoint["protection_plan"]["id"], "provider_id": FILES_ID}
    assert member.checkpoint(plan)["status"] == "available"
    fault = member.refused("PUT", url(checkpoint), 413, body("available"))
    assert fault["error"] == "quota.exceeded"
    assert member.get(url(checkpoint))["checkpoint"]["status"] == "error"


def test_what_no_row_knows_to_be_there_is_given_back_and_taken_once(
    direct: Service, made: tuple[Client, dict[str, Any]]
) -> None:
    member, checkpoint = made
    before = in_use(member)
    place(direct, checkpoint, "protecting", recorded=False)
    for state, expected in (
        ("error", (0, 0)),
        ("error", (0, 0)),
        ("available", before),
        ("available", before),
        ("error", before),
    ):
        assert member.call("PUT", url(checkpoint), body(state)).status_int == 202
        assert in_use(member) == expected
        assert heal(direct.parts.database, member.project_id, direct.parts.clock) == {}


# --- what the vault says ---


@pytest.fixture
def source(tmp_path: Path) -> Path:
    made = tmp_path / "source"
    made.mkdir()
    (made / "one.txt").write_text("one")
    return made


@pytest.fixture
def site(chosen_database: Database, tmp_path: Path):
    made = Protected(chosen_database, ManualClock(), (str(tmp_path),))
    yield made
    made.engine.close()


def reset(site: Protected, checkpoint: Any) -> Any:
    with site.database.write() as uow:
        site.submission(uow).process_reset(uow.checkpoints.get(checkpoint.id))
    site.work()
    return site.found(checkpoint)


class Vanished(ProtectCheckpoint):
    """A worker that is lost between the last byte in the vault and its last word."""

    def handle_processing(self, run):
        super().handle_processing(run)
        raise LeaseLost(task_id=run.task_id)

    def handle_lost(self, run):
        """Its process is gone."""


@pytest.fixture
def vanished(site, source):
    """A checkpoint whose data and manifest are in the vault, and whose rows know nothing of it."""
    checkpoint = site.checkpoint(site.plan(source))
    (ref,) = site.due()
    Vanished(site.env).process_and_suppress_exceptions(ref.context, ref.task_id)
    with site.database.write() as uow:
        uow.tasks.get(ref.task_id).state = "failed"
    found = site.found(checkpoint)
    assert (found.status, found.resources[0].snapshot_id) == ("protecting", None)
    return checkpoint


def test_what_was_saved_whole_is_known_from_the_vault(site, source, vanished, tmp_path):
    found = reset(site, vanished)
    assert (found.status, found.error_message) == ("available", None)
    assert (found.files, found.resources[0].status) == (1, "available")
    assert site.manifests() == [vanished.id]
    restore = site.restore(vanished, path=str(tmp_path / "restored"))
    site.work()
    assert site.restored(restore).status == "success"
    assert differences(tree(source), tree(tmp_path / "restored")) == []


def test_without_a_manifest_nobody_knows_whether_it_was_all(site, vanished):
    with site.open_vault() as vault:
        vault.forget([each.id for each in vault.snapshots() if each.paths == ("/manifest.json",)])
    found = reset(site, vanished)
    assert (found.status, found.error_code) == ("protecting", "task.not_saved")


def test_a_manifest_that_is_gone_is_written_again(site, source):
    checkpoint = site.checkpoint(site.plan(source))
    site.work()
    with site.open_vault() as vault:
        vault.forget([site.found(checkpoint).manifest_id])
    assert site.manifests() == []
    found = reset(site, checkpoint)
    assert (found.status, site.manifests()) == ("available", [checkpoint.id])
    with site.open_vault() as vault:
        assert found.manifest_id in [each.id for each in vault.snapshots()]


def test_a_checkpoint_that_is_deleted_meanwhile_is_not_called_back(site, source):
    checkpoint = site.checkpoint(site.plan(source))
    site.work()
    with site.database.write() as uow:
        uow.checkpoints.get(checkpoint.id).status = "error"
    with site.database.write() as uow:
        site.submission(uow).process_reset(uow.checkpoints.get(checkpoint.id))
    (ref,) = site.due()
    made = site.operations["reset"]()
    process = made.handle_processing

    def slowly(run):
        process(run)
        site.delete(checkpoint)

    made.handle_processing = slowly
    made.process_and_suppress_exceptions(ref.context, ref.task_id)
    assert site.found(checkpoint).status == "deleting"
    site.work()
    assert site.found(checkpoint).status == "deleted"
    assert (site.snapshots(), site.manifests()) == ([], [])
    bank = site.bank.section(f"{PROVIDER_ID}/{rows.PROJECT}")
    assert list(bank.list("data")) == []
