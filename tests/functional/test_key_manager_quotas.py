"""Quotas of the key manager: what they let through, what they tell, and that they are exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from protectd.common.ids import new_id
from protectd.domain.balances import heal
from protectd.engine.usage import UsageAudit
from protectd.model.repositories.quotas import (
    CONTAINER_CONSUMERS,
    CONTAINERS,
    ORDERS,
    SECRET_CONSUMERS,
    SECRETS,
)
from tests.fakes.clock import ManualClock
from tests.fakes.cuts import Line, When, line_to
from tests.fakes.service import Client, Service, running, together
from tests.functional.test_key_manager_containers import contain, ref
from tests.functional.test_key_manager_orders import AES, order, path_of
from tests.functional.test_key_manager_secrets import text

NONE = {"secrets": -1, "orders": -1, "containers": -1, "consumers": -1, "cas": -1}
UNSAID = dict.fromkeys(NONE)
AT_ONCE = 50
RESOURCES = (SECRETS, ORDERS, CONTAINERS, SECRET_CONSUMERS, CONTAINER_CONSUMERS)
CONSUMER = {"service": "s", "resource_type": "t", "resource_id": "i"}
BALANCER = {"name": "balancer", "URL": "http://example.com"}


@pytest.fixture
def limited(service: Service, member: Client) -> Callable[..., None]:
    return lambda **limits: limit(service, member, **limits)


def limit(service: Service, client: Client, **limits: int) -> None:
    admin = service.client(role="admin")
    answer = admin.call("PUT", f"/v1/project-quotas/{client.project_id}", {"project_quotas": limits})
    assert (answer.status_int, answer.body) == (204, b"")


def used(service: Service, client: Client) -> dict[str, int]:
    with service.parts.database.read() as uow:
        usages = uow.quotas.usages(client.project_id)
    return {name: usages[name] for name in RESOURCES if usages.get(name)}


def true(service: Service, client: Client) -> dict[str, int]:
    with service.parts.database.read() as uow:
        balance = uow.balances.balance(client.project_id, service.parts.clock.now())
    return {name: balance.true[name] for name in RESOURCES if balance.true[name]}


def deleted(client: Client, path: str, body: Any = None) -> int:
    return int(client.call("DELETE", path, body).status_int)


# --- what is shown and changed ---


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_project_sees_what_holds(service: Service, member: Client, slash: str) -> None:
    for role in ("reader", "member", "admin"):
        client = service.client(member.project_id, role)
        assert client.get(f"/v1/quotas{slash}") == {"quotas": NONE}
    limit(service, member, secrets=7, consumers=-5, cas=3)
    assert member.get(f"/v1/quotas{slash}") == {"quotas": NONE | {"secrets": 7, "consumers": -5, "cas": 3}}


def test_limits_are_set_changed_and_taken_away(service: Service, member: Client) -> None:
    admin, own = service.client(role="admin"), f"/v1/project-quotas/{member.project_id}"
    assert admin.refused("GET", own, 404)["error"] == "quota.not_found"
    assert admin.refused("DELETE", own, 404)["error"] == "quota.not_found"
    limit(service, member, secrets=7, orders=0)
    assert admin.get(own) == {"project_quotas": UNSAID | {"secrets": 7, "orders": 0}}
    limit(service, member, secrets=8)
    limit(service, member)
    assert admin.get(f"{own}/") == {"project_quotas": UNSAID | {"secrets": 8, "orders": 0}}
    assert deleted(admin, f"{own}/") == 204
    assert admin.refused("GET", own, 404)["error"] == "quota.not_found"
    assert member.get("/v1/quotas") == {"quotas": NONE}


def test_the_limits_of_one_contract_are_not_those_of_the_other(service: Service, member: Client) -> None:
    admin, own = service.client(role="admin"), f"/v1/project-quotas/{member.project_id}"
    others = f"quotas/{member.project_id}"
    limit(service, member, secrets=7)
    admin.call("PUT", others, {"quota": {"plans": 3, "secrets": 1}})
    assert set(admin.get(others)["quota"]) == {"plans", "checkpoints", "stored_bytes", "operations", "id"}
    assert deleted(admin, others) == 204
    assert member.get("/v1/quotas")["quotas"]["secrets"] == 7
    admin.call("PUT", others, {"quota": {"plans": 3}})
    assert deleted(admin, own) == 204
    assert admin.get(others)["quota"]["plans"] == 3
    assert admin.refused("GET", own, 404)["error"] == "quota.not_found"


def test_projects_that_have_limits_are_listed_by_pages(service: Service) -> None:
    admin = service.client(role="admin")
    for _ in range(3):
        limit(service, service.client(), orders=4)
    first = admin.get("/v1/project-quotas/?limit=2")
    assert first["total"] >= 3 and "previous" not in first
    assert first["next"].endswith("/v1/project-quotas?limit=2&offset=2")
    pages = [admin.get(f"/v1/project-quotas?limit=2&offset={at}") for at in range(0, first["total"], 2)]
    listed = [each for page in pages for each in page["project_quotas"]]
    assert len(listed) == first["total"]
    assert [each["project_id"] for each in listed] == sorted({each["project_id"] for each in listed})
    assert set(listed[0]) == {"project_id", "project_quotas"}
    assert set(listed[0]["project_quotas"]) == set(NONE)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "project_quotas"),
        ({"project_quotas": []}, "project_quotas"),
        ({"project_quotas": {"secrets": "7"}}, "project_quotas.secrets"),
        ({"project_quotas": {"secrets": None}}, "project_quotas.secrets"),
        ({"project_quotas": {"secrets": True}}, "project_quotas.secrets"),
        ({"project_quotas": {"secrets": 1.5}}, "project_quotas.secrets"),
        ({"project_quotas": {"secrets": 2**63}}, "project_quotas.secrets"),
        ({"project_quotas": {"plans": 7}}, "project_quotas.plans"),
        ({"project_quotas": {"secrets": 7}, "more": 1}, "more"),
    ],
)
def test_what_is_no_limit_is_refused(admin: Client, body: Any, field: str) -> None:
    project = new_id()
    assert admin.refused("PUT", f"/v1/project-quotas/{project}", 400, body)["field"] == field
    admin.refused("GET", f"/v1/project-quotas/{project}", 404)


def test_who_may_do_what(service: Service, member: Client) -> None:
    own, body = f"/v1/project-quotas/{member.project_id}", {"project_quotas": {"secrets": 1}}
    for verb, path, wanted in (
        ("GET", "/v1/project-quotas", None),
        ("GET", own, None),
        ("PUT", own, body),
        ("DELETE", own, None),
    ):
        assert member.refused(verb, path, 403, wanted)["error"] == "forbidden"
    keeper = service.client(role="key-manager:service-admin")
    assert keeper.call("PUT", own, body).status_int == 204
    assert keeper.get(own)["project_quotas"]["secrets"] == 1
    service.client(role="nobody").refused("GET", "/v1/quotas", 403)


# --- limits hold ---


def test_one_secret_too_many_is_told_as_the_contract_does(member: Client, limited: Any) -> None:
    limited(secrets=2)
    paths = [text(member, "x") for _ in range(2)]
    fault = member.refused("POST", "/v1/secrets", 403, {"name": "third"})
    assert (fault["name"], fault["error"]) == ("forbidden", "quota.reached")
    assert "quota has been reached" in fault["message"] and "2 of 2 secrets" in fault["message"]
    assert member.get("/v1/secrets")["total"] == 2
    assert deleted(member, paths[0]) == 204
    text(member, "y")
    limited(secrets=0)
    member.refused("POST", "/v1/secrets", 403, {})
    limited(secrets=-1)
    text(member, "z")


def test_each_kind_is_counted_and_given_back(direct: Service, member: Client) -> None:
    user = direct.client()
    secret, made = text(user, "x"), order(user, "asymmetric", algorithm="rsa", bit_length=2048)
    assert used(direct, user) == {SECRETS: 3, ORDERS: 1, CONTAINERS: 1}
    container = contain(user, refs=[ref(secret)])
    for _ in range(2):
        user.call("POST", f"{secret}/consumers", CONSUMER)
        user.call("POST", f"{container}/consumers", BALANCER)
    user.call("POST", f"{secret}/consumers", CONSUMER | {"service": "other"})
    assert used(direct, user) == true(direct, user)
    assert used(direct, user) == {
        SECRETS: 3,
        ORDERS: 1,
        CONTAINERS: 2,
        SECRET_CONSUMERS: 2,
        CONTAINER_CONSUMERS: 1,
    }
    user.call("DELETE", f"{secret}/consumers", CONSUMER)
    user.refused("DELETE", f"{secret}/consumers", 404, CONSUMER)
    user.call("DELETE", f"{container}/consumers", BALANCER)
    user.refused("DELETE", f"{container}/consumers", 404, BALANCER)
    assert used(direct, user) == {SECRETS: 3, ORDERS: 1, CONTAINERS: 2, SECRET_CONSUMERS: 1}
    user.call("POST", f"{container}/consumers", BALANCER)
    for path in (secret, container, path_of(made["order_ref"]), path_of(made["container_ref"])):
        assert deleted(user, path) == 204
        assert deleted(user, path) == 404
    assert used(direct, user) == true(direct, user) == {SECRETS: 2}


@pytest.mark.parametrize("kind", ["orders", "containers", "consumers"])
def test_each_limit_holds(member: Client, limited: Any, kind: str) -> None:
    secret, container = text(member, "x"), contain(member)
    limited(**{kind: 1 if kind == "containers" else 0})
    for path, body, told in (
        ("/v1/orders", {"type": "key", "meta": AES}, "orders"),
        ("/v1/containers", {"type": "generic"}, "containers"),
        (f"{secret}/consumers", CONSUMER, "consumers"),
        (f"{container}/consumers", BALANCER, "consumers"),
    ):
        if told == kind:
            assert kind in member.refused("POST", path, 403, body)["message"]
        else:
            assert member.call("POST", path, body).status_int < 300


def test_each_kind_of_consumer_has_the_limit_for_itself(member: Client, limited: Any) -> None:
    secret, container = text(member, "x"), contain(member)
    limited(consumers=1)
    for _ in range(2):
        assert member.call("POST", f"{secret}/consumers", CONSUMER).status_int == 200
        assert member.call("POST", f"{container}/consumers", BALANCER).status_int == 200
    member.refused("POST", f"{secret}/consumers", 403, CONSUMER | {"service": "other"})
    member.refused("POST", f"{container}/consumers", 403, BALANCER | {"name": "other"})


def test_what_an_order_makes_counts_though_there_be_no_room(direct: Service) -> None:
    user = direct.client()
    limit(direct, user, secrets=0, orders=1)
    assert order(user)["status"] == "ACTIVE"
    assert used(direct, user) == {SECRETS: 1, ORDERS: 1}
    user.refused("POST", "/v1/orders", 403, {"type": "key", "meta": AES})
    user.refused("POST", "/v1/secrets", 403, {})


def test_what_is_refused_takes_nothing(service: Service, member: Client, limited: Any) -> None:
    limited(secrets=5)
    member.refused("POST", "/v1/secrets", 400, {"payload": "", "payload_content_type": "text/plain"})
    member.refused("POST", "/v1/orders", 400, {"type": "key", "meta": AES | {"bit_length": 7}})
    member.refused(
        "POST", "/v1/containers", 404, {"type": "generic", "secret_refs": [ref(f"/v1/secrets/{new_id()}")]}
    )
    assert used(service, member) == {}


def test_the_services_own_secrets_are_nobodys(direct: Service) -> None:
    """A passphrase is kept in the service's own project until its order ends."""
    user = direct.client()
    order(user, "asymmetric", algorithm="rsa", bit_length=2048, passphrase="word")
    assert used(direct, user) == true(direct, user) == {SECRETS: 3, ORDERS: 1, CONTAINERS: 1}
    service_project = Client(user.app, "", str(direct.parts.conf.secrets.service_project_id))
    assert used(direct, service_project) == true(direct, service_project) == {}


