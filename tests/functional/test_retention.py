"""Retention: a protect of a schedule that goes well lets old checkpoints go, and a dry run says so before."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from protectd.common.context import RequestContext
from protectd.common.ids import new_id
from protectd.domain import checkpoints, copies
from protectd.domain.instances import Registry
from protectd.domain.resources import Resolver
from protectd.domain.submission import Submission
from protectd.domain.verifications import new_verification
from protectd.model.repositories.checkpoints import CheckpointRepository
from protectd.tasks.retain import RetainCheckpoints, RetainFacts
from protectd.tasks.run import Run
from tests.fakes.service import FILES_ID, MEMORY_ID, Client, Service
from tests.functional.test_scheduled_operations import body, make_trigger
from tests.functional.test_verifications import spoil


@pytest.fixture
def owner(direct: Service) -> Client:
    return direct.client()


@pytest.fixture
def plan(direct: Service, owner: Client) -> dict[str, Any]:
    return owner.plan(direct.directory(new_id()), FILES_ID)


def schedule(owner: Client, plan: dict[str, Any], trigger: str | None = None, **rules: Any) -> str:
    """A scheduled operation with these rules. :returns: its id."""
    definition = {"provider_id": plan["provider_id"], "plan_id": plan["id"], **rules}
    wanted = body(
        trigger or make_trigger(owner),
        plan,
        operation_type="retention_protect",
        operation_definition=definition,
    )
    return str(owner.post("scheduled_operations", wanted, 201)["scheduled_operation"]["id"])


def fire(service: Service, operation_id: str, *, days_ago: float = 0, **values: Any) -> str:
    """What an engine does when the time has come, as if it had been so long ago. :returns: the checkpoint."""
    parts = service.parts
    with parts.database.write() as uow:
        operation = uow.scheduled_operations.get(operation_id)
        plan = uow.plans.get(operation.plan_id or "", lock=True)
        provider = parts.providers.get(plan.provider_id)
        registry = Registry(uow, parts.protectables, plan.project_id, parts.host)
        resolver = Resolver(registry, provider, provider.access(plan.project_id, False))
        made = checkpoints.create(resolver, plan, provider.id, None, operation_id)
        context = RequestContext("req-fire", operation.project_id, operation.user_id, ("member",))
        submission = Submission(uow, context, parts.clock)
        submission.process_checkpoint(made)
    if days_ago:
        age(service, made.id, days_ago, status="available", **values)
    else:
        parts.dispatcher.dispatch(submission.submitted)
        settle(service)
    return made.id


def age(service: Service, checkpoint_id: str, days_ago: float, **values: Any) -> None:
    moment = datetime.now(UTC) - timedelta(days=days_ago)
    with service.parts.database.write() as uow:
        row = uow.checkpoints.get(checkpoint_id)
        for name, value in ({"created_at": moment, "started_at": moment} | values).items():
            setattr(row, name, value)
        for task in uow.tasks.live("checkpoint", checkpoint_id):
            task.state = "done"


def settle(service: Service) -> None:
    """Until all that follows has ended."""
    for _ in range(600):
        service.parts.relay.run_once()
        with service.parts.database.read() as uow:
            backlog = uow.tasks.backlog(service.parts.clock.now())
        if not (backlog.waiting or backlog.delayed or backlog.running):
            return
        time.sleep(0.05)
    raise AssertionError("tasks have not ended")


def statuses(service: Service, ids: list[str]) -> list[str]:
    with service.parts.database.read() as uow:
        return [uow.checkpoints.get(id).status for id in ids]


def review(owner: Client, operation_id: str) -> dict[str, Any]:
    return dict(owner.get(f"scheduled_operations/{operation_id}/retention")["retention"])


def going(found: dict[str, Any]) -> list[str]:
    return [each["checkpoint_id"] for each in found["checkpoints"] if each["action"] == "remove"]


def test_the_way_of_retention(direct: Service, owner: Client, plan: dict[str, Any]) -> None:
    operation = schedule(owner, plan, max_backups="2")
    old = [fire(direct, operation, days_ago=days) for days in (30, 20, 10)]
    by_hand = owner.checkpoint(plan)["id"]
    age(direct, by_hand, 40)

    found = review(owner, operation)
    assert found["rules"] == {
        "max_backups": 2,
        "keep_verified": 1,
        "count_partial": False,
        "retention_scope": "operation",
    }
    assert (found["time_zone"], found["halted"], found["last_run"]) == ("UTC", None, None)
    assert [each["checkpoint_id"] for each in found["checkpoints"]] == old[::-1]
    assert going(found) == [old[0]]
    assert found["checkpoints"][2]["reasons"] == ["max_backups"]
    assert found["checkpoints"][0]["reasons"] == ["limits", "newest"]
    assert statuses(direct, old) == ["available"] * 3

    new = fire(direct, operation)
    assert statuses(direct, [*old, new, by_hand]) == ["deleted"] * 2 + ["available"] * 3
    last = review(owner, operation)["last_run"]
    assert last["status"] == "success"
    assert {each["checkpoint_id"]: each["reasons"] for each in last["removed"]} == {
        id: ["max_backups"] for id in old[:2]
    }
    lines = owner.get(f"operation_logs?scheduled_operation_id={operation}&operation_type=delete")
    assert {line["checkpoint_id"] for line in lines["operation_logs"]} == set(old[:2])


def test_other_rules_can_be_tried(direct: Service, owner: Client, plan: dict[str, Any]) -> None:
    operation = schedule(owner, plan)
    made = [fire(direct, operation, days_ago=days) for days in (3, 2, 1)]
    assert going(review(owner, operation)) == []
    path = f"scheduled_operations/{operation}/retention"
    tried = owner.post(path, {"retention": {"keep_last": 1, "keep_verified": 0}}, 200)["retention"]
    assert going(tried) == made[1::-1]
    wide = owner.post(path, {"retention": {"keep_within": "36h", "retention_scope": "plan"}}, 200)
    assert going(wide["retention"]) == made[:1]
    assert statuses(direct, made) == ["available"] * 3
    for rules, field in (
        ({"keep_last": "x"}, "retention.keep_last"),
        ({"keep_montly": 3}, "retention.keep_montly"),
        ({"keep_within": "soon"}, "retention.keep_within"),
        ([], "retention"),
    ):
        assert owner.refused("POST", path, 400, {"retention": rules})["field"] == field
    stranger = direct.client()
    assert stranger.refused("GET", path, 404)["error"] == "scheduled_operation.not_found"


def test_held_pinned_and_proven_ones_stay(direct: Service, owner: Client, plan: dict[str, Any]) -> None:
    operation = schedule(owner, plan, max_backups=1)
    held, proven, plain = (fire(direct, operation, days_ago=days) for days in (30, 20, 10))
    hold = {"hold": {"reason": "court"}}
    assert owner.call("PUT", f"providers/{FILES_ID}/checkpoints/{held}/hold", hold).status_int == 200
    age(direct, proven, 20, verified_at=datetime.now(UTC))
    new = fire(direct, operation)
    assert statuses(direct, [held, proven, plain, new]) == ["available", "available", "deleted", "available"]
    reasons = {each["checkpoint_id"]: each["reasons"] for each in review(owner, operation)["checkpoints"]}
    assert reasons == {held: ["held"], proven: ["verified"], new: ["limits", "newest"]}


def looked_at(
    service: Service, checkpoint_id: str, depth: str, *, hours_ago: float, code: str | None = None
) -> None:
    """A verification that went well, or found what `code` says."""
    ended_at = datetime.now(UTC) - timedelta(hours=hours_ago)
    with service.parts.database.write() as uow:
        checkpoint = uow.checkpoints.get(checkpoint_id)
        made = uow.verifications.add(new_verification(checkpoint, {"depth": depth}))
        made.status, made.error_code = ("success", None) if code is None else ("fail", code)
        made.report, made.ended_at = {}, ended_at
        if code is None:
            checkpoint.verified_at, checkpoint.verified_depth = ended_at, depth


def test_what_has_proved_damaged_takes_no_place(direct: Service, owner: Client, plan: dict[str, Any]) -> None:
    operation = schedule(owner, plan, max_backups=1)
    oldest, proven, bad, last = made = [fire(direct, operation, days_ago=days) for days in (4, 3, 2, 1)]
    for id in (proven, bad):
        looked_at(direct, id, "data", hours_ago=9)
    assert going(review(owner, operation)) == [proven, oldest]
    for id in (bad, last):
        looked_at(direct, id, "data", hours_ago=8, code="resource.damaged")
    looked_at(direct, last, "structure", hours_ago=7)
    found = review(owner, operation)
    assert [each["damaged"] for each in found["checkpoints"]] == [True, True, False, False]
    assert going(found) == [oldest], "the one that is known to be good stays, those that follow with it"
    looked_at(direct, last, "restore", hours_ago=6)
    assert going(review(owner, operation)) == [bad, proven, oldest]
    looked_at(direct, last, "data", hours_ago=5, code="bank.unavailable")
    assert going(review(owner, operation)) == [bad, proven, oldest], "nothing is known to be damaged"
    assert statuses(direct, made) == ["available"] * 4


def test_a_damaged_bank_is_no_reason_to_let_anything_go(
    direct: Service, owner: Client, plan: dict[str, Any]
) -> None:
    operation = schedule(owner, plan, max_backups=1, keep_verified=0)
    old, new = fire(direct, operation, days_ago=3), owner.checkpoint(plan)["id"]
    with direct.parts.database.write() as uow:
        uow.checkpoints.get(new).scheduled_operation_id = operation
    assert going(review(owner, operation)) == [old]
    spoil(direct, owner)
    wanted = {"provider_id": FILES_ID, "checkpoint_id": new, "depth": "data", "parameters": {}}
    owner.post("verifications", {"verification": wanted}, 202)
    settle(direct)
    assert going(review(owner, operation)) == []


def test_failing_or_stopped_schedules_let_nothing_go(
    direct: Service, owner: Client, plan: dict[str, Any]
) -> None:
    operation = schedule(owner, plan, retention_duration=5)
    old = [fire(direct, operation, days_ago=days) for days in (30, 20)]
    assert going(review(owner, operation)) == old[:1]
    failed = fire(direct, operation, days_ago=1)
    age(direct, failed, 1, status="error")
    found = review(owner, operation)
    assert (found["halted"], going(found)) == ("last_run_failed", [])
    age(direct, failed, 25)
    assert going(review(owner, operation)) == [failed, old[0]]

    owner.call("PUT", f"scheduled_operations/{operation}", {"scheduled_operation": {"enabled": False}})
    assert review(owner, operation)["halted"] == "schedule_disabled"
    fire(direct, operation)
    assert statuses(direct, old) == ["available"] * 2


def test_what_a_wrong_clock_dated_into_the_future_was_not_the_last_run(
    direct: Service, owner: Client, plan: dict[str, Any]
) -> None:
    operation = schedule(owner, plan, max_backups=1)
    old, new, future = (fire(direct, operation, days_ago=days) for days in (3, 2, -9))
    assert going(review(owner, operation)) == [old]
    age(direct, future, -9, status="error")
    found = review(owner, operation)
    assert (found["halted"], going(found)) == (None, [old])
    age(direct, future, -9, status="available")
    age(direct, new, 2, status="error")
    assert review(owner, operation)["halted"] == "last_run_failed"


def test_two_schedules_of_a_plan_leave_each_others_alone(
    direct: Service, owner: Client, plan: dict[str, Any]
) -> None:
    nightly, monthly = schedule(owner, plan, max_backups=1), schedule(owner, plan, max_backups=3)
    kept = [fire(direct, monthly, days_ago=days) for days in (60, 30)]
    gone = [fire(direct, nightly, days_ago=days) for days in (2, 1)]
    fire(direct, nightly)
    assert statuses(direct, kept + gone) == ["available"] * 2 + ["deleted"] * 2


def test_without_rules_or_schedule_nothing_follows(
    direct: Service, owner: Client, plan: dict[str, Any]
) -> None:
    operation = schedule(owner, plan)
    made = [fire(direct, operation), fire(direct, operation), owner.checkpoint(plan)["id"]]
    settle(direct)
    assert statuses(direct, made) == ["available"] * 3
    assert review(owner, operation)["last_run"] is not None


# --- what failed ---


def failures(service: Service, operation: str, *days: float, **values: Any) -> list[str]:
    made = [fire(service, operation, days_ago=each) for each in days]
    for id, each in zip(made, days, strict=True):
        age(service, id, each, **{"status": "error", **values})
    return made


def test_failures_go_with_their_time_and_leave_no_garbage(
    direct: Service, owner: Client, plan: dict[str, Any]
) -> None:
    operation = schedule(owner, plan, max_backups=1)
    whole = fire(direct, operation)
    age(direct, whole, 9, status="error")
    unfinished = failures(direct, operation, 8, status="error-deleting")
    lost = failures(direct, operation, 7, 6)
    held, reset = failures(direct, operation, 5.5, 5.4)
    hold = {"hold": {"reason": "court"}}
    assert owner.call("PUT", f"providers/{FILES_ID}/checkpoints/{held}/hold", hold).status_int == 200
    good = fire(direct, operation, days_ago=5)
    late = failures(direct, operation, 4)

    tried = owner.post(
        f"scheduled_operations/{operation}/retention",
        {"retention": {"max_backups": 1, "failed_duration": 2}},
        200,
    )["retention"]
    assert tried["halted"] == "last_run_failed" and going(tried) == []
    age(direct, late[0], 5.2)
    found = review(owner, operation)
    assert going(found) == [late[0], reset, *lost[::-1], *unfinished, whole]
    told = {each["checkpoint_id"]: each for each in found["checkpoints"]}
    assert (told[whole]["failed"], told[whole]["reasons"]) == (True, ["failed"])
    assert (told[good]["failed"], told[held]["reasons"]) == (False, ["held"])
    assert going(of_plan(owner, plan)) == going(found)

    age(direct, late[0], 4)
    with direct.parts.database.write() as uow:
        uow.checkpoints.get(reset).status = "available"
    new = fire(direct, operation)
    gone = [whole, *unfinished, *lost, reset, good, *late]
    assert statuses(direct, gone) == ["deleted"] * len(gone)
    assert statuses(direct, [held, new]) == ["error", "available"]
    provider = direct.parts.providers.get(FILES_ID)
    with direct.parts.vaults.session(provider, owner.project_id) as vault:
        tags = {tag for each in vault.snapshots() for tag in each.tags}
    assert not any(whole in tag for tag in tags) and any(new in tag for tag in tags)
    removed = {
        each["checkpoint_id"]: each["reasons"] for each in review(owner, operation)["last_run"]["removed"]
    }
    assert removed == dict.fromkeys([whole, *unfinished, *lost, *late], ["failed"]) | dict.fromkeys(
        [reset, good], ["max_backups"]
    )


def test_one_that_somebody_sets_right_is_passed_over(
    direct: Service, owner: Client, plan: dict[str, Any]
) -> None:
    operation = schedule(owner, plan, max_backups=1)
    rescued, lost = failures(direct, operation, 8, 7)
    good, parts = fire(direct, operation, days_ago=1), direct.parts
    with parts.database.write() as uow:
        row = uow.scheduled_operations.get(operation)
        submission = Submission(
            uow, RequestContext("req", row.project_id, row.user_id, ("member",)), parts.clock
        )
        reset = submission.process_reset(uow.checkpoints.get(rescued, lock=True))
        retain = submission.process_retain(row)
    with parts.database.write() as uow:
        claimed = uow.tasks.claim(retain.id, "mine", "token", 60, parts.clock.now(), parts.host)
    assert claimed is not None
    run_one_batch(direct, claimed)
    assert statuses(direct, [rescued, lost, good]) == ["error", "deleting", "available"]
    with parts.database.write() as uow:
        for id in (reset.id, retain.id):
            uow.tasks.get(id).state = "done"
    settle(direct)


# --- a whole plan ---


def of_plan(owner: Client, plan: dict[str, Any]) -> dict[str, Any]:
    return dict(owner.get(f"plans/{plan['id']}/retention")["retention"])


def test_a_plan_tells_what_all_its_retention_would_do(
    direct: Service, owner: Client, plan: dict[str, Any]
) -> None:
    narrow, idle = schedule(owner, plan, max_backups=1), schedule(owner, plan)
    wide = schedule(owner, plan, keep_last=3, retention_scope="plan")
    old, new = (fire(direct, narrow, days_ago=days) for days in (3, 2))
    by_hand = owner.checkpoint(plan)["id"]
    age(direct, by_hand, 9)
    resting = schedule(owner, plan, max_backups=1)
    kept = [fire(direct, resting, days_ago=days) for days in (8, 7)]
    owner.call("PUT", f"scheduled_operations/{resting}", {"scheduled_operation": {"enabled": False}})

    found = of_plan(owner, plan)
    operations = {each["scheduled_operation_id"]: each for each in found["operations"]}
    assert list(operations) == [narrow, idle, wide, resting]
    assert operations[narrow]["rules"]["max_backups"] == 1
    assert [each["halted"] for each in found["operations"]] == [None, None, None, "schedule_disabled"]
    assert [each["checkpoint_id"] for each in found["checkpoints"]] == [new, old, *kept[::-1], by_hand]
    told = {each["checkpoint_id"]: (each["action"], each["reasons"]) for each in found["checkpoints"]}
    assert told == {
        new: ("keep", ["limits", "newest", "keep_last"]),
        old: ("remove", ["max_backups"]),
        kept[1]: ("keep", ["keep_last", "limits", "newest", "schedule_disabled"]),
        kept[0]: ("remove", ["keep_last"]),
        by_hand: ("remove", ["keep_last"]),
    }
    [oldest] = [each for each in found["checkpoints"] if each["checkpoint_id"] == by_hand]
    assert oldest["verdicts"] == [
        {"scheduled_operation_id": wide, "action": "remove", "reasons": ["keep_last"]}
    ]
    for operation in operations:
        alone = {each["checkpoint_id"]: each for each in review(owner, operation)["checkpoints"]}
        said = {
            each["checkpoint_id"]: (verdict["action"], verdict["reasons"])
            for each in found["checkpoints"]
            for verdict in each["verdicts"]
            if verdict["scheduled_operation_id"] == operation
        }
        assert said == {id: (each["action"], each["reasons"]) for id, each in alone.items()}
    assert statuses(direct, [old, new, by_hand]) == ["available"] * 3, "nothing is removed"


def test_what_no_operation_looks_at_stays(direct: Service, owner: Client, plan: dict[str, Any]) -> None:
    assert of_plan(owner, plan) == {"operations": [], "checkpoints": []}
    by_hand = owner.checkpoint(plan)["id"]
    age(direct, by_hand, 40, status="available")
    [checkpoint] = of_plan(owner, plan)["checkpoints"]
    assert (checkpoint["checkpoint_id"], checkpoint["action"]) == (by_hand, "keep")
    assert (checkpoint["reasons"], checkpoint["verdicts"]) == (["no_operation"], [])


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"keep_centuries": 1}, "operation_definition.keep_centuries: is no rule of retention"),
        ({"retention_scope": "galaxy"}, "operation_definition.retention_scope: "),
        ({"max_backups": {"each": 3}}, "operation_definition.max_backups: "),
    ],
)
def test_a_rule_of_another_version_lets_nothing_go_and_is_told(
    direct: Service, owner: Client, plan: dict[str, Any], rule: dict[str, Any], message: str
) -> None:
    strange, known = schedule(owner, plan, max_backups=1), schedule(owner, plan, max_backups=1)
    with direct.parts.database.write() as uow:
        row = uow.scheduled_operations.get(strange)
        row.operation_definition = row.operation_definition | rule
    kept, gone = ([fire(direct, each, days_ago=days) for days in (3, 2)] for each in (strange, known))
    found = of_plan(owner, plan)
    assert going(found) == [gone[0]]
    first, second = found["operations"]
    assert (first["scheduled_operation_id"], first["halted"]) == (strange, "rules_not_understood")
    assert first["error"]["code"] == "retention.invalid" and message in first["error"]["message"]
    assert (second["halted"], second["error"]) == (None, None)
    alone = review(owner, strange)
    assert (alone["error"], going(alone)) == (first["error"], [])
    tried = owner.post(f"scheduled_operations/{strange}/retention", {"retention": {"max_backups": 1}}, 200)
    assert (tried["retention"]["error"], going(tried["retention"])) == (None, [kept[0]])

    new = fire(direct, strange)
    assert statuses(direct, [*kept, new]) == ["available"] * 3
    assert review(owner, strange)["last_run"]["status"] == "fail"


def test_days_of_a_zone_that_is_not_known_let_nothing_go(
    direct: Service, owner: Client, plan: dict[str, Any]
) -> None:
    operation = schedule(owner, plan, max_backups=1)
    for days in (3, 2):
        fire(direct, operation, days_ago=days)
    with direct.parts.database.write() as uow:
        trigger = uow.triggers.get(uow.scheduled_operations.get(operation).trigger_id)
        trigger.properties = trigger.properties | {"time_zone": "Mars/Olympus"}
    for found in (of_plan(owner, plan), review(owner, operation)):
        assert going(found) == []
    assert review(owner, operation)["error"]["message"].startswith("trigger.properties.time_zone")


def test_after_a_failure_a_plan_tells_that_nothing_goes(
    direct: Service, owner: Client, plan: dict[str, Any]
) -> None:
    operation = schedule(owner, plan, max_backups=1)
    for days in (3, 2):
        fire(direct, operation, days_ago=days)
    assert len(going(of_plan(owner, plan))) == 1
    age(direct, fire(direct, operation, days_ago=1), 1, status="error")
    found = of_plan(owner, plan)
    assert going(found) == [] and found["operations"][0]["halted"] == "last_run_failed"


def test_readers_of_the_project_see_a_plans_retention_and_others_do_not(
    direct: Service, owner: Client, plan: dict[str, Any]
) -> None:
    path = f"plans/{plan['id']}/retention"
    assert of_plan(direct.client(owner.project_id, role="reader"), plan)["checkpoints"] == []
    assert direct.client().refused("GET", path, 404)["error"] == "plan.not_found"
    admin = direct.client(role="admin")
    assert admin.get(f"{path}?all_tenants=true")["retention"]["operations"] == []
    owner.refused("POST", path, 405, {"retention": {}})
    owner.call("DELETE", f"plans/{plan['id']}")
    owner.refused("GET", path, 404)


# --- copies ---


def copied(service: Service, checkpoint_id: str, provider_id: str = MEMORY_ID, **values: Any) -> str:
    """A copy that was made of one, in another provider, some hours later. :returns: its id."""
    with service.parts.database.write() as uow:
        source = uow.checkpoints.get(checkpoint_id)
        made = copies.new_copy(source, provider_id)
        began = (source.started_at or source.created_at) + timedelta(hours=7)
        for name, value in ({"status": "available", "started_at": began} | values).items():
            setattr(made, name, value)
        uow.checkpoints.add(made)
    return made.id


def told(found: dict[str, Any]) -> dict[str, tuple[str, list[str]]]:
    return {each["checkpoint_id"]: (each["action"], each["reasons"]) for each in found["checkpoints"]}


def test_copies_are_let_go_by_the_same_rules_each_provider_for_itself(
    direct: Service, owner: Client, plan: dict[str, Any]
) -> None:
    operation = schedule(owner, plan, max_backups="2")
    old = [fire(direct, operation, days_ago=days) for days in (30, 20, 10)]
    there, here = ([copied(direct, id, where) for id in old] for where in (MEMORY_ID, FILES_ID))
    found = review(owner, operation)
    rows = {each["checkpoint_id"]: each for each in found["checkpoints"]}
    assert {(each["provider_id"], each["source_id"]) for each in rows.values()} == {
        (FILES_ID, None),
        *((where, id) for where in (FILES_ID, MEMORY_ID) for id in old),
    }
    assert rows[there[0]]["taken_at"] == rows[old[0]]["taken_at"], "it is as old as its data"
    assert set(going(found)) == {old[0], there[0], here[0]}
    assert rows[there[2]]["reasons"] == ["limits", "newest", "source"]
    assert set(going(of_plan(owner, plan))) == set(going(found))

    new = fire(direct, operation)
    assert statuses(direct, [*old, new]) == ["deleted"] * 2 + ["available"] * 2, "as without any copy"
    for lot in (there, here):
        assert statuses(direct, lot) == ["deleted", "available", "available"], "not because its source went"
    last = review(owner, operation)["last_run"]["removed"]
    assert {each["checkpoint_id"] for each in last} == {*old[:2], there[0], here[0]}


def test_a_copy_stays_while_what_it_would_be_made_of_again_does(
    direct: Service, owner: Client, plan: dict[str, Any]
) -> None:
    operation = schedule(owner, plan, max_backups=1)
    held, plain = (fire(direct, operation, days_ago=days) for days in (30, 20))
    first, second = copied(direct, held), copied(direct, plain)
    path = f"providers/{FILES_ID}/checkpoints/{held}/hold"
    assert owner.call("PUT", path, {"hold": {"reason": "court"}}).status_int == 200
    assert told(review(owner, operation))[first] == ("keep", ["source"])
    fire(direct, operation)
    assert statuses(direct, [held, plain]) == ["available", "deleted"]
    assert statuses(direct, [first, second]) == ["available", "available"]
    assert direct.client(owner.project_id, role="admin").call("DELETE", path).status_int < 300
    fire(direct, operation)
    assert statuses(direct, [held, first, second]) == ["deleted", "deleted", "available"]


def test_a_copy_that_failed_keeps_copies_from_going_and_nothing_else(
    direct: Service, owner: Client, plan: dict[str, Any]
) -> None:
    operation = schedule(owner, plan, max_backups=1)
    old = [fire(direct, operation, days_ago=days) for days in (30, 20)]
    lot = [copied(direct, id) for id in old]
    broken = copied(direct, old[1], status="error", started_at=datetime.now(UTC))
    found = review(owner, operation)
    assert (found["halted"], going(found)) == (None, old[:1])
    assert told(found)[lot[0]] == ("keep", ["last_copy_failed"])
    age(direct, broken, 20, started_at=datetime.now(UTC) - timedelta(days=25))
    assert set(going(review(owner, operation))) == {old[0], lot[0]}, "it went well since"
    lost = copied(direct, old[0], status="error")
    found = review(owner, operation)
    assert set(going(found)) == {old[0], lot[0], lost} and told(found)[lost] == ("remove", ["failed"])


def test_whose_copies_are_looked_at_is_said_by_their_source(
    direct: Service, owner: Client, plan: dict[str, Any]
) -> None:
    """By no schedule but its own, however it was copied; where it is not known, as what was made by hand."""
    nightly, monthly = schedule(owner, plan, max_backups=1), schedule(owner, plan)
    ours = [copied(direct, fire(direct, nightly, days_ago=days)) for days in (30, 20)]
    theirs = copied(direct, fire(direct, monthly, days_ago=40))
    by_hand = owner.checkpoint(plan)["id"]
    age(direct, by_hand, 50, status="available")
    lost = copied(direct, by_hand)
    age(direct, lost, 50, source_id=new_id())
    seen = {scope: set(told(tried(owner, nightly, scope))) for scope in ("operation", "scheduled", "plan")}
    copies_seen = {scope: ids & {*ours, theirs, lost} for scope, ids in seen.items()}
    assert copies_seen == {"operation": {*ours}, "scheduled": {*ours, theirs}, "plan": {*ours, theirs, lost}}


def tried(owner: Client, operation_id: str, scope: str) -> dict[str, Any]:
    rules = {"max_backups": 1, "retention_scope": scope}
    path = f"scheduled_operations/{operation_id}/retention"
    return dict(owner.post(path, {"retention": rules}, 200)["retention"])


def test_a_copy_in_a_provider_that_is_not_configured_any_more_is_left_alone(
    direct: Service, owner: Client, plan: dict[str, Any]
) -> None:
    operation = schedule(owner, plan, max_backups=1)
    old = [fire(direct, operation, days_ago=days) for days in (30, 20)]
    elsewhere = new_id()
    lot = [copied(direct, id, elsewhere) for id in old]
    assert lot[0] in going(review(owner, operation))
    fire(direct, operation)
    assert statuses(direct, old + lot) == ["deleted"] * 2 + ["available"] * 2


# --- broken off ---


def test_it_ends_where_one_run_would_wherever_it_is_broken_off(
    direct: Service, owner: Client, plan: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a worker that is killed between any two of its transactions."""
    monkeypatch.setattr("protectd.tasks.retain.BATCH", 1)
    operation = schedule(owner, plan, max_backups=1)
    old = [fire(direct, operation, days_ago=days) for days in range(6, 1, -1)]
    parts = direct.parts
    with parts.database.write() as uow:
        row = uow.scheduled_operations.get(operation)
        context = RequestContext("req-retain", row.project_id, row.user_id, ("member",))
        submission = Submission(uow, context, parts.clock)
        task = submission.process_retain(row)
        assert submission.process_retain(row).id == task.id
    for done in range(2):
        with parts.database.write() as uow:
            claimed = uow.tasks.claim(task.id, "dead", f"token-{done}", 60, parts.clock.now(), parts.host)
        assert claimed is not None
        run_one_batch(direct, claimed)
        with parts.database.write() as uow:
            assert uow.tasks.release_lost(uow.tasks.get(task.id), parts.clock.now())
    parts.dispatcher.dispatch(submission.submitted)
    settle(direct)
    parts.relay.resend_all()
    settle(direct)
    assert statuses(direct, old) == ["deleted"] * 4 + ["available"]
    removed = [each["checkpoint_id"] for each in review(owner, operation)["last_run"]["removed"]]
    assert sorted(removed) == sorted(old[:4])


def run_one_batch(service: Service, claimed: Any) -> None:
    env = service.parts.direct_env
    run = Run.of(claimed, env)
    run.facts = RetainFacts()
    assert RetainCheckpoints(env)._remove_some(run)


def test_a_checkpoint_that_somebody_begins_to_use_is_passed_over(
    direct: Service, owner: Client, plan: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = schedule(owner, plan, max_backups=1)
    used, plain, _ = (fire(direct, operation, days_ago=days) for days in (6, 5, 4))
    ask = CheckpointRepository.pinned
    monkeypatch.setattr(CheckpointRepository, "pinned", lambda self, id: id == used or ask(self, id))
    fire(direct, operation)
    assert statuses(direct, [used, plain]) == ["available", "deleted"]


def test_the_project_has_its_quota_back(direct: Service, owner: Client, plan: dict[str, Any]) -> None:
    operation = schedule(owner, plan, max_backups=1)
    for _ in range(3):
        fire(direct, operation)
    detail = owner.get(f"quotas/{owner.project_id}/detail")["quota"]
    assert detail["checkpoints"]["in_use"] == 1
    assert detail["operations"]["in_use"] == 0
