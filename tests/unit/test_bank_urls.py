"""URLs of banks, their credentials, and the options that go with them."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from protectd.common.errors import ConfigurationError
from protectd.domain.banks import bank_at
from protectd.plugin.banks.credentials import Login, Secret
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.plugin.banks.memory import MemoryBank
from protectd.plugin.banks.urls import base_of, path_of, place_of, plugin_of, server_of
from protectd.plugin.base import BankPlugin, BankRefused
from protectd.plugin.loader import BANKS, Loader

NAMES = ["azure", "filesystem", "gcs", "memory", "rest", "s3", "swift", "webdav"]
LOADER = Loader({BANKS: NAMES})


def innermost(bank: BankPlugin) -> BankPlugin:
    while inner := getattr(bank, "bank", None):
        bank = inner
    return bank


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("/srv/bank", "filesystem"),
        ("file:///srv/bank", "filesystem"),
        ("memory:", "memory"),
        ("s3://bucket/prefix", "s3"),
        ("s3:https://host/bucket", "s3"),
        ("swift://container", "swift"),
        ("azure://container", "azure"),
        ("gs://bucket", "gcs"),
        ("webdav:https://host/dav", "webdav"),
        ("rest:http://host:8000/", "rest"),
        ("tape:1", "tape"),
    ],
)
def test_a_url_names_a_plugin(url: str, name: str) -> None:
    assert plugin_of(url) == name


@pytest.mark.parametrize("url", ["bank", "./bank", "", "S3://bucket", "1:x"])
def test_anything_else_is_no_url(url: str) -> None:
    with pytest.raises(ConfigurationError):
        bank_at(url, {}, LOADER)


@pytest.mark.parametrize("url", ["/srv/bank", "file:///srv/bank", "file://localhost/srv/bank"])
def test_a_path_in_any_form(url: str) -> None:
    assert path_of(url) == "/srv/bank"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://bucket", ("", "bucket", "")),
        ("s3://bucket/", ("", "bucket", "")),
        ("s3://bucket/a/b_c-d.e/", ("", "bucket", "a/b_c-d.e")),
        ("s3:http://host:8333/bucket/a//b", ("http://host:8333", "bucket", "a/b")),
        ("s3:https://[::1]:1/bucket", ("https://[::1]:1", "bucket", "")),
    ],
)
def test_a_bucket_and_the_place_in_it(url: str, expected: tuple[str, str, str]) -> None:
    assert place_of(url, "s3") == expected


@pytest.mark.parametrize(
    "url",
    ["s3://", "s3:///", "s3:bucket/prefix", "s3:ftp://host/bucket", "s3:https://host", "s3:https:///bucket"]
    + ["s3://bucket/../other", "s3://bucket/.", "s3://bucket/a b", "s3://bucket/%2e%2e", "s3:http://host:x/b"]
    + ["s3://bucket/é", "s3://bucket/a\nb"],
)
def test_what_is_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        place_of(url, "s3")


@pytest.mark.parametrize(
    "url",
    ["s3:https://ada:s3cr3t@host/bucket", "s3://ada:s3cr3t@bucket/x", "s3:https://s3cr3t@host/bucket"]
    + ["s3://bucket/x?key=s3cr3t", "rest:http://ada:s3cr3t@host/", "webdav:https://host/?token=s3cr3t"]
    + ["swift://c/#s3cr3t", "rest:http://ada:s3cr3t@host:port/", "azure://c?sig=s3cr3t", "gs://b?x=s3cr3t"],
)
def test_a_url_with_a_credential_is_refused_without_being_shown(url: str) -> None:
    options = {"swift": {"auth_url": "http://host/v1"}, "azure": {"account": "a"}}
    with pytest.raises(ConfigurationError) as caught:
        bank_at(url, options.get(plugin_of(url), {}), LOADER)
    assert "s3cr3t" not in str(caught.value)
    assert "options of their own" in str(caught.value) or "well-formed" in str(caught.value)


def test_the_base_of_a_server_ends_with_a_slash() -> None:
    assert base_of("rest:http://host:1/a//b", "rest") == "http://host:1/a/b/"
    assert base_of("rest:https://host", "rest") == "https://host/"
    assert server_of("https://host/a/") == "https://host/a"


@pytest.mark.parametrize("url", ["rest:http://host/../x", "rest:host", "http://host/", "rest:"])
def test_what_is_no_server_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        base_of(url, "rest")


# --- banks ---


def test_a_url_makes_its_bank(tmp_path: Path) -> None:
    made = bank_at(str(tmp_path), {}, LOADER)
    assert isinstance(made, FilesystemBank)
    assert made.root == tmp_path
    assert isinstance(bank_at("memory:", {}, LOADER), MemoryBank)


@pytest.mark.parametrize(
    ("url", "options", "location"),
    [
        ("s3://bucket/a", {}, "s3:https://s3.amazonaws.com/bucket/a/b"),
        ("s3://bucket", {"endpoint": "http://host:1"}, "s3:http://host:1/bucket/b"),
        ("s3:https://host/bucket/a", {}, "s3:https://host/bucket/a/b"),
        ("rest:https://host/a", {}, "rest:https://host/a/b/"),
        ("swift://c/a", {"auth_url": "http://h/v1", "username": "u", "password": "p"}, "swift:c:/a/b"),
        ("azure://c/a", {"account": "x"}, "azure:c:/a/b"),
        ("azure://c/a", {"account": "x", "endpoint": "http://h/x"}, ""),
        ("gs://b/a", {}, "gs:b:/a/b"),
        ("webdav:https://host/", {}, ""),
    ],
)
def test_a_bank_says_what_restic_takes_for_it(url: str, options: dict[str, str], location: str) -> None:
    made = bank_at(url, options, LOADER).section("b")
    assert made.location == location
    assert pickle.loads(pickle.dumps(made)).location == location
    assert made.shared
    assert made.remote


@pytest.mark.parametrize(
    ("url", "options", "environment"),
    [
        (
            "s3://b",
            {"access_key_id": "i", "secret_access_key": "k", "session_token": "t", "region": "eu"},
            {"AWS_ACCESS_KEY_ID": "i", "AWS_SECRET_ACCESS_KEY": "k", "AWS_SESSION_TOKEN": "t"}
            | {"AWS_DEFAULT_REGION": "eu"},
        ),
        (
            "rest:http://h/",
            {"username": "u", "password": "p"},
            {"RESTIC_REST_USERNAME": "u", "RESTIC_REST_PASSWORD": "p"},
        ),
        ("rest:http://h/", {}, {}),
        (
            "swift://c",
            {"auth_url": "http://h/v1", "username": "u", "password": "p"},
            {"ST_AUTH": "http://h/v1", "ST_USER": "u", "ST_KEY": "p"},
        ),
        (
            "swift://c",
            {"auth_url": "http://h/v3", "username": "u", "password": "p", "project": "j", "region": "r"},
            {"OS_AUTH_URL": "http://h/v3", "OS_USERNAME": "u", "OS_PASSWORD": "p", "OS_PROJECT_NAME": "j"}
            | {"OS_REGION_NAME": "r", "OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_NAME": "Default"},
        ),
        (
            "swift://c",
            {
                "auth_url": "http://h/v3",
                "application_credential_id": "i",
                "application_credential_secret": "s",
            },
            {"OS_AUTH_URL": "http://h/v3", "OS_APPLICATION_CREDENTIAL_ID": "i"}
            | {"OS_APPLICATION_CREDENTIAL_SECRET": "s"},
        ),
        (
            "azure://c",
            {"account": "a", "account_key": "k"},
            {"AZURE_ACCOUNT_NAME": "a", "AZURE_ACCOUNT_KEY": "k"},
        ),
        (
            "azure://c",
            {"account": "a", "sas_token": "?s"},
            {"AZURE_ACCOUNT_NAME": "a", "AZURE_ACCOUNT_SAS": "?s"},
        ),
        ("gs://b", {"service_account_file": "/f"}, {"GOOGLE_APPLICATION_CREDENTIALS": "/f"}),
        ("gs://b", {}, {}),
    ],
)
def test_a_bank_says_what_restic_needs_beside_it(
    url: str, options: dict[str, str], environment: dict[str, str]
) -> None:
    assert bank_at(url, options, LOADER).restic_environment() == environment


@pytest.mark.parametrize(
    ("url", "options", "reason"),
    [
        ("s3://b", {"access_key_id": "i"}, "secret_access_key"),
        ("s3://b", {"access_key_id": "i", "access_key_id_file": "/f"}, "twice"),
        ("s3:http://h/b", {"endpoint": "http://h"}, "twice"),
        ("s3://b", {"color": "red"}, "color"),
        ("s3://b", {"retries": "many"}, "retries"),
        ("s3://b", {"timeout_s": "-1"}, "timeout_s"),
        ("s3://b", {"endpoint": "host"}, "https://host"),
        ("rest:http://h/", {"username": "u"}, "password"),
        ("swift://c", {}, "auth_url"),
        ("swift://c", {"auth_url": "http://h/v1"}, "username"),
        ("swift:http://h/c", {"auth_url": "http://h/v1"}, "swift://"),
        ("swift://c", {"auth_url": "http://h/v3", "username": "u", "password": "p"}, "project"),
        ("swift://c", {"auth_url": "http://h/v3", "application_credential_id": "i"}, "secret"),
        ("azure://c", {}, "account"),
        ("azure://c", {"account": "a", "account_key": "k", "sas_token": "t"}, "account_key"),
        ("azure:http://h/c", {"account": "a"}, "azure://"),
        ("gs:http://h/b", {}, "gs://"),
        ("gs://b", {"service_account_file": "relative"}, "service_account_file"),
        ("memory:", {"upload_kib_s": "fast"}, "upload_kib_s"),
    ],
)
def test_options_that_do_not_fit_are_named(url: str, options: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        bank_at(url, options, LOADER, "here")
    assert reason in str(caught.value)
    assert str(caught.value).startswith("here")


def test_a_plugin_that_is_not_on_the_list_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        bank_at("s3://bucket", {}, Loader({BANKS: ["filesystem"]}))
    assert "allow-list" in str(caught.value)


# --- credentials ---


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text("s3cr3t\n")
    path.chmod(0o640)
    return path


def test_a_secret_is_read_from_its_file_each_time(key_file: Path) -> None:
    secret = Secret.from_options({"password_file": str(key_file)}, "password")
    assert secret.read() == "s3cr3t"
    key_file.write_text("changed")
    assert secret.read() == "changed"


def test_a_secret_does_not_show() -> None:
    login = Login.from_options({"username": "ada", "password": "s3cr3t"})
    assert login.password.read() == "s3cr3t"
    assert "s3cr3t" not in f"{login} {login!r}"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: path.chmod(0o644), "everyone may read it"),
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_text("\n"), "empty"),
        (lambda path: path.write_bytes(b"\xff"), "UTF-8"),
    ],
)
def test_a_file_that_gives_no_secret_is_refused_by_name(key_file: Path, change, reason: str) -> None:
    change(key_file)
    with pytest.raises(BankRefused) as caught:
        Secret.from_options({"password_file": str(key_file)}, "password").read()
    assert reason in str(caught.value)
    assert str(key_file) in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("url", ["s3:http://127.0.0.1:1/bank", "webdav:http://127.0.0.1:1/"])
def test_a_bank_whose_credentials_cannot_be_had_says_so(url: str, key_file: Path) -> None:
    key_file.chmod(0o604)
    options = {"username": "ada", "password_file": str(key_file)}
    if url.startswith("s3"):
        options = {"access_key_id": "i", "secret_access_key_file": str(key_file)}
    bank = bank_at(url, options, LOADER)
    for call in (lambda: bank.get("config"), lambda: bank.put("config", b"x"), lambda: list(bank.list(""))):
        with pytest.raises(BankRefused) as caught:
            call()
        assert "everyone may read it" in str(caught.value)