def test_limits_come_from_the_configuration(tmp_path: Path) -> None:
    with running(tmp_path, quota={"secrets": 1, "consumers": 2}) as service:
        user = service.client()
        assert user.get("/v1/quotas")["quotas"] == NONE | {"secrets": 1, "consumers": 2}
        text(user, "x")
        user.refused("POST", "/v1/secrets", 403, {})
        limit(service, user, secrets=2)
        text(user, "y")


# --- what expires ---


@pytest.fixture
def timed(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path, clock=ManualClock()) as service:
        yield service


def test_what_has_expired_makes_room(timed: Service) -> None:
    user, clock = timed.client(), timed.parts.clock
    assert isinstance(clock, ManualClock)
    limit(timed, user, secrets=2, consumers=1)
    soon = (clock.now() + timedelta(minutes=5)).replace(tzinfo=None).isoformat()
    user.post("/v1/secrets", {"name": "first"}, 201)
    second = path_of(user.post("/v1/secrets", {"expiration": soon}, 201)["secret_ref"])
    user.call("POST", f"{second}/consumers", CONSUMER)
    user.refused("POST", "/v1/secrets", 403, {})
    clock.advance(600)
    assert used(timed, user) == {SECRETS: 2, SECRET_CONSUMERS: 1}
    third = path_of(user.post("/v1/secrets", {}, 201)["secret_ref"])
    user.call("POST", f"{third}/consumers", CONSUMER)
    assert used(timed, user) == true(timed, user) == {SECRETS: 2, SECRET_CONSUMERS: 1}
    user.refused("POST", "/v1/secrets", 403, {})


