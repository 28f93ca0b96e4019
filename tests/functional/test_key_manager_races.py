"""Requests about one secret that come at the same moment, on every database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from protectd.common.ids import new_id
from tests.fakes.service import Client, Service, together
from tests.functional.test_key_manager_containers import contain
from tests.functional.test_key_manager_secrets import CONSUMER, keep, payload, text, upload

TEXT = "text/plain"
ROUNDS = 4
AT_ONCE = 8
Ask = Callable[[Client], Any]


def test_of_payloads_that_come_at_once_one_is_kept(shared: Service) -> None:
    """The one whose sender was told so."""
    client = shared.client()

    def ask(path: str, number: int) -> Ask:
        return lambda own: (
            upload(own, path, f"payload {number}".encode(), Content_Type=TEXT).status_int,
            number,
        )

    for _ in range(ROUNDS):
        path = keep(client)
        answers = together(shared, client, [ask(path, number) for number in range(AT_ONCE)])
        assert Counter(status for status, _ in answers) == {204: 1, 409: AT_ONCE - 1}
        [winner] = [number for status, number in answers if status == 204]
        assert payload(client, path).body == f"payload {winner}".encode()


def test_a_secret_that_is_deleted_is_read_whole_or_not_at_all(shared: Service) -> None:
    client = shared.client()

    def read(path: str) -> Ask:
        def ask(own: Client) -> tuple[int, bytes]:
            answer = own.call("GET", f"{path}/payload", Accept=TEXT)
            return answer.status_int, answer.body if answer.status_int == 200 else b""

        return ask

    def delete(path: str) -> Ask:
        return lambda own: (own.call("DELETE", path).status_int, b"")

    for _ in range(ROUNDS):
        path = text(client, "whole")
        answers = together(shared, client, [read(path)] * AT_ONCE + [delete(path)] * 2)
        deleted = sorted(status for status, _ in answers[AT_ONCE:])
        assert deleted == [204, 404]
        assert set(answers[:AT_ONCE]) <= {(200, b"whole"), (404, b"")}
        payload(client, path, status=404)


def test_a_payload_that_comes_while_its_secret_is_deleted_is_not_left_behind(shared: Service) -> None:
    client = shared.client()
    for _ in range(ROUNDS):
        path = keep(client)
        asks: list[Ask] = [
            lambda own, path=path: upload(own, path, b"late", Content_Type=TEXT).status_int,
            lambda own, path=path: own.call("DELETE", path).status_int,
        ]
        put, deleted = together(shared, client, asks)
        assert put in (204, 404) and deleted == 204
        with shared.parts.database.read() as uow:
            row = uow.secrets.find(path.rpartition("/")[2], include_deleted=True)
            assert row is not None and row.deleted and row.cipher_text == b""


def test_a_note_that_is_added_by_many_at_once_is_there_once(shared: Service) -> None:
    client = shared.client()
    for number in range(ROUNDS):
        path = f"{keep(client)}/metadata"
        asks: list[Ask] = [
            lambda own, path=path, each=each: (
                own.call("POST", path, {"key": "k", "value": str(each)}).status_int
            )
            for each in range(AT_ONCE)
        ]
        assert Counter(together(shared, client, asks)) == {201: 1, 409: AT_ONCE - 1}, number
        assert list(client.get(path)["metadata"]) == ["k"]


def test_notes_that_are_replaced_by_many_at_once_are_one_of_theirs(shared: Service) -> None:
    client = shared.client()
    path = f"{keep(client)}/metadata"
    asks: list[Ask] = [
        lambda own, each=each: (
            own.call("PUT", path, {"metadata": {"a": str(each), f"k{each}": str(each)}}).status_int
        )
        for each in range(AT_ONCE)
    ]
    for _ in range(ROUNDS):
        assert set(together(shared, client, asks)) == {201}
        found = client.get(path)["metadata"]
        assert found == {"a": found["a"], f"k{found['a']}": found["a"]}


def test_readers_that_are_named_by_many_at_once_are_one_of_theirs(shared: Service) -> None:
    client = shared.client()
    for path in (f"{keep(client)}/acl", f"{contain(client)}/acl"):
        asks: list[Ask] = [
            lambda own, path=path, each=each: (
                own.call("PUT", path, {"read": {"users": [f"u{each}", f"v{each}"]}}).status_int
            )
            for each in range(AT_ONCE)
        ]
        assert set(together(shared, client, asks)) == {200}
        users = client.get(path)["read"]["users"]
        assert len(users) == 2 and users[0][1:] == users[1][1:]


def test_a_consumer_that_comes_and_a_secret_that_goes_take_turns(shared: Service) -> None:
    """Whoever was told that a secret is needed finds it, unless it was deleted by force later."""
    client = shared.client()
    version = {"OpenStack-API-Version": "key-manager 1.2"}
    for _ in range(ROUNDS):
        path = text(client)
        asks: list[Ask] = [
            lambda own, path=path: own.call("POST", f"{path}/consumers", CONSUMER).status_int,
            lambda own, path=path: own.call("DELETE", path, **version).status_int,
        ]
        registered, deleted = together(shared, client, asks)
        assert (registered, deleted) in {(200, 400), (404, 204)}


def test_a_secret_expires_between_two_requests(shared: Service) -> None:
    """What depends on it does not: its container shows it still, and nobody can read it."""
    client = shared.client(new_id())
    path = text(client, "short", expiration="2999-01-01T00:00:00")
    ref = client.get(path)["secret_ref"]
    box = client.post("/v1/containers", {"type": "generic", "secret_refs": [{"secret_ref": ref}]}, 201)
    with shared.parts.database.write() as uow:
        row = uow.secrets.get(path.rpartition("/")[2])
        row.expiration = shared.parts.clock.now() - timedelta(microseconds=1)
    for verb, place, body in (
        ("GET", path, None),
        ("GET", f"{path}/payload", None),
        ("PUT", f"{path}/acl", {"read": {}}),
        ("POST", f"{path}/consumers", CONSUMER),
        ("PUT", f"{path}/metadata", {"metadata": {}}),
        ("DELETE", path, None),
        ("POST", "/v1/containers", {"type": "generic", "secret_refs": [{"secret_ref": ref}]}),
        ("POST", f"{contain(client)}/secrets", {"secret_ref": ref}),
    ):
        client.refused(verb, place, 404, body)
    assert client.get("/v1/secrets") == {"secrets": [], "total": 0}
    shown = client.get("/v1" + box["container_ref"].partition("/v1")[2])
    assert [each["secret_ref"] for each in shown["secret_refs"]] == [ref]
