"""Who is let in: tokens, their end, and what a stranger is told."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from protectd.api import policies
from protectd.common.ids import new_id
from protectd.domain import tokens
from tests.fakes.service import Client, Service, fault_of, running


def issue(service: Service, project_id: str, ttl_s: float | None = None, age_s: float = 0) -> str:
    now = service.parts.clock.now() - timedelta(seconds=age_s)
    with service.parts.database.write() as uow:
        return tokens.issue(uow, project_id, "user", ["member"], ttl_s, now)


def test_a_token_is_taken_from_either_header(service: Service, member: Client) -> None:
    url = f"/v1/{member.project_id}/plans"
    for headers in ({"X-Auth-Token": member.token}, {"Authorization": f"Bearer {member.token}"}):
        service.app.get(url, headers=headers, status=200)


def test_every_stranger_is_told_the_same(service: Service, member: Client) -> None:
    expired = issue(service, member.project_id, ttl_s=10, age_s=20)
    revoked = issue(service, member.project_id)
    with service.parts.database.write() as uow:
        row = uow.tokens.by_digest(tokens.digest(revoked))
        assert row is not None
        tokens.revoke(uow, row.id, service.parts.clock.now())
    url = f"/v1/{member.project_id}/plans"
    told = set()
    for token in (None, "", "x", member.token[:-1], member.token + "x", expired, revoked, "é", "x" * 10_000):
        headers = {} if token is None else {"X-Auth-Token": token}
        answer = service.app.get(url, headers=headers, expect_errors=True)
        fault = fault_of(answer)
        assert answer.status_int == 401
        told.add((fault["name"], fault["message"], fault["error"], answer.headers["WWW-Authenticate"]))
    assert len(told) == 1


def test_a_stranger_learns_nothing_of_paths_and_verbs(service: Service) -> None:
    for method, path in (
        ("GET", "/nothing"),
        ("POST", "/v1/x/plans"),
        ("BREW", "/v1/x/plans"),
        ("GET", "/v1/x"),
    ):
        request = service.app.RequestClass.blank(path, method=method)
        assert service.app.do_request(request, expect_errors=True).status_int == 401


def test_a_live_token_that_ends_later_is_good(service: Service) -> None:
    project_id = new_id()
    token = issue(service, project_id, ttl_s=3600)
    assert Client(service.app, token, project_id).get("plans") == {"plans": []}


def test_without_authentication_the_token_says_who_one_is(tmp_path: Path) -> None:
    with running(tmp_path, auth="noauth") as service:
        client = Client(service.app, "ada:tests", "tests")
        assert client.get("plans") == {"plans": []}
        service.app.get("/v1/tests/plans", status=401)
        assert client.refused("GET", "/v1/others/plans", 404)["error"] == "path.not_found"


def test_the_shipped_policy_sample_changes_nothing() -> None:
    sample = Path(__file__).parents[2] / "etc/protectd/policy.yaml"
    lines = [line for line in sample.read_text().splitlines() if line and not line.startswith("#")]
    assert lines == []


def test_the_shipped_policy_sample_tells_every_rule() -> None:
    sample = (Path(__file__).parents[2] / "etc/protectd/policy.yaml").read_text()
    told = [line for line in sample.splitlines() if line.startswith('#"')]
    rules: list[Any] = policies.list_rules()
    assert told == [f'#"{rule.name}": "{rule.check_str}"' for rule in rules]


@pytest.mark.parametrize("rule", ["plan:create", "plan:get_all"])
def test_a_policy_file_takes_a_right_away(tmp_path: Path, rule: str) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(f'"{rule}": "role:planner"\n')
    with running(tmp_path, policy=policy) as service:
        member, planner = service.client(), service.client(role="planner")
        method, body = (
            ("GET", None) if rule == "plan:get_all" else ("POST", member.plan_body(service.allowed))
        )
        assert member.refused(method, "plans", 403, body)["error"] == "forbidden"
        assert planner.call(method, "plans", body).status_int in (200, 201)


def test_a_changed_policy_file_counts_within_a_moment(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("{}")
    with running(tmp_path, policy=policy) as service:
        member = service.client()
        member.get("plans")
        policy.write_text('"plan:get_all": "role:planner"\n')
        deadline = time.monotonic() + 10
        while member.call("GET", "plans").status_int != 403:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_what_was_decided_for_one_is_not_taken_for_another(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text('"plan:get_all": "role:planner or user_id:user-2"\n')
    with running(tmp_path, policy=policy) as service:
        project_id = str(uuid.uuid4())
        some = [service.client(project_id), service.client(project_id, "planner"), service.client(project_id)]
        for _ in range(2):
            assert [each.call("GET", "plans").status_int for each in some] == [403, 200, 200]


def test_a_right_to_show_that_is_taken_away_looks_like_absence(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text('"plan:get": "role:planner"\n')
    with running(tmp_path, policy=policy) as service:
        member = service.client()
        plan = member.plan(service.allowed)
        member.refused("GET", f"plans/{plan['id']}", 404)
