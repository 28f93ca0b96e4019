"""Credentials of banks in the key manager: named in a provider's file, opened for the bank, shown nowhere."""

from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protectd.cmd.arguments import new_config
from protectd.cmd.build import Parts, parts
from protectd.common.errors import ConfigurationError
from protectd.common.ids import new_id
from protectd.common.progress import Counts, Progress
from protectd.domain.bank_secrets import REMEMBERED_S, SECRET_TYPE, BankSecrets
from protectd.domain.banks import bank_of
from protectd.domain.secrets import Secrets
from protectd.model.repositories.secrets import SecretNotFound
from protectd.model.unit_of_work import Database
from protectd.plugin.banks.rest import RestBank
from protectd.plugin.banks.s3 import S3Bank
from protectd.plugin.base import BankPlugin, BankRefused, BankUnavailable
from protectd.plugin.secret_stores.crypto import CryptoStore
from tests.fakes.clock import ManualClock
from tests.fakes.object_servers import SECRET
from tests.functional.test_commands import config, run

pytest_plugins = ["tests.fakes.databases"]

SERVERS: dict[str, tuple[str, type[BankPlugin], str]] = {
    "s3": ("seaweedfs", S3Bank, "secret_access_key"),
    "rest": ("rest_server", RestBank, "password"),
}
SERVICE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def secrets() -> Secrets:
    return Secrets({"crypto": CryptoStore(os.urandom(32))}, "crypto")


@pytest.fixture
def kept(chosen_database: Database, secrets: Secrets, clock: ManualClock) -> BankSecrets:
    return BankSecrets(chosen_database, lambda: secrets, SERVICE, clock)


@pytest.fixture(params=sorted(SERVERS))
def server(request: pytest.FixtureRequest) -> tuple[type[BankPlugin], dict[str, str], str]:
    """A plug-in, its options but for the credential, and the name of that."""
    fixture, plugin, option = SERVERS[request.param]
    options = dict(request.getfixturevalue(fixture))
    assert options.pop(f"{option}_file")
    return plugin, options, option


def signed(server: Any, text: str, kept: BankSecrets | None) -> BankPlugin:
    """A place of its own on the server, with this text as the credential."""
    plugin, options, option = server
    open_secret = None if kept is None else kept.open
    return bank_of(plugin, options | {option: text}, "here", open_secret).section(f"t/{uuid.uuid4().hex}")


def refusal(bank: BankPlugin) -> str:
    with pytest.raises(BankRefused) as caught:
        bank.get("config")
    assert SECRET not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "form", ["secret:{}", "secret:http://127.0.0.1:9311/v1/secrets/{}", "secret:/v1/secrets/{}/"]
)
def test_a_bank_signs_in_with_the_secret_that_its_option_names(
    server: Any, kept: BankSecrets, form: str
) -> None:
    bank = signed(server, form.format(kept.add("key of the bank", SECRET)), kept)
    assert SECRET not in repr(bank)
    bank.put("config", b"x")
    assert bank.get("config") == b"x"


def test_a_copy_in_another_process_signs_in_too(server: Any, kept: BankSecrets) -> None:
    bank = signed(server, f"secret:{kept.add('key', SECRET)}", kept)
    bank.put("config", b"there")
    program = "import pickle, sys; print(pickle.load(sys.stdin.buffer).get('config').decode())"
    done = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(bank), capture_output=True, check=True
    )
    assert done.stdout == b"there\n"


def test_another_text_in_its_place_is_taken_up(server: Any, kept: BankSecrets, clock: ManualClock) -> None:
    secret_id = kept.add("key", "not the one")
    bank = signed(server, f"secret:{secret_id}", kept)
    assert "not the one" not in refusal(bank)
    kept.replace(secret_id, SECRET)
    clock.advance(REMEMBERED_S)
    bank.put("config", b"x")
    assert bank.get("config") == b"x"


def test_what_is_not_there_or_is_none_is_refused_by_its_id(
    server: Any, kept: BankSecrets, secrets: Secrets, chosen_database: Database
) -> None:
    gone, missing = kept.add("key", SECRET), new_id()
    kept.remove(gone)
    with chosen_database.write() as uow:
        vaults = secrets.add(uow, SERVICE, SECRET.encode(), secret_type="vault-password").id
        tenants = secrets.add(uow, "a-project", SECRET.encode(), secret_type=SECRET_TYPE).id
    for secret_id in (gone, missing, vaults, tenants):
        assert secret_id in refusal(signed(server, f"secret:{secret_id}", kept))
        with pytest.raises(SecretNotFound):
            kept.replace(secret_id, "x")
        with pytest.raises(SecretNotFound):
            kept.remove(secret_id)


