"""Signing in by a real Keystone: who is let in, as whom, and what everyone else is told."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import webtest
from cryptography.fernet import Fernet

from protectd.common.errors import ConfigurationError
from tests.fakes.keystone_server import DOMAIN, PASSWORD, Keystone, Person
from tests.fakes.programs import free_ports
from tests.fakes.service import PASTE_FILE, Client, Service, fault_of, running

FORGED = {
    "X-Identity-Status": "Confirmed",
    "X-Service-Identity-Status": "Confirmed",
    "X-User-Id": "forged",
    "X-User": "forged",
    "X-Roles": "admin",
    "X-Role": "admin",
    "X-Project-Id": "forged",
    "X-Tenant-Id": "forged",
    "X-Domain-Id": "forged",
    "X-Service-Roles": "service,admin",
    "X-Service-User-Id": "forged",
    "X-Service-Project-Id": "forged",
    "X-Service-Catalog": "[]",
    "X-Is-Admin-Project": "True",
    "OpenStack-System-Scope": "all",
}

NO_MEMORY = "[api]\ntoken_memory_s = 0\n"

PROBE = """
[filter:probe]
paste.filter_factory = tests.functional.test_keystone:probe_factory
"""

SEEN: list[dict[str, Any]] = []


def probe_factory(global_conf: dict[str, str]) -> Callable[[Any], Any]:
    """Notes what a filter behind authentication is told."""

    def make(app: Any) -> Any:
        def call(environ: dict[str, Any], start_response: Any) -> Any:
            SEEN.append(
                {key: value for key, value in environ.items() if key.startswith(("HTTP_X_", "HTTP_O"))}
            )
            return app(environ, start_response)

        return call

    return make


@dataclass
class Site:
    """The service, and the Keystone that it asks."""

    keystone: Keystone
    service: Service
    project_id: str = field(default="")

    def __post_init__(self) -> None:
        self.project_id = self.keystone.project()

    def client(self, *roles: str, project_id: str = "") -> Client:
        """Someone new with these roles in the project."""
        project_id = project_id or self.project_id
        person = self.keystone.person(project_id, *roles)
        return self.with_token(self.keystone.token(person, project_id=project_id), project_id)

    def with_token(self, token: str, project_id: str = "") -> Client:
        return Client(self.service.app, token, project_id or self.project_id)

    def status(self, token: str, path: str = "plans", **headers: str) -> int:
        return int(self.with_token(token).call("GET", path, **headers).status_int)


@pytest.fixture(scope="module")
def own_user(keystone: Keystone) -> Person:
    """The service's own user: it may look at everything, and change nothing."""
    person = keystone.person()
    keystone.grant_on_system(person, "reader")
    return person


