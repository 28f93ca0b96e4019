"""`openstack secret` and `openstack acl`, the plug-in of python-barbicanclient, unmodified."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.published_client import Caller, Refused, caller
from tests.fakes.service import Service

JSON = ("-f", "json")


@pytest.fixture
def user(direct: Service, endpoint: str) -> Caller:
    return caller(direct, endpoint)


def said(user: Caller, *words: str) -> Any:
    return json.loads(user.secret(*words, *JSON))


def stored(user: Caller, *words: str) -> str:
    return str(said(user, "secret", "store", *words)["Secret href"])


def test_a_text_and_its_labels(user: Caller) -> None:
    labels = ["-a", "aes", "-b", "256", "-m", "cbc", "-s", "passphrase", "-x", "2999-01-01T00:00:00"]
    ref = stored(user, "-n", "é ☃", *labels, "-p", "correct horse")
    shown = said(user, "secret", "get", ref)
    assert (shown["Name"], shown["Algorithm"], shown["Bit length"]) == ("é ☃", "aes", 256)
    assert (shown["Mode"], shown["Secret type"], shown["Status"]) == ("cbc", "passphrase", "ACTIVE")
    assert shown["Expiration"].startswith("2999-01-01") and shown["Content types"] == {
        "default": "application/octet-stream"
    }
    assert said(user, "secret", "get", ref, "-p") == {"Payload": "correct horse"}
    [listed] = said(user, "secret", "list", "-n", "é ☃")
    assert listed["Secret href"] == ref


def test_a_file_of_bytes_goes_and_comes_back(user: Caller, tmp_path: Path) -> None:
    file, back = tmp_path / "file", tmp_path / "back"
    file.write_bytes(os.urandom(15_000))
    ref = stored(user, "-F", str(file))
    user.secret("secret", "get", ref, "-F", str(back), "-t", "application/octet-stream")
    assert back.read_bytes() == file.read_bytes()
    file.write_bytes(os.urandom(15_001))
    with pytest.raises(Refused, match="Too Large|larger"):
        stored(user, "-F", str(file))


def test_a_payload_in_a_second_step(user: Caller) -> None:
    ref = stored(user, "-n", "later")
    with pytest.raises(Refused):
        user.secret("secret", "get", ref, "-p")
    user.secret("secret", "update", ref, "later on")
    assert said(user, "secret", "get", ref, "-p") == {"Payload": "later on"}
    with pytest.raises(Refused, match="already"):
        user.secret("secret", "update", ref, "again")


def test_lists_are_narrowed_sorted_by_pages(user: Caller) -> None:
    for number in range(3):
        stored(user, "-n", f"n{number}", "-b", str(128 * (number + 1)), "-p", "x")
    assert [each["Name"] for each in said(user, "secret", "list", "-l", "2", "-o", "1")] == ["n1", "n2"]
    assert [each["Name"] for each in said(user, "secret", "list", "-b", "256")] == ["n1"]
    assert said(user, "secret", "list", "-n", "nobody") == []


def test_consumers_guard_a_secret(user: Caller) -> None:
    ref = stored(user, "-p", "x")
    consumer = ("-s", "image", "-t", "image", "-i", "some-image")
    user.secret("secret", "consumer", "create", ref, *consumer)
    [listed] = said(user, "secret", "consumer", "list", ref)
    assert (listed["Service"], listed["Resource type"], listed["Resource id"]) == (
        "image",
        "image",
        "some-image",
    )
    with pytest.raises(Refused, match="consumers"):
        user.secret("secret", "delete", ref)
    user.secret("secret", "consumer", "delete", ref, *consumer)
    assert said(user, "secret", "consumer", "list", ref) == []
    user.secret("secret", "consumer", "create", ref, *consumer)
    user.secret("secret", "delete", "--force", ref)
    with pytest.raises(Refused, match="Not Found"):
        user.secret("secret", "get", ref)


def test_keys_are_ordered(user: Caller) -> None:
    ref = said(user, "secret", "order", "create", "key", "-n", "k", "-a", "aes", "-b", "256", "-m", "cbc")
    shown = said(user, "secret", "order", "get", ref["Order href"])
    assert (shown["Type"], shown["Status"], shown["Error code"]) == ("Key", "ACTIVE", None)
    key = said(user, "secret", "get", shown["Secret href"])
    assert (key["Name"], key["Secret type"], key["Bit length"]) == ("k", "symmetric", 256)
    pair = ("asymmetric", "-n", "p", "-a", "rsa", "-b", "2048")
    made = said(user, "secret", "order", "create", *pair)
    container = said(user, "secret", "order", "get", made["Order href"])["Container href"]
    assert "Public Key" in user.secret("secret", "container", "get", container)
    assert len(said(user, "secret", "order", "list")) == 2
    user.secret("secret", "order", "delete", ref["Order href"])
    assert len(said(user, "secret", "order", "list")) == 1


def test_containers_hold_secrets(user: Caller) -> None:
    refs = {name: stored(user, "-p", name) for name in ("private_key", "public_key")}
    named = [word for name, ref in refs.items() for word in ("-s", f"{name}={ref}")]
    made = said(user, "secret", "container", "create", "-n", "pair", "--type", "rsa", *named)
    shown = user.secret("secret", "container", "get", made["Container href"], "-f", "shell")
    assert all(ref in shown for ref in refs.values())
    with pytest.raises(Refused, match="public_key"):
        user.secret("secret", "container", "create", "--type", "rsa", *named[:2])
    [listed] = said(user, "secret", "container", "list", "-n", "pair")
    assert listed["Container href"] == made["Container href"]
    user.secret("secret", "container", "delete", made["Container href"])
    assert said(user, "secret", "container", "list") == []


def test_readers_are_named_added_and_removed(direct: Service, endpoint: str, user: Caller) -> None:
    ref, reader = stored(user, "-p", "shared"), caller(direct, endpoint)
    id = said(reader, "secret", "get", stored(reader, "-p", "x"))
    own = reader.client.get("/v1" + id["Secret href"].partition("/v1")[2])["creator_id"]
    with pytest.raises(Refused, match="Forbidden|403"):
        reader.secret("secret", "get", ref, "-p")
    user.secret("acl", "submit", ref, "-u", "somebody", "--no-project-access")
    user.secret("acl", "user", "add", ref, "-u", own)
    [acl] = said(user, "acl", "get", ref)
    assert (acl["Project Access"], set(acl["Users"])) == (False, {"somebody", own})
    assert said(reader, "secret", "get", ref, "-p") == {"Payload": "shared"}
    user.secret("acl", "user", "remove", ref, "-u", own)
    with pytest.raises(Refused, match="Forbidden|403"):
        reader.secret("secret", "get", ref, "-p")
    user.secret("acl", "delete", ref)
    [acl] = said(user, "acl", "get", ref)
    assert acl["Project Access"] is True


def test_what_is_wrong_is_told_in_a_sentence(user: Caller) -> None:
    for words, told in (
        (("secret", "store", "-p", "x", "-x", "2020-01-01T00:00:00"), "future"),
        (("secret", "order", "create", "key", "-a", "aes", "-b", "136"), "bit_length"),
        (("secret", "get", f"{user.endpoint}/v1/secrets/3f2504e0-4f89-41d3-9a0c-0305e82c3301"), "Not Found"),
    ):
        with pytest.raises(Refused, match=told):
            user.secret(*words)


def test_base64_is_given_as_it_is_kept(user: Caller) -> None:
    coded = base64.b64encode(b"\x00\xff").decode()
    ref = stored(user, "-p", coded, "-t", "application/octet-stream", "-e", "base64")
    path = "/v1" + ref.partition("/v1")[2]
    assert user.client.call("GET", f"{path}/payload").body == b"\x00\xff"
