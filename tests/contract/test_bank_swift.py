"""Signing in to Swift with Keystone: a stand-in for it, and a real Swift behind."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from protectd.plugin.banks.swift import SwiftBank
from protectd.plugin.base import BankRefused, BankUnavailable
from tests.fakes.keystone import keystone
from tests.fakes.object_servers import SECRET, Options

PASSWORD = {"username": "ada", "password": "s3cr3t", "project": "backups"}
CREDENTIAL = {"application_credential_id": "abc", "application_credential_secret": "s3cr3t"}


@pytest.fixture
def auth_url(swift: Options) -> Iterator[str]:
    with keystone(swift["auth_url"], swift["username"], SECRET) as url:
        yield url


def bank(auth_url: str, options: dict[str, str]) -> SwiftBank:
    options = {"region": "here", **options, "url": "swift://bank", "auth_url": auth_url}
    return SwiftBank.from_options(options).section(f"keystone/{uuid.uuid4().hex}")


@pytest.mark.parametrize("options", [PASSWORD, CREDENTIAL], ids=["password", "credential"])
def test_signs_in_and_finds_the_object_store_of_its_region(auth_url: str, options: dict[str, str]) -> None:
    made = bank(f"{auth_url}/", options)
    made.prepare()
    made.put("config", b"x")
    assert made.get("config") == b"x"


@pytest.mark.parametrize(
    "change", [{"password": "wrong"}, {"project": "other"}, {"user_domain": "other"}, {"username": "bob"}]
)
def test_credentials_that_are_not_taken_are_refused(auth_url: str, change: dict[str, str]) -> None:
    with pytest.raises(BankRefused) as caught:
        bank(auth_url, {**PASSWORD, **change}).get("config")
    assert "401" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_a_region_without_an_object_store_is_refused(auth_url: str) -> None:
    with pytest.raises(BankRefused) as caught:
        bank(auth_url, {**PASSWORD, "region": "nowhere"}).get("config")
    assert "no place of an object store" in str(caught.value)


def test_without_a_region_the_first_place_is_asked(auth_url: str) -> None:
    with pytest.raises(BankUnavailable):
        bank(auth_url, {**PASSWORD, "region": ""}).get("config")


def test_an_address_that_is_not_keystone_is_refused(auth_url: str) -> None:
    with pytest.raises(BankRefused):
        bank(f"{auth_url}/v3", PASSWORD).get("config")


def test_a_container_that_is_not_there_is_refused(swift: Options) -> None:
    made = SwiftBank.from_options({**swift, "url": "swift://nowhere"})
    for call in (lambda: made.put("config", b"x"), lambda: list(made.list(""))):
        with pytest.raises(BankRefused) as caught:
            call()
        assert "no container" in str(caught.value)
