"""Triggers fire: what is expected has an outcome each, once, whatever engines do."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import event

from protectd.cmd.prometheus import PrometheusMetrics
from protectd.domain.events import sign
from protectd.engine.census import Census
from protectd.engine.deciding import Deciding
from protectd.model.repositories.base import Page
from tests.fakes.schedule_scene import START, Scene, scene
from tests.fakes.service import Client


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def shared_scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    database = None if request.param == "sqlite" else request.getfixturevalue(request.param)
    with scene(tmp_path, database=database) as made:
        yield made


def checkpoints(at: Scene, plan: dict[str, Any]) -> list[dict[str, Any]]:
    return list(
        at.client.get(f"providers/{plan['provider_id']}/checkpoints?plan_id={plan['id']}")["checkpoints"]
    )


# --- what runs ---


def test_a_checkpoint_is_made_when_the_time_has_come_and_says_by_what(at: Scene) -> None:
    plan, trigger = at.plan(), at.trigger()
    operation, engine = at.operation(trigger, plan), at.engine()
    before = at.client.get(f"triggers/{trigger}")["trigger_info"]
    assert 0 < engine.run_once() <= 1.0
    assert at.occurrences(operation) == []
    at.to(START + timedelta(hours=1))
    engine.run_once()
    (made,) = checkpoints(at, plan)
    assert json.loads(made["extra_info"]) == {
        "created_by": "operation-engine",
        "trigger_id": trigger,
        "scheduled_operation_id": operation,
    }
    (row,) = at.occurrences(operation)
    assert (row["outcome"], row["entity_type"], row["entity_id"]) == ("ran", "checkpoint", made["id"])
    assert (row["expected_at"], row["trigger_id"]) == ("2026-03-01T13:00:00.000000", trigger)
    (log,) = at.client.get("operation_logs")["operation_logs"]
    assert (log["scheduled_operation_id"], log["checkpoint_id"]) == (operation, made["id"])
    assert [ref.task_id for ref in at.announced] == [log["id"]]
    with at.service.parts.database.read() as uow:
        assert uow.checkpoints.get(made["id"]).scheduled_operation_id == operation
    shown = at.client.get(f"triggers/{trigger}")["trigger_info"]
    assert shown["updated_at"] == before["updated_at"]
    shown = at.client.get(f"scheduled_operations/{operation}")["scheduled_operation"]
    assert shown["last_occurrence"] == row
    assert shown["next_fire_time"] == "2026-03-01T14:00:00.000000"
    engine.run_once()
    assert len(checkpoints(at, plan)) == 1


def test_it_is_done_for_the_project_and_the_user_that_made_it(at: Scene) -> None:
    other = at.service.client()
    plan = at.plan("theirs", other)
    operation = at.operation(at.trigger(client=other), plan, client=other)
    at.on(hours=1)
    at.engine().run_once()
    assert at.occurrences(operation, other)[0]["outcome"] == "ran"
    assert checkpoints(at, plan) == []
    assert at.announced[0].context.project_id == other.project_id
    assert at.announced[0].context.roles == ("member",)
    assert at.announced[0].context.request_id.startswith("req-")


def test_every_enabled_operation_of_a_trigger_is_done_and_no_other(at: Scene) -> None:
    plans, trigger = [at.plan(name) for name in ("a", "b", "c", "d")], at.trigger()
    one, two, rests, gone = (at.operation(trigger, plan) for plan in plans)
    at.client.call("PUT", f"scheduled_operations/{rests}", {"scheduled_operation": {"enabled": False}})
    at.client.call("DELETE", f"scheduled_operations/{gone}")
    at.on(hours=1)
    at.engine().run_once()
    assert [len(checkpoints(at, plan)) for plan in plans] == [1, 1, 0, 0]
    assert [at.outcomes(each)[0][1] for each in (one, two)] == ["ran", "ran"]
    assert at.outcomes(rests) == []


def test_what_was_not_enabled_then_is_not_made_up_for(at: Scene) -> None:
    trigger, engine = at.trigger(misfire="run_all"), at.engine()
    operation = at.operation(trigger, at.plan())
    path = f"scheduled_operations/{operation}"
    at.client.call("PUT", path, {"scheduled_operation": {"enabled": False}})
    at.on(hours=2, minutes=30)
    at.client.call("PUT", path, {"scheduled_operation": {"enabled": True}})
    engine.run_once()
    assert at.outcomes(operation) == []
    at.on(minutes=30)
    engine.run_once()
    assert at.outcomes(operation) == [("03-01T15:00", "ran")]


def test_a_trigger_that_has_changed_fires_by_its_new_pattern(at: Scene) -> None:
    trigger, engine = at.trigger(), at.engine()
    operation = at.operation(trigger, at.plan())
    given = {"trigger_info": {"properties": {"pattern": "30 * * * *"}}}
    at.client.call("PUT", f"triggers/{trigger}", given)
    at.on(hours=1)
    engine.run_once()
    assert at.outcomes(operation) == [("03-01T12:30", "missed")]
    at.on(minutes=30)
    engine.run_once()
    assert at.outcomes(operation)[1:] == [("03-01T13:30", "ran")]


def test_after_its_end_it_fires_no_more(at: Scene) -> None:
    trigger = at.trigger(end_time="2026-03-01 13:30:00")
    operation, engine = at.operation(trigger, at.plan()), at.engine()
    for _ in range(4):
        at.on(hours=1)
        engine.run_once()
    assert at.outcomes(operation) == [("03-01T13:00", "ran")]
    assert at.client.get(f"triggers/{trigger}")["trigger_info"]["next_fire_times"] == []


def test_jitter_moves_when_it_fires_and_not_what_is_expected(at: Scene) -> None:
    trigger = at.trigger(jitter=600)
    operation, engine = at.operation(trigger, at.plan()), at.engine()
    shown = at.client.get(f"triggers/{trigger}")["trigger_info"]
    assert shown["next_fire_time"] == "2026-03-01T13:00:00.000000"
    at.on(hours=1)
    waits_s = 0
    while not at.occurrences(operation):
        engine.run_once()
        at.on(seconds=1)
        waits_s += 1
    assert 1 < waits_s <= 601
    assert at.outcomes(operation) == [("03-01T13:00", "ran")]


# --- types ---


def test_a_verification_is_of_the_newest_checkpoint_that_there_is(at: Scene) -> None:
    plan = at.plan()
    at.operation(at.trigger("0 13 * * *"), plan)
    verify, engine = (
        at.operation(at.trigger("30 13-15 * * *"), plan, "verify", depth="structure"),
        at.engine(),
    )
    at.on(hours=1)
    engine.run_once()
    at.on(minutes=30)
    engine.run_once()
    assert at.occurrences(verify)[0]["outcome"] == "skipped"
    assert at.occurrences(verify)[0]["reason"].startswith("nothing_there: ")
    (checkpoint,) = checkpoints(at, plan)
    with at.service.parts.database.write() as uow:
        uow.checkpoints.get(checkpoint["id"]).status = "available"
    at.on(hours=1)
    engine.run_once()
    (verification,) = at.client.get("verifications")["verifications"]
    assert (verification["checkpoint_id"], verification["depth"]) == (checkpoint["id"], "structure")
    assert at.occurrences(verify)[1]["entity_id"] == verification["id"]
    at.end_tasks()
    copy = at.operation(at.trigger("0 15 * * *"), plan, "copy")
    at.on(minutes=30)
    engine.run_once()
    row = at.occurrences(copy)[0]
    assert (row["outcome"], row["entity_type"]) == ("ran", "checkpoint"), row


def test_a_prune_is_of_the_projects_own_vault(tmp_path: Path) -> None:
    with scene(tmp_path, mode="direct") as at:
        plan = at.plan()
        prune, engine = at.operation(at.trigger(), plan, "prune"), at.engine()
        at.on(hours=1)
        engine.run_once()
        assert at.occurrences(prune)[0]["reason"].startswith("nothing_there: ")
        at.client.checkpoint(plan)
        at.on(hours=1)
        engine.run_once()
        assert at.occurrences(prune)[1]["outcome"] == "ran"
        assert [ref.operation for ref in at.announced] == ["prune"]


# --- what does not run, and why ---


def test_a_plan_that_was_suspended_holds_its_schedules_until_it_is_started_again(at: Scene) -> None:
    plan, engine = at.plan(), at.engine()
    operation = at.operation(at.trigger(), plan)

    def hour(status: str | None) -> None:
        if status is not None:
            at.client.call("PUT", f"plans/{plan['id']}", {"plan": {"status": status}})
        at.on(hours=1)
        engine.run_once()
        at.end_tasks()

    for status in (None, "started", "suspended", None, "started"):
        hour(status)
    assert [each["outcome"] for each in at.occurrences(operation)] == [
        "ran",
        "ran",
        "skipped",
        "skipped",
        "ran",
    ]
    assert at.occurrences(operation)[2]["reason"].startswith("plan.held: ")
    assert len(checkpoints(at, plan)) == 3


def test_one_whose_former_run_goes_on_is_skipped(at: Scene) -> None:
    operation, engine = at.operation(at.trigger(), at.plan()), at.engine()
    for _ in range(2):
        at.on(hours=1)
        engine.run_once()
    at.end_tasks()
    at.on(hours=1)
    engine.run_once()
    assert [outcome for _, outcome in at.outcomes(operation)] == ["ran", "skipped", "ran"]
    assert at.occurrences(operation)[1]["reason"].startswith("running: ")


def test_what_fails_is_told_with_its_code_and_hinders_nothing_else(at: Scene) -> None:
    trigger = at.trigger()
    good = at.plan("good")
    bad = at.client.plan(at.service.allowed / "bad")
    instance = bad["resources"][0]["id"]
    broken, works = at.operation(trigger, bad), at.operation(trigger, good)
    with at.service.parts.database.write() as uow:
        plan = uow.plans.get(bad["id"])
        plan.resources[0].resource_extra_info = {"path": "/etc"}
    at.on(hours=1)
    at.engine().run_once()
    (row,) = at.occurrences(broken)
    assert (row["outcome"], row["entity_id"]) == ("failed", None), instance
    assert row["reason"].startswith("path.not_allowed: ")
    assert at.occurrences(works)[0]["outcome"] == "ran"
    assert len(at.announced) == 1


def test_one_that_has_failed_again_and_again_is_tried_at_each_time_and_runs_when_it_can(at: Scene) -> None:
    plan = at.plan()
    operation, place = at.operation(at.trigger(), plan), dict(plan["resources"][0]["extra_info"])

    def move(to: dict[str, Any]) -> None:
        with at.service.parts.database.write() as uow:
            uow.plans.get(plan["id"]).resources[0].resource_extra_info = to

    move({"path": "/etc"})
    for _ in range(5):
        at.on(hours=1)
        at.engine().run_once()
    move(place)
    at.on(hours=1)
    at.engine().run_once()
    assert [row["outcome"] for row in at.occurrences(operation)] == ["failed"] * 5 + ["ran"]
    assert at.client.get(f"scheduled_operations/{operation}")["scheduled_operation"]["enabled"] is True


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"operation_type": "teleport"}, "operation_type: must be one of"),
        ({"operation_type": "verify", "depth": "atoms"}, "operation_definition.depth: "),
        ({"operation_type": "verify", "parameters": 7}, "operation_definition.parameters: "),
    ],
)
def test_what_another_version_has_written_hinders_nothing_else(
    at: Scene, values: dict[str, Any], told: str
) -> None:
    trigger = at.trigger()
    strange, works = at.operation(trigger, at.plan("a")), at.operation(trigger, at.plan("b"))
    with at.service.parts.database.write() as uow:
        row = uow.scheduled_operations.get(strange)
        row.operation_type = values.pop("operation_type")
        row.operation_definition = row.operation_definition | values
    at.on(hours=1)
    at.engine().run_once()
    assert at.occurrences(works)[0]["outcome"] == "ran"
    with at.service.parts.database.read() as uow:
        (occurrence,) = uow.occurrences.with_outcome([strange], "failed", 9)
    assert told in str(occurrence.reason)


def test_whoever_has_no_token_any_more_has_no_rights(at: Scene) -> None:
    engine, operation = at.engine(), at.operation(at.trigger(), at.plan())
    parts = at.service.parts
    with parts.database.write() as uow:
        (token,) = uow.tokens.of_user(uow.scheduled_operations.get(operation).user_id, at.client.project_id)
        token.revoked_at = at.clock.now()
    at.on(hours=1)
    engine.run_once()
    other = at.service.client(at.client.project_id)
    (row,) = at.occurrences(operation, other)
    assert row["outcome"] == "failed"
    assert row["reason"].startswith("rights.gone: ")
    assert at.announced == []


def test_the_policy_is_asked_at_each_firing(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("{}")
    with scene(tmp_path, policy=policy) as at:
        operation, engine = at.operation(at.trigger(), at.plan()), at.engine()
        policy.write_text('"provider:checkpoint_create": "role:admin"\n')
        at.on(hours=1)
        engine.run_once()
        (row,) = at.occurrences(operation)
        assert (row["outcome"], row["reason"].split(":")[0]) == ("failed", "forbidden")


def test_whoever_aims_an_operation_at_something_else_lends_it_their_own_rights(
    at: Scene, tmp_path: Path
) -> None:
    """A member cannot have done with an administrator's rights what their own do not allow."""
    admin, engine = at.service.client(at.client.project_id, "admin"), at.engine()
    first, second = (admin.plan(tmp_path / name) for name in ("first", "second"))
    operation = at.operation(at.trigger(), first, client=admin)
    path = f"scheduled_operations/{operation}"
    same = {"provider_id": first["provider_id"], "plan_id": first["id"]}

    def hour(client: Client, **given: Any) -> str:
        assert client.call("PUT", path, {"scheduled_operation": given}).status_int == 200
        at.on(hours=1)
        engine.run_once()
        at.end_tasks()
        row = at.occurrences(operation)[-1]
        return f"{row['outcome']} {(row['reason'] or '').split(':')[0]}"

    other = same | {"plan_id": second["id"]}
    assert hour(at.client, name="n", enabled=True, operation_definition=same) == "ran "
    assert hour(at.client, operation_definition=other) == "failed path.not_allowed"
    assert hour(admin, trigger_id=at.trigger()) == "failed path.not_allowed"
    assert hour(admin, operation_definition=same) == "ran "