def test_an_engine_sets_right_what_has_drifted(timed: Service, caplog: pytest.LogCaptureFixture) -> None:
    user, clock, database = timed.client(), timed.parts.clock, timed.parts.database
    assert isinstance(clock, ManualClock)
    soon = (clock.now() + timedelta(minutes=5)).replace(tzinfo=None).isoformat()
    user.post("/v1/secrets", {"expiration": soon}, 201)
    container = contain(user, refs=[ref(text(user, "x"))])
    user.call("POST", f"{container}/consumers", BALANCER)
    user.post("/v1/orders", {"type": "key", "meta": AES}, 202)
    assert heal(database, user.project_id, clock) == {}
    expected = true(timed, user)
    with database.write() as uow:
        for resource in RESOURCES:
            uow.quotas.set_usage(user.project_id, resource, 7)
    assert UsageAudit(database, clock).run_once() == 1
    assert used(timed, user) == true(timed, user) == expected
    caplog.clear()
    clock.advance(600)
    assert UsageAudit(database, clock).run_once() == 1
    assert used(timed, user) == expected | {SECRETS: 1}
    assert not [each for each in caplog.records if each.levelname == "WARNING"]


def test_a_project_that_was_never_counted_is(timed: Service) -> None:
    user, database = timed.client(), timed.parts.database
    text(user, "x")
    with database.write() as uow:
        uow.quotas.set_usage(user.project_id, SECRETS, 0)
    assert UsageAudit(database, timed.parts.clock).run_once() == 1
    assert used(timed, user) == {SECRETS: 1}


