"""Requests that are sent again: one effect, and the answer that the first one had."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
import webtest
from sqlalchemy import select

from protectd.api import environ as env
from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.errors import AnswerNotKept
from protectd.api.idempotency import once
from protectd.common.context import RequestContext
from protectd.common.ids import new_id
from protectd.model.models import IdempotencyKey, Task
from tests.fakes.service import MEMORY_ID, Client, Service, fault_of, run_body, together

PROTECT = f"providers/{MEMORY_ID}/checkpoints"
INSTANCES = "protectables/directory/instances"
REPLAYED = "Idempotency-Replayed"
AT_ONCE = 20


def send(client: Client, path: str, body: Any, key: str) -> webtest.TestResponse:
    return client.call("POST", path, body, **{"Idempotency-Key": key})


def answered(answer: webtest.TestResponse) -> tuple[int, str | None, bytes]:
    return answer.status_int, answer.headers.get("Location"), answer.body


def ready(service: Service, client: Client) -> dict[str, Any]:
    """A checkpoint that can be used."""
    made = client.checkpoint(client.plan(service.allowed / new_id()))
    with service.parts.database.write() as uow:
        uow.checkpoints.get(made["id"]).status = "available"
    return made


def bodies(service: Service, client: Client) -> dict[str, Any]:
    """What may be posted, by path."""
    made = ready(service, client)
    elsewhere = {"directory": {"path": str(service.allowed / new_id())}}
    return {
        "plans": client.plan_body(service.allowed / new_id()),
        INSTANCES: {"instance": {"name": "n", "properties": {"path": str(service.allowed / new_id())}}},
        PROTECT: {"checkpoint": {"plan_id": made["protection_plan"]["id"]}},
        "restores": {"restore": run_body(made, parameters=elsewhere)},
        "verifications": {"verification": run_body(made)},
    }


def counted(service: Service, model: type[Any], project_id: str) -> int:
    with service.parts.database.read() as uow:
        return len(uow.session.scalars(select(model.id).where(model.project_id == project_id)).all())


def count(client: Client, path: str) -> int:
    return len(next(iter(client.get(path).values())))


@pytest.mark.parametrize("path", ["plans", INSTANCES, PROTECT, "restores", "verifications"])
def test_what_is_sent_again_is_answered_again_and_done_once(
    service: Service, member: Client, path: str
) -> None:
    body = bodies(service, member)[path]
    before, key = count(member, path), new_id()
    first = send(member, path, body, key)
    again = send(member, path, body, key)
    assert first.status_int in (201, 202)
    assert first.headers["Location"]
    assert answered(again) == answered(first)
    assert (REPLAYED in first.headers, again.headers[REPLAYED]) == (False, "true")
    assert count(member, path) == before + 1


def test_what_has_changed_since_does_not_change_the_answer(service: Service, member: Client) -> None:
    body, key = member.plan_body(service.allowed), new_id()
    first = send(member, "plans", body, key)
    member.call("DELETE", f"plans/{first.json['plan']['id']}")
    assert answered(send(member, "plans", body, key)) == answered(first)
    assert member.get("plans") == {"plans": []}


def test_another_request_under_the_same_key_is_refused(service: Service, member: Client) -> None:
    body, key = member.plan_body(service.allowed), new_id()
    assert send(member, "plans", body, key).status_int == 201
    for path, other in (
        ("plans", member.plan_body(service.allowed, name="other")),
        ("plans?all_tenants=true", body),
    ):
        fault = fault_of(send(member, path, other, key))
        assert (fault["code"], fault["error"], fault["field"]) == (
            422,
            "idempotency_key.reused",
            "Idempotency-Key",
        )
    assert count(member, "plans") == 1


def test_a_key_is_its_senders_and_its_routes(service: Service, member: Client) -> None:
    body, key = member.plan_body(service.allowed), new_id()
    colleague, stranger = service.client(member.project_id), service.client()
    ids = {send(each, "plans", body, key).json["plan"]["id"] for each in (member, colleague, stranger)}
    assert len(ids) == 3
    instance = {"instance": {"name": "n", "properties": {"path": str(service.allowed)}}}
    assert REPLAYED not in send(member, INSTANCES, instance, key).headers


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb", "a\x7f", "\N{NO-BREAK SPACE}"])
def test_a_key_that_is_none_is_refused(service: Service, member: Client, key: str) -> None:
    fault = fault_of(send(member, "plans", member.plan_body(service.allowed), key))
    assert (fault["code"], fault["error"], fault["field"]) == (400, "header.malformed", "Idempotency-Key")
    assert member.get("plans") == {"plans": []}


def test_any_255_printable_characters_are_a_key(service: Service, member: Client) -> None:
    body = member.plan_body(service.allowed)
    key = "".join(itertools.islice(itertools.cycle(map(chr, range(32, 127))), 253))
    assert answered(send(member, "plans", body, f"<{key}>")) == answered(
        send(member, "plans", body, f"<{key}>")
    )


def test_what_was_refused_may_be_mended_and_sent_again(service: Service, member: Client) -> None:
    key = new_id()
    for wrong, status in (({"name": ""}, 400), ({"resources": [{}]}, 400)):
        assert send(member, "plans", member.plan_body(service.allowed, **wrong), key).status_int == status
    assert send(member, "plans", member.plan_body("/etc"), key).status_int == 403
    made = send(member, "plans", member.plan_body(service.allowed), key)
    assert (made.status_int, REPLAYED in made.headers) == (201, False)


def test_a_key_counts_for_a_day(service: Service, member: Client) -> None:
    key = new_id()
    body, other = member.plan_body(service.allowed), member.plan_body(service.allowed, name="other")
    old = send(member, "plans", body, key)
    age(service, timedelta(hours=24))
    new = send(member, "plans", other, key)
    assert new.json["plan"]["id"] != old.json["plan"]["id"]
    assert answered(send(member, "plans", other, key)) == answered(new)
    assert count(member, "plans") == 2


def age(service: Service, by: timedelta) -> None:
    """Let all keys be so much older."""
    with service.parts.database.write() as uow:
        for row in uow.session.scalars(select(IdempotencyKey)):
            row.created_at -= by


def test_other_verbs_have_no_use_for_a_key(service: Service, member: Client) -> None:
    plan, header = member.plan(service.allowed), {"Idempotency-Key": ""}
    assert member.call("GET", "plans", **header).status_int == 200
    assert member.call("DELETE", f"plans/{plan['id']}", **header).status_int == 204


def test_where_the_work_is_done_at_once_the_answer_is_kept_as_it_left(direct: Service) -> None:
    member = direct.client()
    plan = member.plan(direct.directory("kept"))
    body, key = {"checkpoint": {"plan_id": plan["id"]}}, new_id()
    first = send(member, PROTECT, body, key)
    assert first.json["checkpoint"]["status"] == "available"
    assert answered(send(member, PROTECT, body, key)) == answered(first)


def test_an_answer_with_a_secret_is_not_kept(service: Service, member: Client) -> None:
    context, key = RequestContext("req-1", member.project_id, "user"), new_id()

    def ask() -> Answer:
        environ = webtest.TestRequest.blank("/v1/x/secrets", method="POST", body=b"{}").environ
        environ |= {env.CONTEXT: context, "HTTP_IDEMPOTENCY_KEY": key}
        call = Call(service.parts.runtime, environ)
        return call.carry_out(lambda: once(call, lambda: Answer({"password": "hush-hush"}, secret=True)))

    assert ask().body == {"password": "hush-hush"}
    with pytest.raises(AnswerNotKept) as caught:
        ask()
    assert caught.value.status == 409
    with service.parts.database.read() as uow:
        kept = [(row.status, row.location, row.body) for row in uow.session.scalars(select(IdempotencyKey))]
    assert (None, None, None) in kept
    assert "hush-hush" not in str(kept)


# --- at once, on every database ---


@pytest.mark.parametrize("path", ["plans", PROTECT])
def test_twenty_at_once_have_one_effect(shared: Service, path: str) -> None:
    client = shared.client()
    body, key = bodies(shared, client)[path], new_id()
    before, tasks = count(client, path), counted(shared, Task, client.project_id)
    answers = together(shared, client, [lambda own: send(own, path, body, key)] * AT_ONCE)
    assert len({answered(answer) for answer in answers}) == 1
    assert answers[0].status_int in (201, 202)
    assert sum(REPLAYED not in answer.headers for answer in answers) == 1
    assert count(client, path) == before + 1
    assert counted(shared, Task, client.project_id) == tasks + (path == PROTECT)


def test_of_two_requests_under_one_key_one_is_done(shared: Service) -> None:
    client, key = shared.client(), new_id()
    both = [client.plan_body(shared.allowed, name=name) for name in ("one", "two")]
    asks = [lambda own, body=body: send(own, "plans", body, key) for body in both]
    statuses = sorted(answer.status_int for answer in together(shared, client, asks * (AT_ONCE // 2)))
    assert statuses == [201] * (AT_ONCE // 2) + [422] * (AT_ONCE // 2)
    assert count(client, "plans") == 1


def test_refusals_do_not_stand_in_each_others_way(shared: Service) -> None:
    client, key = shared.client(), new_id()
    wrong = client.plan_body("/etc")
    answers = together(shared, client, [lambda own: send(own, "plans", wrong, key)] * AT_ONCE)
    assert [answer.status_int for answer in answers] == [403] * AT_ONCE
    assert send(client, "plans", client.plan_body(shared.allowed), key).status_int == 201


def test_a_key_that_is_too_old_is_used_anew_by_one(shared: Service) -> None:
    client, key = shared.client(), new_id()
    body = client.plan_body(shared.allowed)
    send(client, "plans", body, key)
    age(shared, timedelta(days=2))
    answers = together(shared, client, [lambda own: send(own, "plans", body, key)] * AT_ONCE)
    assert len({answered(answer) for answer in answers}) == 1
    assert count(client, "plans") == 2