def test_an_administrator_from_elsewhere_leaves_an_operation_its_rights(at: Scene) -> None:
    operation, elsewhere = at.operation(at.trigger(), at.plan("a")), at.service.client(role="admin")
    other = at.plan("b")
    definition = {"provider_id": other["provider_id"], "plan_id": other["id"]}
    path = f"/v1/{elsewhere.project_id}/scheduled_operations/{operation}?all_tenants=true"
    given = {"scheduled_operation": {"operation_definition": definition}}
    assert elsewhere.call("PUT", path, given).status_int == 200
    at.on(hours=1)
    at.engine().run_once()
    assert at.outcomes(operation) == [("03-01T13:00", "ran")]
    assert len(checkpoints(at, other)) == 1


# --- engines that were away ---


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, ["missed", "missed", "missed", "ran"]),
        ({"window": 7200}, ["missed", "coalesced", "coalesced", "ran"]),
        ({"misfire": "run_once"}, ["coalesced", "coalesced", "coalesced", "ran"]),
        ({"misfire": "run_all"}, ["late", "late", "late", "ran"]),
        ({"misfire": "run_all", "misfire_limit": 2}, ["missed", "missed", "late", "ran"]),
    ],
)
def test_after_an_outage_the_misfire_policy_decides(
    at: Scene, properties: dict[str, Any], expected: list[str]
) -> None:
    operation = at.operation(at.trigger(**properties), at.plan())
    at.on(hours=4)
    at.engine().run_once()
    assert [outcome for _, outcome in at.outcomes(operation)] == expected
    runs = [each for each in at.occurrences(operation) if each["entity_id"]]
    assert len({each["entity_id"] for each in runs}) == len(at.announced) == expected.count("late") + 1


