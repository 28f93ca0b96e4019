"""How many statements each route of the key manager sends: one for a secret and who may see it, at most 3 to
read one thing, 4 for a list, whatever the number of rows. Writes send as many for twenty rows as for two.
"""

from __future__ import annotations

from typing import Any

import pytest

from protectd.api.routes import KEY_MANAGER, routes
from protectd.common.ids import new_id
from tests.fakes.route_counts import CONFIGURED as CONFIGURED
from tests.fakes.route_counts import Ask, Counted, check, count
from tests.fakes.service import Service
from tests.functional.test_key_manager_containers import contain, ref
from tests.functional.test_key_manager_secrets import TEXT, keep, text, upload
from tests.functional.test_query_counts import FEW, MANY

NOUNS = ("/v1/secrets", "/v1/containers", "/v1/orders")
ELSEWHERE = ("/v1/secret-stores", "/v1/transport_keys/", "/v1/key-manager.json")
"""404 where there is one store, and asked for nothing in the database."""

ROUTES = [(verb, path) for verb, path in routes(KEY_MANAGER) if not path.startswith(ELSEWHERE)]
V12 = {"OpenStack-API-Version": "key-manager 1.2"}

ONE, LIST, WRITE = 3, 4, 12
LISTS = (
    *NOUNS,
    "/v1/project-quotas",
    "/v1/transport_keys",
    "/v1/secrets/{secret_id}/consumers",
    "/v1/containers/{container_id}/consumers",
)


SECRET = "/v1/secrets/{secret_id}"
MOST = {
    ("POST", "/v1/secrets"): 2,
    ("POST", "/v1/orders"): 4,
    ("GET", SECRET): 2,
    ("GET", f"{SECRET}/payload"): 1,
    ("GET", f"{SECRET}/metadata"): 2,
    ("GET", f"{SECRET}/metadata/{{key}}"): 2,
}
"""The first with the consumers, which the version that is asked for tells."""


def most(verb: str, path: str) -> int:
    if (verb, path) in MOST:
        return MOST[verb, path]
    return WRITE if verb != "GET" else LIST if path in LISTS else ONE


class World:
    """A project with `size` things of each kind, and on each of them `size` of what may hang there."""

    def __init__(self, service: Service, size: int) -> None:
        self.service, self.size = service, size
        self.client = client = service.client(role="admin")
        self.secrets = [text(client, name=f"s{number}") for number in range(size)]
        self.spare, self.bare, self.loose = text(client), keep(client), text(client)
        self.containers = [contain(client, refs=[ref(each) for each in self.secrets]) for _ in range(size)]
        self.spare_container = contain(client, refs=[ref(each) for each in self.secrets])
        meta = {"algorithm": "aes", "bit_length": 256}
        self.orders = [self._order(meta | {"name": f"o{number}"}) for number in range(size)]
        self.limited = [new_id() for _ in range(size)]
        for project_id in self.limited:
            limits = {"project_quotas": {"secrets": 7}}
            assert client.call("PUT", f"/v1/project-quotas/{project_id}", limits).status_int == 204
        for path in (self.secrets[0], self.spare):
            self._hang_on_secret(path)
        for path in (self.containers[0], self.spare_container):
            self._hang_on_container(path)

    def _order(self, meta: dict[str, Any]) -> str:
        made = self.client.post("/v1/orders", {"type": "key", "meta": meta}, 202)
        return "/v1" + str(made["order_ref"]).rpartition("/v1")[2]

    def _hang_on_secret(self, path: str) -> None:
        for number in range(self.size):
            self.client.post(f"{path}/consumers", consumer(number), 200)
            self.client.post(f"{path}/metadata", {"key": f"k{number}", "value": "v"}, 201)
        self._readers(path)

    def _hang_on_container(self, path: str) -> None:
        for number in range(self.size):
            self.client.post(f"{path}/consumers", {"name": f"n{number}", "URL": "http://x"}, 200)
        self._readers(path)

    def _readers(self, path: str) -> None:
        users = [f"user {number}" for number in range(self.size)]
        assert self.client.call("PUT", f"{path}/acl", {"read": {"users": users}}).status_int == 200