@pytest.fixture(scope="module")
def service(
    keystone: Keystone, own_user: Person, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """It asks Keystone at each request."""
    place, configured = tmp_path_factory.mktemp("keystone-service"), NO_MEMORY + keystone.options(own_user)
    paste = PASTE_FILE.read_text().replace("auth ratelimit main", "auth probe ratelimit main") + PROBE
    with running(place, auth="keystone", paste=paste, more=configured) as made:
        yield made


@pytest.fixture
def site(keystone: Keystone, service: Service) -> Site:
    return Site(keystone, service)


@pytest.fixture(scope="module")
def short_lived(keystone: Keystone) -> Iterator[str]:
    """URL of the same Keystone, which gives tokens that are over at once."""
    (port,) = free_ports(1)
    with keystone.serving_too(port, expiration_s=0):
        yield f"http://127.0.0.1:{port}/v3"


# --- who is let in ---


def test_a_member_is_let_in_by_either_header(site: Site) -> None:
    client = site.client("member")
    url = f"/v1/{site.project_id}/plans"
    for headers in ({"X-Auth-Token": client.token}, {"Authorization": f"Bearer {client.token}"}):
        assert site.service.app.get(url, headers=headers, status=200).json == {"plans": []}


def test_what_is_made_is_the_project_s(site: Site) -> None:
    plan = site.client("member").plan(site.service.allowed)
    assert plan["project_id"] == site.project_id
    assert site.client("member").get("plans")["plans"][0]["id"] == plan["id"]
    site.client("member", project_id=site.keystone.project()).refused("GET", f"plans/{plan['id']}", 404)


def test_another_project_is_not_there_for_its_strangers(site: Site) -> None:
    client = site.client("member")
    other = site.keystone.project()
    assert client.refused("GET", f"/v1/{other}/plans", 404)["error"] == "path.not_found"


@pytest.mark.parametrize(
    ("roles", "secrets", "make_secret", "services"),
    [(["member"], 200, 201, 403), (["reader"], 403, 403, 403), (["admin"], 200, 201, 200)],
)
def test_roles_are_those_of_the_token(
    site: Site, roles: list[str], secrets: int, make_secret: int, services: int
) -> None:
    client = site.client(*roles)
    assert client.call("GET", "os-services").status_int == services
    assert client.call("GET", "/v1/secrets").status_int == secrets
    assert client.call("POST", "/v1/secrets", {"name": "n"}).status_int == make_secret


def test_a_role_that_was_made_for_one_is_known_to_policies(
    tmp_path: Path, keystone: Keystone, own_user: Person
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text('"plan:get_all": "role:Planner"\n')
    with running(tmp_path, auth="keystone", policy=policy, more=keystone.options(own_user)) as service:
        site = Site(keystone, service)
        assert site.client("member").call("GET", "plans").status_int == 403
        assert site.client("Planner").call("GET", "plans").status_int == 200


# --- who is not ---


def test_every_stranger_is_told_the_same(site: Site, short_lived: str) -> None:
    keystone, person = site.keystone, site.keystone.person(site.project_id, "member")
    expired = keystone.token(person, short_lived, project_id=site.project_id)
    revoked = keystone.token(person, project_id=site.project_id)
    assert site.status(revoked) == 200
    keystone.revoke(revoked)
    foreign = Fernet(Fernet.generate_key()).encrypt(b"of another Keystone").decode().rstrip("=")
    good = keystone.token(person, project_id=site.project_id)
    told = set()
    strange = (None, "", "x", expired, revoked, foreign, good[:-4], good + "x", "é", "a\tb", "x" * 10_000)
    for token in strange:
        headers = {} if token is None else {"X-Auth-Token": token}
        answer = site.service.app.get(f"/v1/{site.project_id}/plans", headers=headers, expect_errors=True)
        fault = fault_of(answer)
        assert answer.status_int == 401, token
        told.add((fault["name"], fault["message"], fault["error"], answer.headers["WWW-Authenticate"]))
    assert told == {
        ("unauthorized", "a valid token is needed", "unauthorized", f'Keystone uri="{keystone.url}"')
    }


def test_who_is_disabled_is_a_stranger(site: Site) -> None:
    person = site.keystone.person(site.project_id, "member")
    token = site.keystone.token(person, project_id=site.project_id)
    assert site.status(token) == 200
    site.keystone.ask("PATCH", f"/users/{person.id}", user={"enabled": False})
    assert site.status(token) == 401


def test_who_has_lost_the_last_role_is_a_stranger(site: Site) -> None:
    person = site.keystone.person(site.project_id, "member")
    token = site.keystone.token(person, project_id=site.project_id)
    site.keystone.take(person, "member", site.project_id)
    assert site.status(token) == 401


@pytest.mark.parametrize("scope", [{}, {"domain_id": DOMAIN}, {"system_scope": "all"}])
def test_a_token_that_is_for_no_project_is_for_nothing_here(site: Site, scope: dict[str, str]) -> None:
    person = site.keystone.person(site.project_id, "admin")
    site.keystone.grant_on_domain(person, "admin")
    site.keystone.grant_on_system(person, "admin")
    client = site.with_token(site.keystone.token(person, **scope))
    for path in ("plans", "os-services", "/v1/secrets"):
        assert client.refused("GET", path, 403)["error"] == "token.not_scoped"


def test_versions_need_no_token_and_no_keystone(site: Site) -> None:
    assert site.service.app.get("/v1").json["version"]["id"]
    site.service.app.get("/", headers={"X-Auth-Token": "x"}, status=300)


# --- headers of a client's own ---


def test_nobody_says_themselves_who_they_are(site: Site) -> None:
    url = f"/v1/{site.project_id}/plans"
    site.service.app.get(url, headers={**FORGED, "X-Project-Id": site.project_id}, status=401)
    member = site.client("member")
    assert member.call("GET", "os-services", **FORGED).status_int == 403
    assert member.call("GET", "/v1/forged/plans", **FORGED).status_int == 404
    assert member.call("GET", "plans?all_tenants=1", **FORGED).json == {"plans": []}


def test_filters_behind_are_told_what_keystone_said_and_nothing_else(site: Site) -> None:
    member = site.client("member")
    SEEN.clear()
    member.call("GET", "plans", **FORGED)
    site.service.app.get("/v1", headers=FORGED)
    asked, public = SEEN
    assert asked["HTTP_X_PROJECT_ID"] == site.project_id
    assert asked["HTTP_X_IDENTITY_STATUS"] == "Confirmed"
    assert set(asked["HTTP_X_ROLES"].split(",")) == {"member", "reader"}
    assert not [
        name for name in asked if name.startswith("HTTP_X_SERVICE_") and name != "HTTP_X_SERVICE_CATALOG"
    ]
    assert "forged" not in str(asked) and asked["HTTP_X_SERVICE_CATALOG"] != "[]"
    assert public == {}


# --- services that act for others ---


@pytest.fixture(scope="module")
def service_token(keystone: Keystone) -> str:
    project_id = keystone.project()
    return keystone.token(keystone.person(project_id, "service"), project_id=project_id)


def test_a_service_may_go_on_with_an_expired_token(site: Site, short_lived: str, service_token: str) -> None:
    person = site.keystone.person(site.project_id, "member")
    expired = site.keystone.token(person, short_lived, project_id=site.project_id)
    member_s = site.client("member").token
    assert site.status(expired, **{"X-Service-Token": service_token}) == 200
    assert site.status(expired) == 401
    for no_service in (member_s, expired, "x", "é", "x" * 10_000):
        assert site.status(expired, **{"X-Service-Token": no_service}) == 401
    assert site.status(service_token, "/v1/secrets", **{"X-Service-Token": service_token}) == 403
    assert site.with_token("").call("GET", "plans", **{"X-Service-Token": service_token}).status_int == 401


def test_who_pretends_to_be_a_service_is_a_stranger_with_a_good_token_too(site: Site) -> None:
    member = site.client("member")
    assert site.status(member.token, **{"X-Service-Token": member.token}) == 401


def test_a_service_brings_no_roles_of_its_own(site: Site, keystone: Keystone) -> None:
    project_id = keystone.project()
    person = keystone.person(project_id, "service", "admin")
    service_token = keystone.token(person, project_id=project_id)
    member = site.client("member")
    assert site.status(member.token, "os-services", **{"X-Service-Token": service_token}) == 403


# --- application credentials ---


def test_an_application_credential_has_the_roles_that_it_was_given(site: Site) -> None:
    person = site.keystone.person(site.project_id, "member", "admin")
    limited = site.keystone.credential_token(person, site.project_id, roles=[{"name": "member"}])
    assert site.status(limited) == 200
    assert site.status(limited, "os-services") == 403


@pytest.mark.parametrize(
    ("named", "path", "works"),
    [
        ("data-protect", "/v1/*/plans", ["plans"]),
        ("key-manager", "/v1/secrets", ["/v1/secrets"]),
        ("key-manager", "/v1/*/plans", []),
        ("data-protect", "/v1/secrets", []),
    ],
)
def test_rules_of_access_hold_for_each_of_the_two_services(
    site: Site, catalog: None, named: str, path: str, works: list[str]
) -> None:
    person = site.keystone.person(site.project_id, "member")
    rules = [{"service": named, "method": "GET", "path": path}]
    token = site.keystone.credential_token(person, site.project_id, access_rules=rules)
    client = site.with_token(token)
    asked = ["plans", "triggers", "/v1/secrets"]
    assert [path for path in asked if client.call("GET", path).status_int == 200] == works
    assert client.call("POST", "/v1/secrets", {"name": "n"}).status_int == 401


@pytest.fixture(scope="module")
def catalog(keystone: Keystone) -> Iterator[None]:
    nowhere, region = "http://127.0.0.1:1", keystone.region()
    with (
        keystone.offering("data-protect", nowhere, region),
        keystone.offering("key-manager", nowhere, region),
    ):
        yield


# --- Keystone is away ---


def test_a_keystone_that_is_away_is_no_bad_token(
    keystone: Keystone, own_user: Person, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/v3"
    region = keystone.region()
    keystone.endpoint(keystone.identity_id(), url, region)
    options = keystone.options(own_user, auth_url=url, region_name=region)
    with running(tmp_path, auth="keystone", more=NO_MEMORY + options) as service:
        site = Site(keystone, service)
        client = site.client("member")
        for _ in range(2):
            fault = client.refused("GET", "plans", 503)
            assert (fault["name"], fault["error"]) == ("serviceUnavailable", "unavailable")
            assert "127.0.0.1" not in fault["message"]
            with keystone.serving_too(port):
                assert client.get("plans") == {"plans": []}
                client.refused("GET", f"/v1/{keystone.project()}/plans", 404)
                site.with_token("x").refused("GET", "plans", 401)


def test_a_keystone_that_does_not_answer_is_waited_for_no_longer_than_configured(
    keystone: Keystone, own_user: Person, tmp_path: Path
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v3"
        options = keystone.options(
            own_user, auth_url=url, http_connect_timeout="1", http_request_max_retries="0"
        )
        with running(tmp_path, auth="keystone", more=options) as service:
            Client(service.app, "x", "p").refused("GET", "plans", 503)


def test_a_service_that_keystone_does_not_let_in_is_no_bad_token(
    keystone: Keystone, own_user: Person, tmp_path: Path
) -> None:
    options = keystone.options(own_user, password="wrong")
    with running(tmp_path, auth="keystone", more=options) as service:
        site = Site(keystone, service)
        site.client("member").refused("GET", "plans", 503)


# --- memory ---


def test_a_token_that_was_good_is_believed_for_as_long_as_configured(
    keystone: Keystone, own_user: Person, tmp_path: Path
) -> None:
    configured = "[api]\ntoken_memory_s = 300\n" + keystone.options(own_user)
    with running(tmp_path, auth="keystone", more=configured) as service:
        site = Site(keystone, service)
        client = site.client("member")
        client.get("plans")
        keystone.revoke(client.token)
        client.get("plans")
        assert client.token not in str(service.parts.auth.__dict__)


def test_an_expired_token_is_not_believed_because_a_service_stood_by_it(
    keystone: Keystone, own_user: Person, short_lived: str, service_token: str, tmp_path: Path
) -> None:
    configured = "[api]\ntoken_memory_s = 300\n" + keystone.options(own_user)
    with running(tmp_path, auth="keystone", more=configured) as service:
        site = Site(keystone, service)
        person = keystone.person(site.project_id, "member")
        expired = keystone.token(person, short_lived, project_id=site.project_id)
        for _ in range(2):
            assert site.status(expired, **{"X-Service-Token": service_token}) == 200
            assert site.status(expired) == 401


# --- secrets ---


def test_no_token_and_no_password_gets_into_the_log(
    site: Site, caplog: pytest.LogCaptureFixture, short_lived: str, service_token: str
) -> None:
    caplog.set_level(logging.DEBUG)
    person = site.keystone.person(site.project_id, "member")
    own = [site.keystone.token(person, project_id=site.project_id) for _ in range(2)]
    expired = site.keystone.token(person, short_lived, project_id=site.project_id)
    caplog.clear()
    site.keystone.revoke(own[1])
    texts = [*own, expired, own[0][:-4] + "zzzz"]
    for text in texts:
        site.status(text)
        site.status(text, **{"X-Service-Token": service_token})
    said = caplog.text + "".join(str(record.args) for record in caplog.records)
    assert "protectd.api" in said and "keystonemiddleware" in said
    assert [text for text in (*texts, service_token, PASSWORD) if text in said] == []


# --- the start ---


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"auth_type": ""}, "auth_type is not set"),
        ({"auth_type": "guess"}, "guess"),
        ({"auth_url": ""}, "auth_url"),
    ],
)
def test_what_is_not_configured_is_told_at_the_start(
    keystone: Keystone, own_user: Person, tmp_path: Path, changed: dict[str, str], told: str
) -> None:
    options = keystone.options(own_user, **changed)
    with pytest.raises(ConfigurationError) as caught, running(tmp_path, auth="keystone", more=options):
        pass
    assert told in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_the_middleware_cannot_be_told_to_let_strangers_through(
    keystone: Keystone, own_user: Person, tmp_path: Path
) -> None:
    options = keystone.options(own_user, delay_auth_decision="true", include_service_catalog="false")
    with running(tmp_path, auth="keystone", more=options) as service:
        webtest.TestApp(service.app.app).get("/v1/p/plans", headers={"X-Auth-Token": "x"}, status=401)