# --- many at once ---


def test_as_many_secrets_as_there_is_room_for(shared: Service) -> None:
    client = shared.client()
    limit(shared, client, secrets=20)
    body = {"payload": "x", "payload_content_type": "text/plain"}
    asks = [lambda own: own.call("POST", "/v1/secrets", body).status_int] * AT_ONCE
    assert Counter(together(shared, client, asks)) == {201: 20, 403: 30}
    assert client.get("/v1/secrets")["total"] == 20
    assert used(shared, client) == true(shared, client) == {SECRETS: 20}


def test_as_many_orders_containers_and_consumers_as_there_is_room_for(shared: Service) -> None:
    client = shared.client()
    secret, container = text(client, "x"), contain(client)
    limit(shared, client, orders=6, containers=5, consumers=4)

    def ask(path: str, body: Any) -> Callable[[Client], tuple[str, int]]:
        return lambda own: (path, own.call("POST", path, body).status_int)

    asks = [ask("/v1/orders", {"type": "key", "meta": AES})] * 12
    asks += [ask("/v1/containers", {"type": "generic"})] * 12
    asks += [ask(f"{secret}/consumers", CONSUMER | {"service": f"s{n // 2}"}) for n in range(13)]
    asks += [ask(f"{container}/consumers", BALANCER | {"name": f"b{n // 2}"}) for n in range(13)]
    found = Counter(together(shared, client, asks))
    assert (found["/v1/orders", 202], found["/v1/orders", 403]) == (6, 6)
    assert (found["/v1/containers", 201], found["/v1/containers", 403]) == (4, 8)
    assert {status for _, status in found} == {200, 201, 202, 403}
    expected = {SECRETS: 1, ORDERS: 6, CONTAINERS: 5, SECRET_CONSUMERS: 4, CONTAINER_CONSUMERS: 4}
    assert used(shared, client) == true(shared, client) == expected


def test_those_who_come_and_those_who_go(shared: Service) -> None:
    client = shared.client()
    paths = [text(client, "x") for _ in range(15)]
    limit(shared, client, secrets=20)
    comes: list[Callable[[Client], int]] = [lambda own: own.call("POST", "/v1/secrets", {}).status_int]
    goes = [lambda own, path=path: deleted(own, path) for path in paths]
    statuses = Counter(together(shared, client, [*comes * 20, *goes, *goes]))
    assert statuses[204] == 15 and statuses[404] == 15
    assert 5 <= statuses[201] <= 20 and statuses[201] + statuses[403] == 20
    assert used(shared, client) == true(shared, client) == {SECRETS: statuses[201]}


# --- lines that break ---


@pytest.fixture(params=["postgresql", "mariadb"])
def line(request: pytest.FixtureRequest) -> Iterator[Line]:
    with line_to(request.getfixturevalue(request.param)) as line:
        yield line


@pytest.mark.parametrize("cut", ["before", "after"])
def test_on_whichever_side_of_the_commit_the_line_breaks_it_counts_once(
    tmp_path: Path, line: Line, cut: When
) -> None:
    with running(tmp_path, database=line.url) as remote:
        client = remote.client()
        text(client, "x")
        line.arm(cut)
        path = text(client, "y")
        assert line.cut is None and used(remote, client) == true(remote, client) == {SECRETS: 2}
        line.arm(cut)
        container = contain(client)
        assert line.cut is None and used(remote, client) == {SECRETS: 2, CONTAINERS: 1}
        line.arm(cut)
        assert deleted(client, container) == 204
        assert line.cut is None and used(remote, client) == true(remote, client) == {SECRETS: 2}
        line.arm(cut)
        assert deleted(client, path) == 204
        assert line.cut is None and used(remote, client) == true(remote, client) == {SECRETS: 1}