def test_within_its_window_it_runs_late_and_after_that_not(at: Scene) -> None:
    engine, operation = at.engine(), at.operation(at.trigger(window=600), at.plan())
    at.on(hours=1, minutes=10)
    engine.run_once()
    at.end_tasks()
    at.on(hours=1, seconds=1)
    engine.run_once()
    assert [outcome for _, outcome in at.outcomes(operation)] == ["late", "missed"]
    assert at.occurrences(operation)[1]["reason"] == "its window of 600 s was over"


def test_a_long_outage_of_a_frequent_trigger_is_seen_to_in_parts(at: Scene) -> None:
    operation = at.operation(at.trigger("* * * * *", misfire="run_all", misfire_limit=3), at.plan())
    at.on(hours=24, seconds=30)
    engine = at.engine()
    while (
        engine.run_once() == 0.0
        or at.client.get("triggers")["triggers"][0]["next_fire_time"] < "2026-03-02T12:01"
    ):
        pass
    with at.service.parts.database.read() as uow:
        rows = uow.occurrences.with_outcome([operation], "missed", 9999)
    assert len(rows) == 1437
    assert [outcome for _, outcome in at.outcomes(operation)[-4:]] == ["missed", "late", "late", "ran"]
    assert len(at.announced) == 3


def test_a_time_that_the_pattern_does_not_mean_any_more_does_not_end_the_trigger(at: Scene) -> None:
    """As when the rules of a zone change under it."""
    trigger = at.trigger()
    operation, engine = at.operation(trigger, at.plan()), at.engine()
    with at.service.parts.database.write() as uow:
        row = uow.triggers.get(trigger)
        row.expected_at = row.next_at = START + timedelta(minutes=10)
    for _ in range(2):
        at.on(minutes=30)
        engine.run_once()
    assert at.outcomes(operation) == [("03-01T13:00", "ran")]


