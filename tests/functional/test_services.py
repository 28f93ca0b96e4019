"""Daemons and their heartbeats, as an operator sees and rules them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from protectd.common.ids import new_id
from tests.fakes.service import Client, Service

FIELDS = {
    "id",
    "binary",
    "host",
    "topic",
    "status",
    "state",
    "disabled_reason",
    "report_count",
    "rpc_current_version",
    "rpc_available_version",
    "created_at",
    "updated_at",
    "modified_at",
}


def beat(service: Service, host: str, binary: str = "protectd-worker") -> None:
    """A daemon says that it lives."""
    with service.parts.database.write() as uow:
        row = uow.services.register(host, binary, "protectd-worker", version="1.2")
        uow.services.heartbeat(row.id, service.parts.clock.now())


def fall_silent(service: Service, host: str, by: timedelta = timedelta(minutes=2)) -> None:
    with service.parts.database.write() as uow:
        for row in uow.services.all(host=host):
            row.updated_at = service.parts.clock.now() - by


def shown(client: Client, host: str) -> dict[str, Any]:
    (found,) = client.get(f"os-services?host={host}")["services"]
    return dict(found)


@pytest.fixture
def host(service: Service) -> str:
    """A host with one worker that lives."""
    name = new_id()
    beat(service, name)
    return name


def put(client: Client, found: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = client.call("PUT", f"os-services/{found['id']}", body)
    assert answer.status_int == 200, answer.text
    return dict(answer.json["service"])


def test_a_daemon_is_told_with_its_heartbeat(admin: Client, host: str) -> None:
    found = shown(admin, host)
    assert set(found) == FIELDS
    assert isinstance(found["id"], int)
    assert (found["binary"], found["topic"]) == ("protectd-worker", "protectd-worker")
    assert (found["status"], found["state"], found["disabled_reason"]) == ("enabled", "up", None)
    assert (found["report_count"], found["rpc_available_version"]) == (1, "1.2")


def test_services_are_found_by_host_and_binary(service: Service, admin: Client, host: str) -> None:
    beat(service, host, "protectd-engine")
    beat(service, new_id())

    def found(query: str) -> list[tuple[str, str]]:
        services = admin.get(f"os-services?{query}")["services"]
        return [(each["host"], each["binary"]) for each in services if each["host"] == host]

    both = [(host, "protectd-engine"), (host, "protectd-worker")]
    assert found("") == found(f"host={host}") == both
    assert found(f"host={host}&binary=protectd-engine") == found("binary=protectd-engine") == both[:1]
    assert admin.get(f"os-services?host={host[:8]}") == {"services": []}


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("PUT", "/1"), ("DELETE", "/1")])
def test_services_are_an_administrators(member: Client, host: str, method: str, path: str) -> None:
    body = {"status": "disabled"} if method == "PUT" else None
    assert member.refused(method, f"os-services{path}", 403, body)["error"] == "forbidden"


def test_one_that_is_silent_for_too_long_is_down(service: Service, admin: Client, host: str) -> None:
    fall_silent(service, host)
    assert shown(admin, host)["state"] == "down"
    put(admin, shown(admin, host), status="disabled")
    assert shown(admin, host)["state"] == "down"
    beat(service, host)
    assert shown(admin, host)["state"] == "up"


def test_how_long_is_an_option(service: Service, admin: Client, host: str) -> None:
    limit_s = service.parts.conf.service_down_time_s
    fall_silent(service, host, timedelta(seconds=limit_s / 2))
    assert shown(admin, host)["state"] == "up"
    fall_silent(service, host, timedelta(seconds=limit_s + 1))
    assert shown(admin, host)["state"] == "down"


def test_it_is_disabled_with_a_reason_and_enabled_without(admin: Client, host: str) -> None:
    found = shown(admin, host)
    disabled = put(admin, found, status="disabled", disabled_reason="new disks")
    assert (disabled["status"], disabled["disabled_reason"]) == ("disabled", "new disks")
    assert shown(admin, host) == disabled
    assert put(admin, found, status="disabled")["disabled_reason"] is None
    put(admin, found, status="disabled", disabled_reason="é" * 255)
    enabled = put(admin, found, status="enabled", disabled_reason=None)
    assert (enabled["status"], enabled["disabled_reason"]) == ("enabled", None)


def test_what_an_operator_does_is_no_heartbeat_and_a_heartbeat_no_change(shared: Service) -> None:
    admin = shared.client(role="admin")
    beat(shared, "one")
    first = shown(admin, "one")
    changed = put(admin, first, status="disabled", disabled_reason="r")
    assert changed["modified_at"] > first["modified_at"]
    assert {**changed, "modified_at": 0, "status": "enabled", "disabled_reason": None} == {
        **first,
        "modified_at": 0,
    }
    beat(shared, "one")
    later = shown(admin, "one")
    assert later["updated_at"] > changed["updated_at"]
    assert {**later, "updated_at": 0, "report_count": 1} == {**changed, "updated_at": 0}
    assert later["report_count"] == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "status"),
        ({"disabled_reason": "r"}, "status"),
        ({"status": "up"}, "status"),
        ({"status": None}, "status"),
        ({"status": "enabled", "disabled_reason": "r"}, "disabled_reason"),
        ({"status": "disabled", "disabled_reason": "r" * 256}, "disabled_reason"),
        ({"status": "disabled", "disabled_reason": "a\nb"}, "disabled_reason"),
        ({"status": "disabled", "disabled_reason": 1}, "disabled_reason"),
        ({"service": {"status": "disabled"}}, "service"),
        ([], "body"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(admin: Client, host: str, body: Any, field: str) -> None:
    found = shown(admin, host)
    assert admin.refused("PUT", f"os-services/{found['id']}", 400, body)["field"] == field
    assert shown(admin, host) == found


@pytest.mark.parametrize(
    ("id", "status"),
    [("999999999", 404), ("0", 404), ("9" * 10, 400), ("-1", 400), ("x", 400), ("%D9%A3", 400)],
)
def test_one_that_is_not_there_cannot_be_changed(admin: Client, id: str, status: int) -> None:
    for method, body in (("PUT", {"status": "enabled"}), ("DELETE", None)):
        admin.refused(method, f"os-services/{id}", status, body)


def test_one_that_is_removed_comes_back_with_its_next_heartbeat(shared: Service) -> None:
    admin = shared.client(role="admin")
    beat(shared, "one")
    found = put(admin, shown(admin, "one"), status="disabled", disabled_reason="r")
    url = f"os-services/{found['id']}"
    assert admin.call("DELETE", url).status_int == 204
    assert admin.get("os-services") == {"services": []}
    admin.refused("DELETE", url, 404)
    admin.refused("PUT", url, 404, {"status": "enabled"})
    with shared.parts.database.read() as uow:
        row = uow.services.by_name("one", "protectd-worker")
        assert row is not None
        assert row.deleted_at is not None
    beat(shared, "one")
    back = shown(admin, "one")
    assert (back["id"], back["created_at"], back["state"]) == (found["id"], found["created_at"], "up")
    assert (back["status"], back["disabled_reason"]) == ("disabled", "r")
