"""Secrets in rows: sealed at rest, bound to their row, kept while someone needs them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from protectd.common.errors import ConfigurationError
from protectd.domain.secrets import SecretInUse, Secrets
from protectd.model.models import Secret
from protectd.model.repositories.secrets import SecretNotFound
from protectd.model.unit_of_work import Database
from protectd.plugin.base import SecretDamaged
from protectd.plugin.secret_stores.crypto import CryptoStore
from tests.fakes.rows import OTHER_PROJECT, PROJECT

pytest_plugins = ["tests.fakes.databases"]

PLAIN = b"correct horse \x00\xff battery staple"
CONSUMER = ("protectd", "vault", "some-vault")


@pytest.fixture
def secrets() -> Iterator[Secrets]:
    yield Secrets({"crypto": CryptoStore(os.urandom(32))}, "crypto")


def test_a_secret_comes_back_and_never_lies_in_the_clear(any_database: Database, secrets: Secrets) -> None:
    with any_database.write() as uow:
        secret = secrets.add(uow, PROJECT, PLAIN, name="password")
    with any_database.read() as uow:
        row = uow.secrets.get(secret.id, PROJECT)
        assert PLAIN not in row.cipher_text and b"horse" not in row.cipher_text
        assert secrets.open(uow, secret.id, PROJECT) == PLAIN


def test_another_project_does_not_find_it(any_database: Database, secrets: Secrets) -> None:
    with any_database.write() as uow:
        secret = secrets.add(uow, PROJECT, PLAIN)
    with any_database.write() as uow:
        with pytest.raises(SecretNotFound):
            secrets.open(uow, secret.id, OTHER_PROJECT)
        with pytest.raises(SecretNotFound):
            secrets.delete(uow, secret.id, OTHER_PROJECT)


def test_sealed_bytes_open_in_their_own_row_only(any_database: Database, secrets: Secrets) -> None:
    with any_database.write() as uow:
        one, other = secrets.add(uow, PROJECT, PLAIN), secrets.add(uow, PROJECT, b"other")
        other.cipher_text = one.cipher_text
        uow.flush()
        with pytest.raises(SecretDamaged):
            secrets.open(uow, other.id, PROJECT)
        one.project_id = OTHER_PROJECT
        uow.flush()
        with pytest.raises(SecretDamaged):
            secrets.open(uow, one.id, OTHER_PROJECT)


def test_a_secret_with_a_consumer_is_not_deleted(any_database: Database, secrets: Secrets) -> None:
    with any_database.write() as uow:
        secret = secrets.add(uow, PROJECT, PLAIN)
        secrets.add_consumer(uow, secret.id, *CONSUMER)
        secrets.add_consumer(uow, secret.id, *CONSUMER)
    for project in (PROJECT, None):
        with pytest.raises(SecretInUse), any_database.write() as uow:
            secrets.delete(uow, secret.id, project)
    with any_database.write() as uow:
        secrets.remove_consumer(uow, secret.id, *CONSUMER)
        secrets.remove_consumer(uow, secret.id, *CONSUMER)
        secrets.delete(uow, secret.id, PROJECT)
    with any_database.read() as uow:
        assert uow.secrets.find(secret.id) is None
        assert uow.session.get(Secret, secret.id).cipher_text == b""


def test_a_consumer_and_a_deletion_at_once_never_both_succeed(
    any_database: Database, secrets: Secrets
) -> None:
    for _ in range(6):
        with any_database.write() as uow:
            secret_id = secrets.add(uow, PROJECT, PLAIN).id
        with ThreadPoolExecutor(2) as pool:
            adding = pool.submit(_add_consumer, any_database, secrets, secret_id)
            deleting = pool.submit(_delete, any_database, secrets, secret_id)
        assert adding.result() != deleting.result()


def _add_consumer(database: Database, secrets: Secrets, secret_id: str) -> bool:
    try:
        with database.write() as uow:
            secrets.add_consumer(uow, secret_id, *CONSUMER)
    except SecretNotFound:
        return False
    return True


def _delete(database: Database, secrets: Secrets, secret_id: str) -> bool:
    try:
        with database.write() as uow:
            secrets.delete(uow, secret_id, PROJECT)
    except SecretInUse:
        return False
    return True


def test_a_consumer_of_a_secret_that_is_not_there_is_refused(
    any_database: Database, secrets: Secrets
) -> None:
    with pytest.raises(SecretNotFound), any_database.write() as uow:
        secrets.add_consumer(uow, "nothing", *CONSUMER)


def test_names_of_any_length_and_cut_make_different_consumers(
    any_database: Database, secrets: Secrets
) -> None:
    with any_database.write() as uow:
        secret = secrets.add(uow, PROJECT, PLAIN)
        for names in (("a", "bc", "d"), ("ab", "c", "d"), ("x" * 255, "y" * 255, "z" * 255)):
            secrets.add_consumer(uow, secret.id, *names)
        assert len(uow.secrets.get(secret.id).consumers) == 3


def test_a_store_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match="vaporware"):
        Secrets({}, "vaporware")