# --- events ---


def event_trigger(at: Scene) -> tuple[str, str]:
    body = {"trigger_info": {"name": "hook", "type": "event", "properties": {}}}
    made = at.client.post("triggers", body, 201)["trigger_info"]
    return made["id"], made["secret"]


def fire(at: Scene, trigger_id: str, secret: str, body: bytes = b"") -> int:
    timestamp = str(int(at.clock.now().timestamp()))
    signed = {"X-Protectd-Timestamp": timestamp, "X-Protectd-Signature": sign(secret, timestamp, body)}
    answer = at.client.app.post(f"/v1/triggers/{trigger_id}/fire", body, headers=signed, expect_errors=True)
    return int(answer.status_int)


def test_an_event_fires_once_however_often_it_comes(at: Scene) -> None:
    trigger, secret = event_trigger(at)
    plan, engine = at.plan(), at.engine()
    operation = at.operation(trigger, plan)
    assert [fire(at, trigger, secret) for _ in range(3)] == [202] * 3
    assert [each["outcome"] for each in at.occurrences(operation)] == ["waiting"]
    engine.run_once()
    assert fire(at, trigger, secret) == 202
    engine.run_once()
    assert [each["outcome"] for each in at.occurrences(operation)] == ["ran"]
    assert len(checkpoints(at, plan)) == 1
    at.end_tasks()
    at.on(seconds=1)
    fire(at, trigger, secret)
    engine.run_once()
    assert len(checkpoints(at, plan)) == 2