def consumer(number: int) -> dict[str, str]:
    return {"service": "image", "resource_type": "image", "resource_id": f"r{number}"}


def asks(world: World) -> dict[tuple[str, str], Ask]:
    """Each route asked for something that is there, in an order in which it still is."""
    client = world.client
    secret, container = world.secrets[0], world.containers[0]

    def users(word: str) -> list[str]:
        return [f"{word}{number}" for number in range(world.size)]

    url = {"name": "new", "URL": "http://x"}
    bodies: dict[tuple[str, str], Any] = {
        ("POST", "/v1/secrets"): {"payload": "x", "payload_content_type": TEXT},
        ("POST", "/v1/secrets/{secret_id}/consumers"): consumer(99),
        ("DELETE", "/v1/secrets/{secret_id}/consumers"): consumer(0),
        ("PUT", "/v1/secrets/{secret_id}/metadata"): {
            "metadata": {f"k{number}": "w" for number in range(world.size)}
        },
        ("POST", "/v1/secrets/{secret_id}/metadata"): {"key": "new", "value": "v"},
        ("PUT", "/v1/secrets/{secret_id}/metadata/{key}"): {"key": "k0", "value": "w"},
        ("PUT", "/v1/secrets/{secret_id}/acl"): {"read": {"users": users("a")}},
        ("PATCH", "/v1/secrets/{secret_id}/acl"): {"read": {"users": users("b")}},
        ("POST", "/v1/containers"): {"type": "generic", "secret_refs": [ref(each) for each in world.secrets]},
        ("POST", "/v1/containers/{container_id}/secrets"): ref(world.loose),
        ("DELETE", "/v1/containers/{container_id}/secrets"): ref(secret),
        ("POST", "/v1/containers/{container_id}/consumers"): url,
        ("DELETE", "/v1/containers/{container_id}/consumers"): url,
        ("PUT", "/v1/containers/{container_id}/acl"): {"read": {"users": users("a")}},
        ("PATCH", "/v1/containers/{container_id}/acl"): {"read": {"users": users("b")}},
        ("PUT", "/v1/project-quotas/{quota_project_id}"): {"project_quotas": {"secrets": 8, "orders": 9}},
        ("POST", "/v1/orders"): {"type": "key", "meta": {"algorithm": "aes", "bit_length": 128}},
    }
    spared = {
        ("DELETE", "/v1/secrets/{secret_id}"): world.spare,
        ("DELETE", "/v1/containers/{container_id}"): world.spare_container,
    }

    def path_of(verb: str, path: str) -> str:
        here = spared.get((verb, path)) or (secret if "{secret_id}" in path else container)
        here = world.orders[0] if "{order_id}" in path else here
        for noun, name in (("secrets", "secret"), ("containers", "container"), ("orders", "order")):
            path = path.replace(f"/v1/{noun}/{{{name}_id}}", here)
        return path.replace("{key}", "k0").replace("{quota_project_id}", world.limited[0])

    def ask(verb: str, path: str) -> Ask:
        if (verb, path) == ("PUT", "/v1/secrets/{secret_id}"):
            return lambda: upload(client, world.bare, b"x", Content_Type=TEXT)
        query = "?limit=100" if path in LISTS else "?force=true" if verb == "DELETE" else ""
        headers = V12 | ({"Accept": TEXT} if path.endswith("/payload") else {})
        return lambda: client.call(verb, path_of(verb, path) + query, bodies.get((verb, path)), **headers)

    order = sorted(ROUTES, key=lambda route: ("GET", "PUT", "PATCH", "POST", "DELETE").index(route[0]))
    return {route: ask(*route) for route in order}


def counts(service: Service, size: int) -> Counted:
    world = World(service, size)
    return count(service, world.client, asks(world))


@pytest.fixture(scope="module")
def counted(service: Service) -> dict[int, Counted]:
    """Status and statements of each route, in a small world and in a large one."""
    return {size: counts(service, size) for size in (FEW, MANY)}


@pytest.mark.parametrize(("verb", "path"), ROUTES)
def test_a_route_sends_few_statements_and_no_more_for_many_rows(
    counted: dict[int, Counted], verb: str, path: str
) -> None:
    check(counted[FEW], counted[MANY], (verb, path), most(verb, path))