def test_a_database_that_is_away_means_later(secrets: Secrets, clock: ManualClock) -> None:
    away = BankSecrets(Database("sqlite:////nowhere/at/all.db"), lambda: secrets, SERVICE, clock)
    with pytest.raises(BankUnavailable):
        away.open(new_id())


@pytest.mark.parametrize(
    "text", ["secret:hunter2", f"secret:http://host/v1/keys/{SERVICE}", f"secret:{SERVICE}x"]
)
def test_what_names_no_secret_is_refused_at_the_start_and_not_shown(
    server: Any, kept: BankSecrets, text: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        signed(server, text, kept)
    assert server[2] in str(caught.value)
    assert text not in str(caught.value)


def test_without_a_key_manager_nothing_can_be_named(server: Any) -> None:
    with pytest.raises(ConfigurationError, match="no key manager"):
        signed(server, f"secret:{SERVICE}", None)


# --- the whole way: an operator's command, a provider's file, a backup in processes of its own ---

PROVIDER = """\
[provider]
id = 0f1bd1f5-2f5b-4e63-9a3c-3c1f6c9a7a11
name = far
url = {url}
plugin = directory

[{section}]
{options}
"""


@pytest.fixture
def installation(tmp_path: Path, chosen_url: str) -> Path:
    """Its configuration."""
    (tmp_path / "providers.d").mkdir()
    text = f"provider_config_dir = {tmp_path}/providers.d\n[plugins]\nallowed_banks = s3, rest\n"
    return config(tmp_path, text, chosen_url)


def tell(installation: Path, text: str, *arguments: str) -> Any:
    """What `bank-secret` prints when it is given a text."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "protectd.cmd.manage",
            "--config-file",
            str(installation),
            "bank-secret",
            *arguments,
        ],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    return json.loads(done.stdout)


def provide(installation: Path, server: Any, reference: str) -> None:
    """A provider's file: the id of the key is a credential, too."""
    plugin, options, option = server
    section = "s3" if plugin is S3Bank else "rest"
    given = {name: text for name, text in options.items() if name != "url"} | {option: reference}
    lines = "\n".join(f"{name} = {text}" for name, text in given.items())
    file = installation.parent / "providers.d" / "far.conf"
    file.write_text(PROVIDER.format(url=options["url"], section=section, options=lines))
    file.chmod(0o640)


@pytest.fixture
def made(installation: Path) -> Iterator[Parts]:
    with parts(new_config([installation]), "protectd-manage") as found:
        yield found


class Watching(Progress):
    """Sees what every process on this host was called with, while bytes move."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def report(self, counts: Counts) -> None:
        self.looks += 1
        for process in Path("/proc").glob("[0-9]*"):
            for part in ("cmdline", "environ"):
                try:
                    said = (process / part).read_bytes()
                except OSError:
                    continue
                assert b"rclone" in said or SECRET.encode() not in said, process


def test_a_provider_names_the_credential_and_the_secret_is_seen_nowhere(
    server: Any, installation: Path, made: Parts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = tell(installation, f"{SECRET}\n", "add", "--name", "key of the far bank")
    assert told["reference"] == f"secret:{told['id']}"
    provide(installation, server, told["reference"])
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(os.urandom(3_000_000))
    (provider,) = made.providers
    watching = Watching()
    with made.vaults.session(provider, f"p-{uuid.uuid4().hex}") as vault:
        saved = vault.save_tree(str(source), tags=(), progress=watching)
        assert vault.check([saved.snapshot_id], read_data=True).ok
        with vault.reading() as look:
            pieces: list[bytes] = []
            look.cat(look.snapshots()[0], os.fsencode(source / "file"), pieces.append)
    assert b"".join(pieces) == (source / "file").read_bytes()
    assert watching.looks
    assert SECRET not in caplog.text
    raw = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert SECRET.encode() not in raw, "it is sealed"


def test_an_operator_keeps_lists_replaces_and_removes_them(installation: Path) -> None:
    first = tell(installation, "one\n", "add", "--name", "first")["id"]
    second = tell(installation, "two", "add", "--name", "second")["id"]
    assert [(each["id"], each["name"]) for each in tell(installation, "", "list")] == [
        (first, "first"),
        (second, "second"),
    ]
    assert tell(installation, "three", "replace", first) == {"replaced": first}
    with parts(new_config([installation]), "protectd-manage") as found:
        assert [found.bank_secrets.open(each) for each in (first, second)] == ["three", "two"]
    assert tell(installation, "", "remove", second) == {"removed": second}
    assert [each["id"] for each in tell(installation, "", "list")] == [first]
    options = ("--config-file", installation, "bank-secret")
    for arguments in (("remove", second), ("replace", second), ("add", "--name", "empty")):
        done = run("manage", *options, *arguments)
        assert done.returncode in (1, 2) and "Traceback" not in done.stderr