def test_events_that_come_together_are_skipped_while_the_first_runs(at: Scene) -> None:
    trigger, secret = event_trigger(at)
    operation = at.operation(trigger, at.plan())
    for body in (b"1", b"2"):
        fire(at, trigger, secret, body)
    at.engine().run_once()
    assert sorted(each["outcome"] for each in at.occurrences(operation)) == ["ran", "skipped"]


def test_an_event_for_what_rests_or_was_moved_meanwhile_has_its_outcome(at: Scene) -> None:
    trigger, secret = event_trigger(at)
    rests, moved, gone = (at.operation(trigger, at.plan(name)) for name in ("a", "b", "c"))
    fire(at, trigger, secret)
    at.client.call("PUT", f"scheduled_operations/{rests}", {"scheduled_operation": {"enabled": False}})
    given = {"scheduled_operation": {"trigger_id": at.trigger()}}
    at.client.call("PUT", f"scheduled_operations/{moved}", given)
    at.client.call("DELETE", f"scheduled_operations/{gone}")
    at.engine().run_once()
    for operation in (rests, moved):
        (row,) = at.occurrences(operation)
        assert (row["outcome"], "meanwhile" in row["reason"]) == ("skipped", True)
    with at.service.parts.database.read() as uow:
        assert [row.outcome for row in uow.occurrences.with_outcome([gone], "skipped", 9)] == ["skipped"]
        assert uow.triggers.get(trigger).next_at is None


