"""python-barbicanclient and castellan, unmodified: secrets, containers, consumers and readers."""

from __future__ import annotations

import os
from typing import Any

import pytest
from barbicanclient import client as published
from barbicanclient import exceptions
from castellan.common import exception as castellan_errors
from castellan.common.credentials import token as castellan_token
from castellan.common.objects import opaque_data, passphrase, symmetric_key
from castellan.key_manager import barbican_key_manager
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key
from keystoneauth1 import session, token_endpoint
from oslo_config import cfg

from tests.fakes.service import Client, Service


def library(endpoint: str, client: Client) -> Any:
    auth = token_endpoint.Token(endpoint, client.token)
    return published.Client(session=session.Session(auth=auth), endpoint=endpoint)


@pytest.fixture
def barbican(direct: Service, endpoint: str) -> Any:
    return library(endpoint, direct.client())


@pytest.mark.parametrize("content", ["text é\n", os.urandom(100)], ids=["text", "bytes"])
def test_a_secret_is_stored_and_read(barbican: Any, content: str | bytes) -> None:
    secret = barbican.secrets.create(name="n", payload=content, algorithm="aes", bit_length=256, mode="cbc")
    ref = secret.store()
    found = barbican.secrets.get(ref)
    assert (found.name, found.algorithm, found.bit_length, found.mode) == ("n", "aes", 256, "cbc")
    assert found.payload == content
    assert found.status == "ACTIVE" and found.created is not None and found.expiration is None
    found.delete()
    with pytest.raises(exceptions.HTTPClientError):
        barbican.secrets.get(ref).status  # noqa: B018 - it is read when it is asked for


def test_a_payload_comes_later(barbican: Any) -> None:
    secret = barbican.secrets.create(name="later")
    secret.store()
    secret.payload = "now"
    secret.update()
    assert barbican.secrets.get(secret.secret_ref).payload == "now"


def test_secrets_are_listed(barbican: Any) -> None:
    for number in range(12):
        barbican.secrets.create(name=f"secret {number}", payload="x").store()
    assert len(barbican.secrets.list()) == 10
    assert len(barbican.secrets.list(limit=5, offset=10)) == 2
    assert [each.name for each in barbican.secrets.list(name="secret 3")] == ["secret 3"]
    assert barbican.secrets.total() == 12


def test_consumers_are_registered_and_guard_a_secret(barbican: Any) -> None:
    ref = barbican.secrets.create(payload="x").store()
    consumer = {"service": "image", "resource_type": "image", "resource_id": "one"}
    shown = barbican.secrets.register_consumer(ref, **consumer)
    assert shown.consumers == [consumer]
    assert [each.resource_id for each in barbican.secrets.list_consumers(ref)] == ["one"]
    with pytest.raises(exceptions.SecretHasConsumers):
        barbican.secrets.delete(ref)
    barbican.secrets.remove_consumer(ref, **consumer)
    barbican.secrets.register_consumer(ref, **consumer)
    barbican.secrets.delete(ref, force=True)


def test_containers_hold_secrets(barbican: Any) -> None:
    public, private = (barbican.secrets.create(name=name, payload=name) for name in ("public", "private"))
    for secret in (public, private):
        secret.store()
    container = barbican.containers.create_rsa(name="pair", public_key=public, private_key=private)
    ref = container.store()
    found = barbican.containers.get(ref)
    assert (found.name, found.private_key.payload) == ("pair", "private")
    assert [each.name for each in barbican.containers.list()] == ["pair"]
    barbican.containers.register_consumer(ref, "balancer", "http://example.com")
    assert barbican.containers.get(ref).consumers == [{"name": "balancer", "URL": "http://example.com"}]
    barbican.containers.remove_consumer(ref, "balancer", "http://example.com")
    found.delete()


def test_keys_are_ordered(barbican: Any) -> None:
    ref = barbican.orders.create_key(name="k", algorithm="aes", bit_length=256, mode="cbc").submit()
    order = barbican.orders.get(ref)
    assert (order.status, order.name, order.error_reason) == ("ACTIVE", "k", None)
    assert len(barbican.secrets.get(order.secret_ref).payload) == 32
    pair = barbican.orders.create_asymmetric(algorithm="rsa", bit_length=2048, pass_phrase="secret").submit()
    container = barbican.containers.get(barbican.orders.get(pair).container_ref)
    assert container.private_key.payload.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY")
    assert container.private_key_passphrase.payload == b"secret"
    assert len(barbican.orders.list()) == 2
    barbican.orders.delete(ref)
    with pytest.raises(exceptions.HTTPClientError, match="bit_length"):
        barbican.orders.create_key(algorithm="aes", bit_length=-8).submit()


