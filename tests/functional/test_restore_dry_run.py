"""Dry runs of restores: what would happen, and nothing that does."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.mounts import small_file_system
from tests.fakes.service import FILES_ID, Client, Service, run_body
from tests.fakes.tree import tree


@pytest.fixture
def owner(direct: Service) -> Client:
    return direct.client()


@pytest.fixture
def source(direct: Service) -> Path:
    made = direct.allowed / uuid.uuid4().hex
    (made / "below").mkdir(parents=True)
    (made / "one.txt").write_text("one\n" * 1000)
    (made / "below" / "two.bin").write_bytes(os.urandom(50_000))
    os.link(made / "one.txt", made / "further")
    (made / "link").symlink_to("one.txt")
    os.mkfifo(made / "pipe")
    return made


@pytest.fixture
def checkpoint(owner: Client, source: Path) -> dict[str, Any]:
    made = owner.checkpoint(owner.plan(source, FILES_ID))
    assert made["status"] == "available", made["error"]
    return made


def everything(directory: Path) -> Any:
    """All that could show a write: content, attributes and times, of the directory above too."""
    times = {
        str(path): (status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
        for path in sorted([directory.parent, directory, *directory.rglob("*")])
        if (status := path.lstat())
    }
    return tree(directory), times


def dry_run(client: Client, checkpoint: dict[str, Any], **fields: Any) -> dict[str, Any]:
    restore = client.restore(checkpoint, dry_run=True, **fields)["restore"]
    assert restore["status"] == "success", restore["error"]
    assert restore["dry_run"] is True
    assert restore["written_bytes"] == restore["files"] == 0
    return dict(restore["report"])


def only(report: dict[str, Any]) -> dict[str, Any]:
    (one,) = report["resources"].values()
    return dict(one)


def test_what_would_come_into_a_new_place_is_counted(
    direct: Service, owner: Client, checkpoint: dict[str, Any]
) -> None:
    target = direct.allowed / uuid.uuid4().hex / "deep"
    report = dry_run(owner, checkpoint, parameters={"directory": {"path": str(target)}})
    assert (report["possible"], report["fits"], report["conflict_count"]) == (True, True, 0)
    assert (report["files"], report["directories"], report["links"], report["others"]) == (3, 2, 1, 1)
    assert report["data_bytes"] == 4000 + 50_000, "a file of two names counts once"
    one = only(report)
    assert (one["target"], one["exists"], one["writable"], one["refusal"]) == (str(target), False, True, None)
    assert one["free_bytes"] > 0
    assert not target.parent.exists()
    restore = owner.restore(checkpoint, parameters={"directory": {"path": str(target)}})["restore"]
    assert (restore["status"], restore["files"]) == ("success", report["files"])
    assert restore["written_bytes"] == report["data_bytes"]


def test_in_place_it_tells_what_would_be_replaced_and_touches_nothing(
    owner: Client, checkpoint: dict[str, Any], source: Path
) -> None:
    (source / "one.txt").write_text("changed\n")
    (source / "below" / "two.bin").unlink()
    (source / "below" / "two.bin").mkdir()
    (source / "below" / "two.bin" / "full").write_text("x")
    (source / "link").unlink()
    (source / "link").write_text("a file by now")
    (source / "mine").write_text("stays")
    before = everything(source)
    report = dry_run(owner, checkpoint, parameters={"directory": {"overwrite": True}})
    assert everything(source) == before
    told = {Path(each["path"]).name: (each["kind"], each["reason"]) for each in report["conflicts"]}
    assert told == {
        "one.txt": ("replaced", "it differs"),
        "further": ("replaced", "it differs"),
        "link": ("replaced", "it is of another kind"),
        "pipe": ("replaced", "it differs"),
        "two.bin": ("blocked", "a directory that is not empty is in its place"),
    }
    assert (report["replaced"], report["same"], report["blocked"], report["conflict_count"]) == (4, 0, 1, 5)
    assert report["possible"] is False
    assert {each["resource"] for each in report["conflicts"]} == set(report["resources"])


def test_what_is_as_it_was_is_counted_apart(owner: Client, checkpoint: dict[str, Any]) -> None:
    report = dry_run(owner, checkpoint, parameters={"directory": {"overwrite": True}})
    assert (report["possible"], report["same"], report["blocked"]) == (True, 3, 0)
    assert {Path(each["path"]).name for each in report["conflicts"]} == {"link", "pipe"}


def test_a_target_that_would_be_refused_says_why(
    direct: Service, owner: Client, checkpoint: dict[str, Any], source: Path
) -> None:
    report = dry_run(owner, checkpoint)
    assert report["possible"] is False
    assert only(report)["refusal"] == "the target is not empty"
    target = {"directory": {"path": str(source / "one.txt" / "below")}}
    report = dry_run(owner, checkpoint, parameters=target)
    assert "cannot be entered" in only(report)["refusal"]


def test_a_member_hears_what_he_would_not_get_back(
    direct: Service, owner: Client, checkpoint: dict[str, Any], source: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root makes devices and gives files away")
    os.mknod(source / "device", 0o600 | 0o020000, os.makedev(1, 3))
    os.chown(source / "one.txt", 4711, 4711)
    (source / "below" / "two.bin").chmod(0o4755)
    made = owner.checkpoint(owner.plan(source, FILES_ID))
    place = {"directory": {"path": str(direct.allowed / uuid.uuid4().hex)}}
    report = dry_run(owner, made, parameters=place)
    (issue,) = report["issues"]
    assert (Path(issue["path"]).name, issue["kind"]) == ("device", "withheld")
    notes = " ".join(only(report)["notes"])
    assert "2 entries will belong to the owner of the target" in notes, "two names of one file"
    assert "1 files and directories will lose their set-id bits" in notes
    admin = direct.client(owner.project_id, role="admin")
    report = dry_run(admin, made, parameters=place)
    assert (report["issue_count"], only(report)["notes"]) == (0, [])


def test_one_that_was_saved_by_another_version_says_so(
    direct: Service, owner: Client, checkpoint: dict[str, Any]
) -> None:
    with direct.parts.database.write() as uow:
        row = uow.checkpoints.get(checkpoint["id"]).resources[0]
        row.saved_info = row.saved_info | {"version": 99}
    report = dry_run(owner, checkpoint, parameters={"directory": {"overwrite": True}})
    assert any("version 99" in note for note in only(report)["notes"])


def test_a_mount_below_is_told_of(owner: Client, checkpoint: dict[str, Any], source: Path) -> None:
    for path in (source / "below").iterdir():
        path.unlink()
    (source / "below").rmdir()
    with small_file_system(source / "below", 1_000_000):
        report = dry_run(owner, checkpoint, parameters={"directory": {"overwrite": True}})
        assert any("one by one" in note for note in only(report)["notes"])
        parameters = {"directory": {"overwrite": True, "staged": False}}
        assert only(dry_run(owner, checkpoint, parameters=parameters))["notes"] == []


def test_data_that_is_not_there_any_more_is_an_issue(
    direct: Service, owner: Client, checkpoint: dict[str, Any]
) -> None:
    with direct.parts.database.write() as uow:
        uow.checkpoints.get(checkpoint["id"]).resources[0].snapshot_id = "f" * 64
    restore = owner.restore(checkpoint, dry_run=True)["restore"]
    assert (restore["status"], restore["error"]["code"]) == ("fail", "vault.snapshot_not_found")
    assert list(restore["resources_reason"].values()) == [restore["error"]["message"]]


def test_chosen_paths_are_looked_at_alone(
    direct: Service, owner: Client, checkpoint: dict[str, Any], source: Path
) -> None:
    place = {"directory": {"path": str(direct.allowed / uuid.uuid4().hex)}}
    report = dry_run(owner, checkpoint, paths=["below"], parameters=place)
    assert (report["files"], report["data_bytes"]) == (1, 50_000)


def test_it_is_no_restore_in_the_logs_and_can_be_told_apart_in_lists(
    owner: Client, checkpoint: dict[str, Any]
) -> None:
    dry = owner.restore(checkpoint, dry_run=True)["restore"]
    real = owner.restore(checkpoint)["restore"]
    assert [each["id"] for each in owner.get("restores?dry_run=true")["restores"]] == [dry["id"]]
    assert [each["id"] for each in owner.get("restores?dry_run=false")["restores"]] == [real["id"]]
    assert owner.refused("GET", "restores?dry_run=perhaps", 400)["field"] == "dry_run"
    lines = owner.get("operation_logs?operation_type=restore")["operation_logs"]
    assert [line["restore_id"] for line in lines] == [real["id"]]
    assert {line["operation_type"] for line in owner.get("operation_logs")["operation_logs"]} == {
        "protect",
        "restore",
    }
    assert owner.get(f"restores/{real['id']}")["restore"]["report"] is None


def test_when_it_has_ended_its_checkpoint_can_be_deleted(owner: Client, checkpoint: dict[str, Any]) -> None:
    owner.restore(checkpoint, dry_run=True)
    path = f"providers/{FILES_ID}/checkpoints/{checkpoint['id']}"
    assert owner.call("DELETE", path).status_int == 202


def test_what_a_restore_refuses_a_dry_run_refuses(owner: Client, checkpoint: dict[str, Any]) -> None:
    body = run_body(checkpoint, dry_run=True, parameters={"directory": {"path": "/etc"}})
    fault = owner.refused("POST", "restores", 403, {"restore": body})
    assert (fault["error"], fault["field"]) == ("path.not_allowed", "restore.parameters.directory.path")
    body = run_body(checkpoint, dry_run="yes")
    assert owner.refused("POST", "restores", 400, {"restore": body})["field"] == "restore.dry_run"


def test_one_that_waits_can_be_asked_to_end(service: Service, member: Client) -> None:
    made = member.checkpoint(member.plan(service.allowed / "somewhere"))
    with service.parts.database.write() as uow:
        uow.checkpoints.get(made["id"]).status = "available"
    dry = member.restore(made, dry_run=True)["restore"]
    answer = member.call("DELETE", f"restores/{dry['id']}")
    assert answer.status_int == 202
    assert answer.headers["Location"].endswith(f"/restores/{dry['id']}")
    assert answer.json["restore"]["id"] == dry["id"]