def test_an_event_that_nobody_will_see_to_is_decided_at_once(at: Scene) -> None:
    trigger, secret = event_trigger(at)
    rests, moved, gone = (at.operation(trigger, at.plan(name)) for name in ("a", "b", "c"))
    fire(at, trigger, secret)
    at.client.call("PUT", f"scheduled_operations/{rests}", {"scheduled_operation": {"enabled": False}})
    given = {"scheduled_operation": {"trigger_id": at.trigger()}}
    at.client.call("PUT", f"scheduled_operations/{moved}", given)
    at.client.call("DELETE", f"scheduled_operations/{gone}")
    with at.service.parts.database.read() as uow:
        for operation, reason in ((rests, "disabled"), (moved, "another trigger"), (gone, "deleted")):
            (row,) = uow.occurrences.page(Page(), None, {"scheduled_operation_id": operation})
            assert (row.outcome, reason in str(row.reason)) == ("skipped", True)
    at.client.call("PUT", f"scheduled_operations/{rests}", {"scheduled_operation": {"enabled": True}})
    at.engine().run_once()
    assert at.announced == []


def test_an_event_for_what_rests_when_it_comes_is_decided_once(at: Scene) -> None:
    trigger, secret = event_trigger(at)
    operation = at.operation(trigger, at.plan())
    at.client.call("PUT", f"scheduled_operations/{operation}", {"scheduled_operation": {"enabled": False}})
    for _ in range(2):
        assert fire(at, trigger, secret) == 202
    (row,) = at.occurrences(operation)
    assert (row["outcome"], row["reason"]) == ("skipped", "it was disabled when the event came")
    at.client.call("PUT", f"scheduled_operations/{operation}", {"scheduled_operation": {"enabled": True}})
    later = at.operation(trigger, at.plan("b"))
    assert fire(at, trigger, secret) == 202
    at.engine().run_once()
    assert (at.announced, at.occurrences(operation), at.occurrences(later)) == ([], [row], [])
    at.on(seconds=1)
    fire(at, trigger, secret)
    at.engine().run_once()
    assert [len(at.occurrences(each)) for each in (operation, later)] == [2, 1]


def test_a_trigger_that_is_named_again_takes_nothing_away(at: Scene) -> None:
    """As by a client that sends back all it was shown."""
    (hook, secret), engine = event_trigger(at), at.engine()
    of_events, of_times = (
        at.operation(trigger, at.plan(name)) for trigger, name in ((hook, "a"), (at.trigger(), "b"))
    )
    fire(at, hook, secret)
    at.on(hours=1)
    for operation in (of_events, of_times):
        shown = at.client.get(f"scheduled_operations/{operation}")["scheduled_operation"]
        given = {name: shown[name] for name in ("name", "trigger_id", "enabled", "operation_definition")}
        at.client.call("PUT", f"scheduled_operations/{operation}", {"scheduled_operation": given})
    engine.run_once()
    assert [each["outcome"] for each in at.occurrences(of_events)] == ["late"]
    assert at.outcomes(of_times) == [("03-01T13:00", "ran")]


