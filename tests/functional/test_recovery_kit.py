"""A recovery kit: every vault is opened with what it says, and nothing else of the service is left."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from protectd.client.http import Client
from protectd.cmd.recovery_kit import remark
from tests.fakes.daemons import Standalone, User, manage, running
from tests.fakes.tree import build_hard_tree, differences, tree
from tests.functional.test_commands import run


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """After two vaults were made; the daemon has ended."""
    top = tmp_path_factory.mktemp("kit")
    build_hard_tree(top / "source")
    (top / "source/links/odd target").unlink()  # restic 0.14 changes what is no UTF-8
    daemon = Standalone(top / "state")
    with running(daemon):
        user = daemon.wait()
        user.protect(user.plan(top / "source"), daemon)
        other = manage(
            "--state-dir", str(daemon.state), "token", "create", "--project", "other", "--role", "admin"
        )
        guest = User(Client(daemon.credentials()["endpoint"], other["token"], "other"), "other")
        guest.protect(guest.plan(top / "source"), daemon)
        yield user


@pytest.fixture
def state(user: User, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return next(tmp_path_factory.getbasetemp().glob("kit*")) / "state"


def in_shell(kit: Path, number: int, command: str) -> subprocess.CompletedProcess[str]:
    """One block of the kit, as a person uses it."""
    block = [each for each in kit.read_text().split("\n\n") if "export RESTIC_PASSWORD" in each][number]
    script = f"{block}\n{command}"
    return subprocess.run(
        ["bash", "-euc", script], capture_output=True, text=True, errors="surrogateescape", check=False,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )  # fmt: skip


def test_every_vault_comes_back_when_only_the_bank_and_the_kit_are_left(state: Path, tmp_path: Path) -> None:
    kit = tmp_path / "kit"
    told = manage("--state-dir", str(state), "vault", "recovery-kit", "--output", str(kit))
    assert told == {"file": str(kit), "vaults": 2, "missing": []}
    assert stat.S_IMODE(kit.stat().st_mode) == 0o600
    elsewhere = tmp_path / "saved"
    shutil.copytree(state / "bank", elsewhere)
    text = kit.read_text().replace(str(state / "bank"), str(elsewhere))
    kit.write_text(text)
    for number in range(2):
        restored = in_shell(
            kit,
            number,
            f"restic --no-cache check && restic --no-cache restore latest --target {tmp_path}/{number}",
        )
        assert restored.returncode == 0, restored
        source = state.parent / "source"
        assert differences(tree(source), tree(tmp_path / str(number) / source.relative_to("/"))) == []


def test_a_file_that_is_there_stays(state: Path, tmp_path: Path) -> None:
    kit = tmp_path / "kit"
    kit.write_text("precious")
    done = run("manage", "--state-dir", state, "vault", "recovery-kit", "--output", kit)
    assert done.returncode == 1 and "is there already" in done.stderr
    assert kit.read_text() == "precious"


def test_a_vault_that_does_not_open_is_named_and_the_others_are_written(state: Path, tmp_path: Path) -> None:
    kit, bank = tmp_path / "kit", state / "bank"
    [keys] = bank.glob("*/other/keys")
    keys.rename(keys.with_name("gone"))
    try:
        done = run("manage", "--state-dir", state, "vault", "recovery-kit", "--output", kit)
    finally:
        keys.with_name("gone").rename(keys)
    told = json.loads(done.stdout)
    assert (done.returncode, told["vaults"], [each["project_id"] for each in told["missing"]]) == (
        1,
        1,
        ["other"],
    )
    assert "NOT IN THIS KIT: project other" in kit.read_text()


def test_passwords_are_in_the_file_alone(state: Path, tmp_path: Path) -> None:
    kit = tmp_path / "kit"
    done = run("manage", "--state-dir", state, "vault", "recovery-kit", "--output", kit)
    passwords = [line.partition("=")[2] for line in kit.read_text().splitlines() if "RESTIC_PASSWORD" in line]
    assert len(passwords) == 2
    assert all(password.strip("'") not in done.stdout + done.stderr for password in passwords)


def test_a_remark_is_one_line() -> None:
    assert remark("a\nrm -rf /\r\n b") == "# a rm -rf / b"
