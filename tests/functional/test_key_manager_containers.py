"""Containers through the key manager's contract."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from protectd.common.ids import new_id
from protectd.domain.key_manager import containers
from protectd.domain.quota import QuotaOptions, Quotas
from protectd.domain.secrets import Secrets
from protectd.model.base import utc_now
from protectd.model.repositories.secrets import SecretNotFound
from protectd.model.unit_of_work import Database
from protectd.plugin.secret_stores.crypto import CryptoStore
from tests.fakes.service import Client, Service
from tests.functional.test_key_manager_secrets import keep, payload, text

pytest_plugins = ["tests.fakes.databases"]

CONSUMER = {"name": "balancer", "URL": "http://example.com/balancer"}


def ref(path: str, name: str | None = None) -> dict[str, Any]:
    named = {} if name is None else {"name": name}
    return {"secret_ref": f"http://any.host/prefix{path}", **named}


def contain(
    client: Client, type: str = "generic", refs: list[dict[str, Any]] | None = None, **more: Any
) -> str:
    """Path of a new container."""
    answer = client.call("POST", "/v1/containers/", {"type": type, "secret_refs": refs or [], **more})
    assert answer.status_int == 201, answer
    assert answer.headers["Location"] == answer.json["container_ref"]
    return "/v1/containers/" + str(answer.json["container_ref"]).rpartition("/")[2]


def test_a_container_tells_its_secrets(member: Client) -> None:
    one, other = text(member, "1"), text(member, "2")
    path = contain(member, refs=[ref(one, "first"), ref(other)], name=" both ")
    shown = member.get(path)
    assert set(shown) == {
        *("created", "updated", "status", "name", "type", "creator_id", "secret_refs", "consumers"),
        "container_ref",
    }
    assert (shown["name"], shown["type"], shown["consumers"]) == ("both", "generic", [])
    assert [(each["name"], each["secret_ref"].rpartition("/v1")[2]) for each in shown["secret_refs"]] == [
        ("first", one.removeprefix("/v1")),
        (None, other.removeprefix("/v1")),
    ]


@pytest.mark.parametrize(
    ("type", "names", "fits"),
    [
        ("rsa", ["public_key", "private_key"], True),
        ("rsa", ["public_key", "private_key", "private_key_passphrase"], True),
        ("rsa", ["public_key"], False),
        ("rsa", ["public_key", "private_key", "other"], False),
        ("rsa", [], True),
        ("certificate", ["certificate"], True),
        ("certificate", ["certificate", "private_key", "private_key_passphrase", "intermediates"], True),
        ("certificate", ["private_key"], False),
        ("certificate", ["certificate", "public_key"], False),
        ("generic", ["a", "b"], True),
        ("generic", ["a", "a"], False),
    ],
)
def test_types_say_which_names_there_are(member: Client, type: str, names: list[str], fits: bool) -> None:
    refs = [ref(keep(member), name) for name in names]
    if fits:
        assert [each["name"] for each in member.get(contain(member, type, refs))["secret_refs"]] == names
    else:
        body = {"type": type, "secret_refs": refs}
        assert member.refused("POST", "/v1/containers", 400, body)["field"] == "secret_refs"


def test_what_is_no_secret_of_the_project_is_not_contained(service: Service, member: Client) -> None:
    mine, foreign = keep(member), keep(service.client())
    for refs, status in (
        ([ref(foreign)], 404),
        ([ref(f"/v1/secrets/{new_id()}")], 404),
        ([ref("/v1/containers/x")], 400),
        ([{"secret_ref": "no reference"}], 400),
        ([ref(mine), ref(mine)], 400),
        ([{"name": "x"}], 400),
    ):
        member.refused("POST", "/v1/containers", status, {"type": "generic", "secret_refs": refs})
    for body in ({}, {"type": "dsa"}, {"type": "generic", "name": "x" * 256}):
        member.refused("POST", "/v1/containers", 400, body)


def test_a_generic_container_gets_and_loses_secrets(member: Client) -> None:
    secret, path = keep(member), contain(member)
    for _ in range(2):  # the same name again, once it is free
        assert member.call("POST", f"{path}/secrets", ref(secret, "n")).status_int == 201
        member.refused("POST", f"{path}/secrets", 409, ref(secret, "n"))
        assert member.call("DELETE", f"{path}/secrets", ref(secret, "n")).status_int == 204
        member.refused("DELETE", f"{path}/secrets", 404, ref(secret, "n"))
    member.refused("POST", f"{path}/secrets", 400, {"secret_ref": "nonsense"})
    member.refused("POST", f"{contain(member, 'rsa')}/secrets", 400, ref(secret))


def test_a_deleted_secret_leaves_its_containers(member: Client) -> None:
    gone, stays = keep(member), keep(member)
    path = contain(member, refs=[ref(gone), ref(stays)])
    assert member.call("DELETE", gone).status_int == 204
    assert len(member.get(path)["secret_refs"]) == 1


def test_consumers_are_told_and_keep_nothing(member: Client) -> None:
    path = contain(member)
    for _ in range(2):
        assert member.post(f"{path}/consumers/", CONSUMER, 200)["consumers"] == [CONSUMER]
    listed = member.get(f"{path}/consumers")
    assert listed["total"] == 1 and listed["consumers"][0].items() >= CONSUMER.items()
    assert member.call("DELETE", f"{path}/consumers", CONSUMER).json["consumers"] == []
    member.refused("DELETE", f"{path}/consumers", 404, CONSUMER)
    member.post(f"{path}/consumers", CONSUMER, 200)
    assert member.call("DELETE", path).status_int == 204
    member.refused("GET", path, 404)


def test_a_container_goes_and_its_secrets_stay(member: Client) -> None:
    secret = text(member)
    path = contain(member, refs=[ref(secret)])
    assert member.call("DELETE", path).status_int == 204
    assert payload(member, secret).body == b"correct horse"


def test_containers_are_listed_and_narrowed(service: Service) -> None:
    client = service.client()
    for number in range(12):
        contain(client, "rsa" if number % 2 else "generic", name=f"container {number}")
    page = client.get("/v1/containers?type=rsa&limit=4")
    assert (page["total"], len(page["containers"]), "type=rsa" in page["next"]) == (6, 4, True)
    assert client.get("/v1/containers?name=container+1%25")["total"] == 3
    assert service.client().get("/v1/containers") == {"containers": [], "total": 0}
    counts = []
    for limit in (2, 12):
        client.get("protectables")  # its token is known
        with service.counted_statements() as sent:
            client.get(f"/v1/containers?limit={limit}")
        counts.append(len(sent))
    assert counts[0] == counts[1]


def test_others_see_that_it_is_there_and_no_more(service: Service, member: Client) -> None:
    secret, stranger = keep(member), service.client()
    path = contain(member, refs=[ref(secret)])
    for verb, place, body in (
        ("GET", path, None),
        ("DELETE", path, None),
        ("GET", f"{path}/consumers", None),
        ("POST", f"{path}/consumers", CONSUMER),
        ("POST", f"{path}/secrets", ref(secret)),
        ("GET", f"{path}/acl", None),
        ("PUT", f"{path}/acl", {}),
    ):
        stranger.refused(verb, place, 403, body)
    user = stranger.get(keep(stranger))["creator_id"]
    member.call("PUT", f"{path}/acl", {"read": {"users": [user], "project-access": False}})
    assert stranger.get(path)["secret_refs"]
    stranger.refused("DELETE", path, 403)
    assert member.call("DELETE", f"{path}/acl").body == b"null"
    stranger.refused("GET", path, 403)


def test_a_secret_that_is_being_deleted_comes_into_no_container(any_database: Database) -> None:
    secrets = Secrets({"crypto": CryptoStore(bytes(32))}, "crypto")
    with any_database.write() as uow:
        secret_id = secrets.add(uow, "p", b"plain").id

    def contain_it() -> None:
        with any_database.write() as uow:
            quotas = Quotas(uow, QuotaOptions())
            containers.create(uow, quotas, "p", "u", {"type": "generic"}, [("", secret_id)], utc_now())

    with ThreadPoolExecutor(1) as pool:
        with any_database.write() as uow:
            secrets.delete(uow, secret_id, "p")
            contained = pool.submit(contain_it)
            with pytest.raises(TimeoutError):
                contained.result(timeout=0.5)
        with pytest.raises(SecretNotFound):
            contained.result()
