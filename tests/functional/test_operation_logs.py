"""Operation logs: what was asked for, by whom it can be seen, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.service import Client, Service, run_body


def logs(client: Client, query: str = "") -> list[dict[str, Any]]:
    return list(client.get(f"operation_logs?{query}")["operation_logs"])


def words(client: Client, query: str = "") -> list[tuple[str, str]]:
    return [(each["operation_type"], each["status"]) for each in logs(client, query)]


@pytest.fixture(scope="module")
def owner(direct: Service) -> Client:
    """A project that has done one of each."""
    client = direct.client()
    checkpoint = client.checkpoint(client.plan(direct.directory("logged")))
    client.restore(checkpoint)
    client.post("verifications", {"verification": run_body(checkpoint)}, 202)
    url = f"providers/{checkpoint['protection_plan']['provider_id']}/checkpoints/{checkpoint['id']}"
    client.call("DELETE", url)
    client.ended(url, "checkpoint")
    return client


def test_each_operation_has_its_own_word_and_the_contracts_status(owner: Client) -> None:
    assert words(owner, "sort=created_at:asc") == [
        ("protect", "available"),
        ("restore", "fail"),
        ("verify", "success"),
        ("delete", "deleted"),
    ]


def test_a_line_names_its_subject_its_times_and_its_error(owner: Client) -> None:
    (failed,) = logs(owner, "status=fail")
    shown = owner.get(f"operation_logs/{failed['id']}")["operation_log"]
    assert shown == failed
    assert shown["restore_id"] == owner.get("restores")["restores"][0]["id"]
    assert shown["error_info"]
    assert shown["started_at"] <= shown["ended_at"]
    assert {"checkpoint_id", "plan_id", "provider_id", "scheduled_operation_id", "extra_info"} <= set(shown)


def test_lines_can_be_narrowed(owner: Client) -> None:
    (line,) = logs(owner, "operation_type=restore")
    assert words(owner, f"restore_id={line['restore_id']}") == [("restore", "fail")]
    assert len(logs(owner, f"checkpoint_id={line['checkpoint_id']}")) == 4
    assert logs(owner, "status=nothing") == []
    assert len(logs(owner, f"plan_id={line['plan_id']}&limit=2")) == 2


def test_another_projects_lines_are_not_there(direct: Service, owner: Client) -> None:
    stranger = direct.client()
    assert logs(stranger) == []
    stranger.refused("GET", f"operation_logs/{logs(owner)[0]['id']}", 404)


def test_what_waits_is_found_by_the_status_it_shows(service: Service, member: Client, tmp_path: Path) -> None:
    member.checkpoint(member.plan(service.allowed / "waits"))
    assert words(member) == words(member, "status=PENDING") == [("protect", "PENDING")]
    assert words(member, "status=protecting") == []


def test_the_clean_up_of_a_vault_is_nobodys_operation(owner: Client) -> None:
    assert "prune" not in [operation for operation, _ in words(owner)]