def test_a_plan_that_is_gone_at_the_event_is_told(at: Scene) -> None:
    trigger, secret = event_trigger(at)
    plan = at.plan()
    operation = at.operation(trigger, plan)
    fire(at, trigger, secret)
    with at.service.parts.database.write() as uow:
        uow.plans.delete(uow.plans.get(plan["id"]))
    at.engine().run_once()
    (row,) = at.occurrences(operation)
    assert (row["outcome"], row["reason"].split(":")[0]) == ("failed", "plan.not_found")


# --- several engines, and engines that fail ---


def test_of_several_engines_one_fires_each_time(shared_scene: Scene) -> None:
    at = shared_scene
    operations = [at.operation(at.trigger("*/10 * * * *"), at.plan(f"p{n}")) for n in range(6)]
    engines = [at.engine(f"e{n}", threads=2) for n in range(3)]
    for _ in range(4):
        at.on(minutes=10)
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda engine: engine.run_once(), engines))
        engines[0].run_once()
        at.end_tasks()
    for operation in operations:
        assert [outcome for _, outcome in at.outcomes(operation)] == ["ran"] * 4
    assert len({ref.task_id for ref in at.announced}) == len(at.announced) == 24


def test_an_engine_that_is_killed_in_the_middle_leaves_nothing(shared_scene: Scene) -> None:
    at = shared_scene
    plan = at.plan()
    operation = at.operation(at.trigger(), plan)
    at.on(hours=1)
    parts, trigger = at.service.parts, at.client.get("triggers")["triggers"][0]["id"]
    parts.dispatcher.flush()
    parts.database.dispose()
    child = os.fork()
    if child == 0:
        try:
            with parts.database.write() as uow:
                due = uow.triggers.take_due([trigger], at.clock.now())
                assert due
                Deciding(parts.scheduled_runs, parts.schedule_limits).decide(uow, due, at.clock.now())
                os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)  # whatever happens, no second process goes on with the tests
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert checkpoints(at, plan) == []
    assert at.occurrences(operation) == []
    engine = at.engine()
    for _ in range(100):
        engine.run_once()
        if at.occurrences(operation):
            break
        time.sleep(0.1)  # a server may take a moment to see that the other is gone
    assert [each["outcome"] for each in at.occurrences(operation)] == ["ran"]
    assert len(checkpoints(at, plan)) == 1


def test_an_engine_that_an_operator_has_disabled_fires_nothing(at: Scene) -> None:
    operation, engine, other = at.operation(at.trigger(), at.plan()), at.engine("a"), at.engine("b")
    with at.service.parts.database.write() as uow:
        service = uow.services.register("a", "protectd-engine")
        uow.services.set_disabled(service, True, "repair", at.clock.now())
    at.on(hours=1)
    engine.run_once()
    assert at.occurrences(operation) == []
    other.run_once()
    assert at.outcomes(operation) == [("03-01T13:00", "ran")]


def test_a_trigger_that_cannot_be_seen_to_keeps_no_other_waiting(at: Scene) -> None:
    bad, good = at.trigger("0 13 * * *"), at.trigger("0 13 * * *")
    broken, works = at.operation(bad, at.plan("a")), at.operation(good, at.plan("b"))
    with at.service.parts.database.write() as uow:
        uow.triggers.get(bad).properties = {"format": "crontab"}
    at.on(hours=1)
    engine = at.engine(batch=1)
    for _ in range(3):
        engine.run_once()
    assert at.occurrences(broken) == []
    assert at.outcomes(works) == [("03-01T13:00", "ran")]


