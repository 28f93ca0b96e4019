"""Verifications: how deep they look, and what they find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.service import FILES_ID, MEMORY_ID, Client, Service, run_body

UNKNOWN_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


@pytest.fixture(scope="module")
def owner(direct: Service) -> Client:
    return direct.client()


@pytest.fixture(scope="module")
def checkpoint(direct: Service, owner: Client) -> dict[str, Any]:
    made = owner.checkpoint(owner.plan(direct.directory("verified"), FILES_ID))
    assert made["status"] == "available", made["error"]
    return made


def verify(client: Client, checkpoint: dict[str, Any], **fields: Any) -> dict[str, Any]:
    body = run_body(checkpoint, **fields)
    return dict(client.post("verifications", {"verification": body}, 202)["verification"])


def test_without_a_word_on_depth_every_byte_is_read(owner: Client, checkpoint: dict[str, Any]) -> None:
    made = verify(owner, checkpoint)
    assert (made["status"], made["depth"]) == ("success", "data"), made["error"]
    assert made["read_bytes"] > 0
    assert made["errors"] == []
    assert list(made["resources_status"].values()) == ["available"]
    assert owner.get(f"verifications/{made['id']}")["verification"] == made
    assert made["id"] in [each["id"] for each in owner.get("verifications")["verifications"]]


def test_structure_alone_can_be_asked_for(owner: Client, checkpoint: dict[str, Any]) -> None:
    made = verify(owner, checkpoint, depth="structure")
    assert (made["status"], made["depth"]) == ("success", "structure")


def test_parameters_may_be_left_out(owner: Client, checkpoint: dict[str, Any]) -> None:
    body = run_body(checkpoint)
    del body["parameters"]
    owner.post("verifications", {"verification": body}, 202)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"provider_id": MEMORY_ID}, "verification.provider_id"),
        ({"provider_id": UNKNOWN_ID}, "verification.provider_id"),
        ({"checkpoint_id": "x"}, "verification.checkpoint_id"),
        ({"depth": "deep"}, "verification.depth"),
        ({"parameters": {"directory": {"x": 1}}}, "verification.parameters.directory.x"),
        ({"parameters": {"volume": {}}}, "verification.parameters.volume"),
        ({"restore_target": None}, "verification.restore_target"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    owner: Client, checkpoint: dict[str, Any], fields: dict[str, Any], field: str
) -> None:
    body = {"verification": run_body(checkpoint, **fields)}
    assert owner.refused("POST", "verifications", 400, body)["field"] == field


def test_parameters_of_what_the_checkpoint_does_not_hold_are_of_nothing(
    owner: Client, checkpoint: dict[str, Any]
) -> None:
    key = f"directory#{UNKNOWN_ID}"
    body = {"verification": run_body(checkpoint, parameters={key: {}})}
    fault = owner.refused("POST", "verifications", 404, body)
    assert (fault["error"], fault["field"]) == (
        "checkpoint.holds_no_such",
        f"verification.parameters.{key}",
    )


def test_another_projects_checkpoint_and_verification_are_not_there(
    direct: Service, owner: Client, checkpoint: dict[str, Any]
) -> None:
    made = verify(owner, checkpoint, depth="structure")
    stranger = direct.client()
    fault = stranger.refused("POST", "verifications", 404, {"verification": run_body(checkpoint)})
    assert (fault["error"], fault["field"]) == ("checkpoint.not_found", "verification.checkpoint_id")
    assert stranger.refused("GET", f"verifications/{made['id']}", 404)["error"] == "verification.not_found"
    assert stranger.get("verifications") == {"verifications": []}


def spoil(service: Service, owner: Client) -> None:
    """Change a byte of each pack of a project."""
    bank = Path(service.parts.conf.state_dir).parent / "bank" / FILES_ID / owner.project_id
    for pack in (bank / "data").rglob("*"):
        if pack.is_file():
            raw = bytearray(pack.read_bytes())
            raw[40] ^= 1
            pack.chmod(0o600)
            pack.write_bytes(raw)


def test_a_damaged_bank_is_found_and_told(direct: Service) -> None:
    member = direct.client()
    made = member.checkpoint(member.plan(direct.directory("damaged"), FILES_ID))
    spoil(direct, member)
    verified = verify(member, made)
    assert verified["status"] == "fail"
    assert verified["error"]["message"]
    assert verified["errors"]


def test_every_depth_says_what_it_has_looked_at(owner: Client, checkpoint: dict[str, Any]) -> None:
    (resource,) = checkpoint["resources"]
    key = f"{resource['type']}#{resource['id']}"
    for depth in ("structure", "data"):
        told = verify(owner, checkpoint, depth=depth)["report"]["resources"][key]
        assert (told["snapshots"], told["errors"]) == (1, [])
        assert told["blobs"] > 0
        assert (told["read_bytes"] > 0) == (depth == "data")


def test_a_restore_drill_proves_how_long_recovery_takes(
    direct: Service, owner: Client, checkpoint: dict[str, Any]
) -> None:
    made = verify(owner, checkpoint, depth="restore")
    assert (made["status"], made["depth"], made["errors"]) == ("success", "restore", [])
    assert made["recovery_s"] > 0
    assert made["files"] == checkpoint["files"]
    assert made["read_bytes"] == checkpoint["logical_bytes"]
    (told,) = made["report"]["resources"].values()
    assert told["restored"]["files"] == told["compared"]["files"] == checkpoint["files"]
    path = f"providers/{FILES_ID}/checkpoints/{checkpoint['id']}"
    shown = owner.get(path)["checkpoint"]
    assert (shown["verified_depth"], shown["proven_recovery_s"]) == ("restore", made["recovery_s"])
    assert shown["verified_at"] is not None
    assert shown["proven_depth"] == "restore"
    proven = shown["proven_at"]
    newer = verify(owner, checkpoint, depth="structure")
    for depth in ("data", "structure"):
        verify(owner, checkpoint, depth=depth)
    (listing,) = owner.get(f"providers/{FILES_ID}/checkpoints")["checkpoints"]
    for shown in (owner.get(path)["checkpoint"], listing):
        assert (shown["proven_depth"], shown["proven_at"]) == ("restore", proven)
        assert shown["verified_depth"] == "structure"
        assert shown["verified_at"] > newer["ended_at"] > proven
        assert shown["proven_recovery_s"] == made["recovery_s"]
    listed = owner.get("verifications?depth=restore")["verifications"]
    assert [each["recovery_s"] for each in listed] == [made["recovery_s"]]
    scratch = Path(direct.parts.conf.state_dir) / "scratch"
    assert list(scratch.iterdir()) == []


def test_the_scratch_place_is_nobodys(direct: Service) -> None:
    boss = direct.client(role="admin")
    place = Path(direct.parts.conf.state_dir) / "scratch"
    body = boss.plan_body(place, FILES_ID)
    assert boss.refused("POST", "plans", 403, body)["error"] == "path.not_allowed"