def limit(direct: Service, client: Client, **limits: int) -> None:
    with direct.parts.database.write() as uow:
        uow.quotas.set_limits(client.project_id, limits)


def test_a_quota_that_has_been_reached_is_told(direct: Service, endpoint: str) -> None:
    client = direct.client()
    barbican = library(endpoint, client)
    limit(direct, client, secrets=1, orders=0, containers=0, consumers=0)
    ref = barbican.secrets.create(payload="x").store()
    consumer = {"service": "image", "resource_type": "image", "resource_id": "one"}
    for ask in (
        barbican.secrets.create(payload="y").store,
        barbican.orders.create_key(algorithm="aes", bit_length=256).submit,
        barbican.containers.create(name="c").store,
        lambda: barbican.secrets.register_consumer(ref, **consumer),
    ):
        with pytest.raises(exceptions.HTTPClientError, match="Forbidden.*quota has been reached"):
            ask()
    barbican.secrets.delete(ref)
    barbican.secrets.create(payload="z").store()


def test_readers_are_named(direct: Service, endpoint: str, barbican: Any) -> None:
    reader_client = direct.client()
    reader = library(endpoint, reader_client)
    own = reader.secrets.create(payload="x").store().partition("/v1")[2]
    user = reader_client.get(f"/v1{own}")["creator_id"]
    ref = barbican.secrets.create(payload="shared").store()
    acl = barbican.acls.create(entity_ref=ref, users=[user], project_access=False)
    acl.submit()
    assert reader.secrets.get(ref).payload == "shared"
    loaded = barbican.acls.get(ref)
    assert (loaded.read.users, loaded.read.project_access) == ([user], False)
    loaded.remove()
    with pytest.raises(exceptions.HTTPClientError):
        reader.secrets.get(ref).payload  # noqa: B018


def test_a_stranger_is_told_in_the_words_of_the_client(endpoint: str) -> None:
    auth = token_endpoint.Token(endpoint, "wrong")
    stranger = published.Client(session=session.Session(auth=auth), endpoint=endpoint)
    with pytest.raises(exceptions.HTTPAuthError):
        stranger.secrets.list()


def castellan(direct: Service, endpoint: str) -> tuple[Any, Any]:
    """A manager of keys and who asks it."""
    client, conf = direct.client(), cfg.ConfigOpts()
    conf([])
    manager = barbican_key_manager.BarbicanKeyManager(conf)
    manager._get_barbican_client = lambda context: library(endpoint, client)
    manager._base_url = f"{endpoint}/v1"
    context = castellan_token.Token(client.token)
    context.project_id = client.project_id
    return manager, context


def test_castellan_is_told_that_a_quota_has_been_reached(direct: Service, endpoint: str) -> None:
    manager, context = castellan(direct, endpoint)
    with direct.parts.database.write() as uow:
        uow.quotas.set_limits(context.project_id, {"secrets": 1})
    id = manager.store(context, opaque_data.OpaqueData(b"one"))
    with pytest.raises(castellan_errors.KeyManagerError, match="quota has been reached"):
        manager.store(context, opaque_data.OpaqueData(b"other"))
    manager.delete(context, id)
    manager.store(context, opaque_data.OpaqueData(b"other"))


def test_castellan_has_keys_made(direct: Service, endpoint: str) -> None:
    manager, context = castellan(direct, endpoint)
    key = manager.get(context, manager.create_key(context, "AES", 256, name="k"))
    assert (key.algorithm, key.bit_length, len(key.get_encoded())) == ("AES", 256, 32)
    private_id, public_id = manager.create_key_pair(context, "RSA", 2048)
    private, public = manager.get(context, private_id), manager.get(context, public_id)
    assert load_der_private_key(private.get_encoded(), None).public_key() == load_der_public_key(
        public.get_encoded()
    )


@pytest.mark.parametrize(
    "thing",
    [
        passphrase.Passphrase("correct horse", name="p"),
        opaque_data.OpaqueData(b"\x00\xff", name="o"),
        symmetric_key.SymmetricKey("AES", 256, bytes(range(32)), name="s"),
    ],
    ids=["passphrase", "opaque", "symmetric"],
)
def test_castellan_keeps_and_finds(direct: Service, endpoint: str, thing: Any) -> None:
    manager, context = castellan(direct, endpoint)
    id = manager.store(context, thing)
    found = manager.get(context, id)
    assert (found.get_encoded(), found.name) == (thing.get_encoded(), thing.name)
    manager.add_consumer(context, id, {"service": "s", "resource_type": "t", "resource_id": "i"})
    with pytest.raises(castellan_errors.KeyManagerError):
        manager.delete(context, id)
    manager.delete(context, id, force=True)
    with pytest.raises(castellan_errors.ManagedObjectNotFoundError):
        manager.get(context, id)