@pytest.mark.parametrize("together", [1, 20])
def test_one_that_cannot_be_seen_to_is_told_from_those_that_share_its_unit_of_work(
    at: Scene, together: int
) -> None:
    triggers = [at.trigger("0 13 * * *") for _ in range(3)]
    operations = [at.operation(trigger, at.plan(f"p{n}")) for n, trigger in enumerate(triggers)]
    with at.service.parts.database.write() as uow:
        uow.triggers.get(triggers[1]).properties = {"format": "crontab"}
    at.on(hours=1)
    at.engine(together=together).run_once()
    assert [len(at.outcomes(operation)) for operation in operations] == [1, 0, 1]


def test_a_project_with_much_that_is_due_keeps_no_other_waiting(at: Scene) -> None:
    many = [at.operation(at.trigger("0 13 * * *"), at.plan()) for _ in range(30)]
    other = at.service.client()
    one = at.operation(at.trigger("1 13 * * *", other), at.plan("theirs", other), client=other)
    at.on(hours=1, minutes=1)
    assert at.engine(batch=10).run_once() == 0.0
    assert len(at.occurrences(one, other)) == 1
    assert sum(len(at.occurrences(operation)) for operation in many) == 9


def test_long_outages_of_several_frequent_triggers_are_seen_to_in_parts(at: Scene) -> None:
    triggers = [at.trigger("* * * * *", misfire="run_once") for _ in range(4)]
    operations = [at.operation(trigger, at.plan()) for trigger in triggers]
    at.on(hours=6, seconds=30)
    at.engine().run_once()
    for operation in operations:
        outcomes = [outcome for _, outcome in at.outcomes(operation)]
        assert outcomes == ["coalesced"] * 359 + ["ran"]


# --- figures ---


def test_what_is_decided_is_counted_and_how_late_it_was(at: Scene) -> None:
    registry = CollectorRegistry()
    metrics = PrometheusMetrics(registry, "protectd-engine", "1")

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"protectd_{name}", labels)

    engine, census = at.engine(metrics=metrics), Census(at.service.parts.database, at.clock, metrics)
    for properties in ({"misfire": "run_once"}, {"jitter": 0}):
        at.operation(at.trigger(**properties), at.plan(uuid.uuid4().hex))
    at.on(hours=2, seconds=7)
    census.run_once()
    assert (value("triggers_due"), value("oldest_due_trigger_seconds")) == (2, 3607)
    engine.run_once()
    census.run_once()
    assert (value("triggers_due"), value("oldest_due_trigger_seconds")) == (0, 0)
    assert [value("occurrences_total", outcome=each) for each in ("ran", "coalesced", "missed")] == [2, 1, 1]
    assert value("occurrence_lateness_seconds_sum", outcome="ran") == 14
    assert value("occurrence_lateness_seconds_count", outcome="missed") is None
    text = generate_latest(registry).decode()
    assert at.client.project_id not in text


# --- speed that does not depend on a clock ---


def test_triggers_of_one_project_share_a_unit_of_work(at: Scene) -> None:
    operations = [at.operation(at.trigger(), at.plan(f"p{number}")) for number in range(10)]
    at.on(hours=1)
    commits: list[object] = []
    event.listen(at.service.parts.database.engine, "commit", lambda each: commits.append(each))
    at.engine(together=5).run_once()
    made = len(commits)
    assert [at.outcomes(each) for each in operations] == [[("03-01T13:00", "ran")]] * 10
    assert made == 2


def test_a_firing_asks_as_much_after_many_runs_as_after_one(at: Scene) -> None:
    at.operation(at.trigger(), at.plan())
    engine, counts = at.engine(), []
    for _ in range(6):
        at.on(hours=1)
        with at.service.counted_statements() as seen:
            engine.run_once()
        counts.append(len(seen))
        at.end_tasks()
    assert len(set(counts[1:])) == 1, counts


def test_a_look_for_what_is_due_asks_one_question_of_an_index(at: Scene) -> None:
    for _ in range(3):
        at.operation(at.trigger(), at.plan(uuid.uuid4().hex))
    engine = at.engine()
    with at.service.counted_statements() as seen:
        engine.run_once()
    assert len([each for each in seen if each.startswith("SELECT")]) == 2
