"""The real `protectd` process, used as a person would use it, and its vault read with restic."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from protectd.client.http import Client, RequestFailed
from tests.fakes.daemons import SlowBank, Standalone, User, manage, restic_environment, running, wait_for
from tests.fakes.tree import build_hard_tree, differences, tree


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Standalone]:
    daemon = Standalone(tmp_path / "state")
    with running(daemon):
        yield daemon


@contextmanager
def on_slow_bank(place: Path, **kib_s: int) -> Iterator[tuple[Standalone, SlowBank]]:
    slow, config = SlowBank(place, **kib_s), place / "slow.conf"
    config.write_text(f"[DEFAULT]\n{slow.option}")
    daemon = Standalone(place / "state", "--config-file", str(config))
    with running(daemon):
        yield daemon, slow


@pytest.fixture
def source(tmp_path: Path) -> Path:
    build_hard_tree(tmp_path / "source")
    return tmp_path / "source"


def fill(folder: Path, files: int, size: int, seed: int = 7) -> None:
    """Bytes that compress and repeat nowhere."""
    chance = random.Random(seed)
    for number in range(files):
        path = folder / f"{number % 17}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(size))


def bank_bytes(state: Path) -> int:
    return sum(path.stat().st_size for path in (state / "bank").rglob("*") if path.is_file())


def run_restic(restic: str, service: Standalone, user: User, *arguments: str) -> str:
    environment = restic_environment(["--state-dir", str(service.state)], user.project_id)
    done = subprocess.run(
        [restic, "--no-cache", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_directory_is_protected_lost_and_brought_back(service: Standalone, source: Path) -> None:
    user = service.wait()
    before = tree(source)
    checkpoint = user.protect(user.plan(source), service)
    assert checkpoint["status"] == "available", checkpoint
    shutil.rmtree(source)
    restored = user.restore(checkpoint["id"], None, service)
    assert restored["status"] == "success", restored
    assert differences(before, tree(source)) == []


def test_a_second_checkpoint_keeps_what_changed_and_both_come_back(
    service: Standalone, source: Path, tmp_path: Path
) -> None:
    user, plan = service.wait(), ""
    plan = user.plan(source)
    first, before = user.protect(plan, service), tree(source)
    size = bank_bytes(service.state)
    (source / "names" / "plain.txt").write_bytes(b"changed")
    (source / "born").mkdir()
    second, after = user.protect(plan, service), tree(source)
    assert bank_bytes(service.state) - size < size / 10
    for checkpoint, wanted, name in ((first, before, "one"), (second, after, "two")):
        assert user.restore(checkpoint["id"], tmp_path / name, service)["status"] == "success"
        assert differences(wanted, tree(tmp_path / name)) == []


def test_restic_checks_lists_and_restores_the_vault(
    service: Standalone, source: Path, tmp_path: Path, restic: str
) -> None:
    user = service.wait()
    assert user.protect(user.plan(source), service)["status"] == "available"
    assert "no errors were found" in run_restic(restic, service, user, "check", "--read-data")
    assert str(source / "links" / "first") in run_restic(restic, service, user, "ls", "latest")
    run_restic(restic, service, user, "restore", "latest", "--target", str(tmp_path / "elsewhere"))
    there = tmp_path / "elsewhere" / source.relative_to("/")
    lost = differences(tree(source), tree(there))
    # Older versions of restic read a link's target as UTF-8, also in what they wrote themselves.
    assert [line for line in lost if "odd target': content" not in line] == []


def test_a_verification_reads_every_byte_and_finds_a_changed_one(service: Standalone, source: Path) -> None:
    user = service.wait()
    checkpoint = user.protect(user.plan(source), service)
    assert user.verify(checkpoint["id"], service)["status"] == "success"
    packs = sorted((service.state / "bank").rglob("data/*/*"), key=lambda path: path.stat().st_size)
    os.chmod(packs[-1], 0o600)
    with packs[-1].open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))
    assert user.verify(checkpoint["id"], service)["status"] == "fail"


def test_deleting_a_checkpoint_gives_its_bytes_back(service: Standalone, tmp_path: Path) -> None:
    user, source = service.wait(), tmp_path / "source"
    fill(source, files=40, size=500_000)
    plan = user.plan(source)
    first = user.protect(plan, service)
    shutil.rmtree(source)
    fill(source, files=10, size=500_000, seed=8)
    kept, size = user.protect(plan, service), bank_bytes(service.state)
    user.delete(first["id"])
    assert user.final_checkpoint_deleted(first["id"])
    wait_for("freed bytes", lambda: bank_bytes(service.state) < size - 15_000_000, 180, service)
    assert user.restore(kept["id"], tmp_path / "kept", service)["status"] == "success"
    assert differences(tree(source), tree(tmp_path / "kept")) == []


def test_killed_in_the_middle_it_goes_on_after_a_restart(tmp_path: Path, restic: str) -> None:
    with on_slow_bank(tmp_path, upload=256) as (service, slow):
        user, source = service.wait(), tmp_path / "source"
        fill(source, files=20, size=40_000)
        plan = user.plan(source)
        assert user.protect(plan, service)["status"] == "available"
        fill(source, files=400, size=40_000, seed=9)
        id = user.begin_checkpoint(plan)
        wait_for("a running backup", lambda: user.checkpoint(id)["status"] == "protecting", 60, service)
        service.end(signal.SIGKILL)
        slow.let_go()
        service.start()
        user = service.wait()
        again = user.final_checkpoint(id, service)
        assert again["status"] in ("available", "error"), again
        last = user.protect(plan, service)
        assert last["status"] == "available"
        for checkpoint in [last] + ([again] if again["status"] == "available" else []):
            target = tmp_path / checkpoint["id"]
            assert user.restore(checkpoint["id"], target, service)["status"] == "success"
            assert differences(tree(source), tree(target)) == []
            shutil.rmtree(target)
        assert "no errors were found" in run_restic(restic, service, user, "check")


def test_killed_at_the_first_writes_of_a_restore_it_finishes_it_after_a_restart(tmp_path: Path) -> None:
    with on_slow_bank(tmp_path, download=256) as (service, slow):
        user, source, target = service.wait(), tmp_path / "source", tmp_path / "target"
        fill(source, files=400, size=40_000)
        checkpoint = user.protect(user.plan(source), service)
        id = user.begin_restore(checkpoint["id"], target)
        wait_for("the first write", lambda: target.is_dir() and next(target.iterdir(), None), 60, service)
        service.end(signal.SIGKILL)
        slow.let_go()
        service.start()
        restored = service.wait().final_restore(id, service)
        assert restored["status"] == "success", restored
        assert differences(tree(source), tree(target)) == []


def test_asked_to_end_in_the_middle_it_ends_soon_and_finishes_after_a_restart(tmp_path: Path) -> None:
    """Who waited for the rest of the checkpoint would wait longer than `end` does."""
    with on_slow_bank(tmp_path, upload=128) as (service, slow):
        user, source = service.wait(), tmp_path / "source"
        fill(source, files=400, size=40_000)
        id = user.begin_checkpoint(user.plan(source))
        wait_for("a running backup", lambda: user.checkpoint(id)["status"] == "protecting", 60, service)
        code, _ = service.end(signal.SIGTERM)
        assert code == 0, service.text()[-3000:]
        slow.let_go()
        service.start()
        assert service.wait().final_checkpoint(id, service)["status"] == "available"


def test_a_path_that_is_not_there_ends_in_error_with_a_reason(service: Standalone, tmp_path: Path) -> None:
    user = service.wait()
    checkpoint = user.protect(user.plan(tmp_path / "nowhere"), service)
    assert checkpoint["status"] == "error"
    assert "nowhere" in json.dumps(checkpoint)


def test_a_member_touches_only_what_its_project_may(service: Standalone, source: Path) -> None:
    admin = service.wait()
    made = manage("--state-dir", str(service.state), "token", "create", "--project", "tenant")
    member = User(Client(service.credentials()["endpoint"], made["token"], "tenant"), "tenant")
    with pytest.raises(RequestFailed) as caught:
        member.plan(source)
    assert caught.value.facts["answered"] == 403
    plan = admin.plan(source)
    with pytest.raises(RequestFailed) as caught:
        member.client.get(f"/plans/{plan}")
    assert caught.value.facts["answered"] == 404


def test_a_restart_keeps_token_and_project_and_a_second_daemon_is_refused(
    service: Standalone, tmp_path: Path
) -> None:
    user, first = service.wait(), service.credentials()
    user.plan(tmp_path)
    second = Standalone(service.state)
    second.log = tmp_path / "second.log"
    second.start()
    assert second.process is not None and second.process.wait(30) == 1
    assert f"process {service.pid}" in second.text() and "Traceback" not in second.text()
    code, seconds = service.end()
    assert (code, seconds < 10) == (0, True), service.text()
    service.start()
    user = service.wait()
    again = service.credentials()
    assert (again["token"], again["project_id"]) == (first["token"], first["project_id"])
    assert len(user.client.get("/plans")["plans"]) == 1


def test_its_files_are_private_and_its_log_knows_no_secret(service: Standalone, source: Path) -> None:
    user = service.wait()
    user.protect(user.plan(source), service)
    assert stat.S_IMODE(service.state.stat().st_mode) == 0o700
    for name in ("credentials.json", "master.key", "protectd.db"):
        assert stat.S_IMODE((service.state / name).stat().st_mode) == 0o600, name
    secrets = [
        service.credentials()["token"],
        restic_environment(["--state-dir", str(service.state)], user.project_id)["RESTIC_PASSWORD"],
        (service.state / "master.key").read_text().strip(),
    ]
    raw = b"".join(path.read_bytes() for path in service.state.glob("protectd.db*"))
    for secret in secrets:
        assert secret not in service.text()
        assert secret.encode() not in raw


def test_the_service_s_own_files_are_nobody_s_source_or_target(service: Standalone, source: Path) -> None:
    user = service.wait()
    checkpoint = user.protect(user.plan(source), service)
    with pytest.raises(RequestFailed) as caught:
        user.plan(service.state)
    assert caught.value.facts["answered"] == 403
    with pytest.raises(RequestFailed) as caught:
        user.restore(checkpoint["id"], service.state / "bank", service, overwrite=True)
    assert caught.value.facts["answered"] == 403
