"""The published clients, unmodified, as their users have them: a password, and a Keystone whose catalog tells
the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openstack.connection
import pytest
from barbicanclient import client as barbican
from barbicanclient import exceptions
from castellan.common import exception as castellan_errors
from castellan.common.credentials import keystone_password
from castellan.common.objects import passphrase
from castellan.key_manager import barbican_key_manager
from karborclient import client as karbor
from karborclient.common.apiclient import exceptions as karbor_exceptions
from keystoneauth1 import session, token_endpoint
from oslo_config import cfg

from tests.fakes.keystone_server import DOMAIN, PASSWORD, Keystone, Person
from tests.fakes.published_client import Refused, run_program, serving
from tests.fakes.service import MEMORY_ID, Service, running


@dataclass(frozen=True)
class User:
    """A member of a project, and what they know: no token, no endpoint."""

    keystone: Keystone
    person: Person
    project_id: str
    region: str
    service: Service

    def session(self) -> session.Session:
        return session.Session(auth=self.person.sign_in(self.keystone.url, project_id=self.project_id))

    def openstack(self, *arguments: str) -> Any:
        """What the command says, as JSON."""
        said = run_program(
            "openstack",
            *("--os-auth-url", self.keystone.url, "--os-username", self.person.name),
            *("--os-password", PASSWORD, "--os-user-domain-id", DOMAIN, "--os-region-name", self.region),
            *("--os-project-id", self.project_id, "--os-identity-api-version", "3"),
            *arguments,
        )
        return json.loads(said) if said.strip() else None


@pytest.fixture(scope="module")
def user(keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    own_user = keystone.person()
    keystone.grant_on_system(own_user, "reader")
    place, configured = tmp_path_factory.mktemp("clients"), keystone.options(own_user)
    with running(place, mode="direct", auth="keystone", more=configured) as made, serving(made) as url:
        region, project_id = keystone.region(), keystone.project()
        keystone.endpoint(keystone.identity_id(), keystone.url, region)
        member = keystone.person(project_id, "member")
        with (
            keystone.offering("data-protect", f"{url}/v1/$(project_id)s", region),
            keystone.offering("key-manager", url, region),
        ):
            yield User(keystone, member, project_id, region, made)


def test_karborclient_finds_the_service_and_protects(user: User) -> None:
    client = karbor.Client("1", session=user.session(), service_type="data-protect", region_name=user.region)
    resource = {"type": "directory", "id": MEMORY_ID, "name": "data"}
    resource["extra_info"] = {"path": str(user.service.directory("karbor"))}  # type: ignore[assignment]
    plan = client.plans.create("nightly", MEMORY_ID, [resource], {})
    assert plan.project_id == user.project_id
    checkpoint = client.checkpoints.create(MEMORY_ID, plan.id)
    assert client.checkpoints.get(MEMORY_ID, checkpoint.id).status == "available"
    with pytest.raises(karbor_exceptions.NotFound):
        client.plans.get(MEMORY_ID)


def test_barbicanclient_finds_the_service_and_keeps_a_secret(user: User) -> None:
    client = barbican.Client(session=user.session(), region_name=user.region)
    ref = client.secrets.create(name="n", payload="text").store()
    assert client.secrets.get(ref).payload == "text"


def test_barbicanclient_tells_a_revoked_token_from_a_fault(user: User) -> None:
    token = user.keystone.token(user.person, project_id=user.project_id)
    user.keystone.revoke(token)
    endpoint = user.session().get_endpoint(service_type="key-manager", region_name=user.region)
    auth = token_endpoint.Token(endpoint, token)
    stranger = barbican.Client(session=session.Session(auth=auth), endpoint=endpoint)
    with pytest.raises(exceptions.HTTPAuthError):
        stranger.secrets.list()


def test_castellan_signs_in_and_keeps_a_passphrase(user: User) -> None:
    conf = cfg.ConfigOpts()
    conf([])
    manager = barbican_key_manager.BarbicanKeyManager(conf)
    conf.set_override("barbican_region_name", user.region, group="barbican")
    context = keystone_password.KeystonePassword(
        PASSWORD, auth_url=user.keystone.url, user_id=user.person.id, project_id=user.project_id
    )
    id = manager.store(context, passphrase.Passphrase("correct horse", name="p"))
    assert manager.get(context, id).get_encoded() == "correct horse"
    manager.delete(context, id)


SERVICE_USER = """
[barbican]
send_service_user_token = true
barbican_region_name = {region}
[barbican_service_user]
auth_type = v3password
auth_url = {url}
user_id = {id}
password = {password}
project_id = {project_id}
"""


@pytest.mark.parametrize(("role", "let_in"), [("service", True), ("member", False)])
def test_castellan_in_a_service_sends_that_service_s_token_along(
    user: User, tmp_path: Path, role: str, let_in: bool
) -> None:
    project_id = user.keystone.project()
    service = user.keystone.person(project_id, role)
    file, said = tmp_path / "nova.conf", {"url": user.keystone.url, "password": PASSWORD}
    file.write_text(SERVICE_USER.format(region=user.region, id=service.id, project_id=project_id, **said))
    conf = cfg.ConfigOpts()
    conf([f"--config-file={file}"])
    manager = barbican_key_manager.BarbicanKeyManager(conf)
    context = keystone_password.KeystonePassword(
        PASSWORD, auth_url=user.keystone.url, user_id=user.person.id, project_id=user.project_id
    )
    if let_in:
        assert manager.store(context, passphrase.Passphrase("of the user", name="p"))
    else:
        with pytest.raises(castellan_errors.KeyManagerError, match="(?i)valid token"):
            manager.store(context, passphrase.Passphrase("of the user", name="p"))


def test_openstacksdk_finds_the_key_manager(user: User) -> None:
    connection = openstack.connection.Connection(session=user.session(), region_name=user.region)
    made = connection.key_manager.create_secret(name="n", payload="x", payload_content_type="text/plain")
    assert connection.key_manager.get_secret(made.secret_id).payload == "x"


def test_the_openstack_command_reaches_both(user: User) -> None:
    stored = user.openstack("secret", "store", "--name", "by-hand", "--payload", "x", "-f", "json")
    assert stored["Status"] == "ACTIVE" or stored["Secret href"]
    providers = user.openstack("data", "protection", "provider", "list", "-f", "json")
    assert {each["Name"] for each in providers} == {"files", "memory"}
    with pytest.raises(Refused, match="(?i)forbidden|not allowed"):
        user.openstack("data", "protection", "service", "list", "-f", "json")
