"""openstacksdk's key_manager, unmodified: secrets, containers, orders and quotas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openstack.connection
import pytest
from keystoneauth1 import session, token_endpoint
from openstack import exceptions

from protectd.common.ids import new_id
from tests.fakes.published_client import serving
from tests.fakes.service import Client, Service


@pytest.fixture(scope="module")
def key_manager(direct: Service) -> Iterator[Any]:
    with published(direct, direct.client()) as made:
        yield made


@contextmanager
def published(direct: Service, client: Client) -> Iterator[Any]:
    with serving(direct) as url:
        yield connection(url, client.token)


def connection(url: str, token: str) -> Any:
    made = session.Session(auth=token_endpoint.Token(url, token))
    return openstack.connection.Connection(session=made, key_manager_endpoint_override=url).key_manager


def test_a_secret_is_kept_found_and_deleted(key_manager: Any) -> None:
    made = key_manager.create_secret(name="n", payload="text", payload_content_type="text/plain")
    found = key_manager.get_secret(made.secret_id)
    assert (found.name, found.payload, found.status) == ("n", "text", "ACTIVE")
    assert key_manager.find_secret(made.secret_id).name == "n"
    key_manager.delete_secret(made.secret_id)
    with pytest.raises(exceptions.NotFoundException):
        key_manager.delete_secret(made.secret_id, ignore_missing=False)


def test_pages_are_followed(key_manager: Any) -> None:
    for number in range(25):
        key_manager.create_secret(name=f"page {number}", algorithm="paged")
    names = [each.name for each in key_manager.secrets(alg="paged")]
    assert names == [f"page {number}" for number in range(25)]


def test_a_container_holds_secrets(key_manager: Any) -> None:
    secret = key_manager.create_secret(name="inside")
    made = key_manager.create_container(
        name="c", type="generic", secret_refs=[{"name": "s", "secret_ref": secret.secret_ref}]
    )
    found = key_manager.get_container(made.container_id)
    assert [each["secret_ref"] for each in found.secret_refs] == [secret.secret_ref]
    assert "c" in [each.name for each in key_manager.containers()]
    key_manager.delete_container(made.container_id)


def test_a_key_is_ordered(key_manager: Any) -> None:
    meta = {"algorithm": "aes", "bit_length": 256, "mode": "cbc", "name": "k"}
    made = key_manager.create_order(type="key", meta=meta)
    found = key_manager.get_order(made.order_id)
    assert found.status == "ACTIVE"
    assert key_manager.get_secret(found.secret_id).bit_length == 256
    key_manager.delete_order(made.order_id)


def test_quotas_are_shown_and_set(direct: Service, key_manager: Any) -> None:
    assert key_manager.get_quota().secrets == -1
    with published(direct, direct.client(role="admin")) as admin:
        project = new_id()
        with pytest.raises(exceptions.NotFoundException):
            admin.get_project_quota(project)
        admin.update_project_quota(project, secrets=7, consumers=0)
        found = admin.get_project_quota(project)
        assert (found.secrets, found.orders, found.consumers) == (7, None, 0)
        admin.delete_project_quota(project, ignore_missing=False)
        with pytest.raises(exceptions.NotFoundException):
            admin.delete_project_quota(project, ignore_missing=False)
        with pytest.raises(exceptions.ForbiddenException):
            key_manager.update_project_quota(project, secrets=7)


def test_a_quota_that_has_been_reached_is_told(direct: Service) -> None:
    client = direct.client()
    with published(direct, client) as limited, published(direct, direct.client(role="admin")) as admin:
        admin.update_project_quota(client.project_id, secrets=1)
        assert limited.get_quota().secrets == 1
        limited.create_secret(name="first")
        with pytest.raises(exceptions.ForbiddenException, match="quota has been reached"):
            limited.create_secret(name="second")
