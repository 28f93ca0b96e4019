"""protectd-manage vault beside a running service, with restic as the second reader."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from protectd.cmd.door import guarded
from protectd.cmd.manage import run
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.vault.repository import Repository
from tests.fakes.daemons import Standalone, User, running
from tests.fakes.vault_kit import PASSWORD, Restic, file_vault

COMMAND = [sys.executable, "-m", "protectd.cmd.manage"]


@dataclass(frozen=True)
class Said:
    code: int
    stdout: str
    stderr: str


def in_process(arguments: list[str], stdin: str) -> Said:
    """What the command says and how it ends; this process is as it was afterwards."""
    out, err = io.TextIOWrapper(io.BytesIO(), write_through=True), io.StringIO()
    handlers, level, umask, before = logging.root.handlers[:], logging.root.level, os.umask(0o022), sys.stdin
    sys.stdin = io.StringIO(stdin)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = guarded("protectd-manage", lambda: run(arguments))
    except SystemExit as ended:
        code = int(str(ended.code))
    finally:
        sys.stdin = before
        os.umask(umask)
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
    out.seek(0)
    return Said(code, out.read(), err.getvalue())


@dataclass
class Rig:
    """A service with two checkpoints of one directory."""

    top: Path
    source: Path
    user: User
    first: dict[str, Any]
    second: dict[str, Any]
    restic: str

    @property
    def state(self) -> Path:
        return self.top / "state"

    def command(self, *arguments: str) -> list[str]:
        """Options of the vault stand before the arguments of an action that takes several."""
        words = 2 if arguments[0] in ("key", "repair") else 1
        where = ["--provider", "default", "--project", self.user.project_id]
        return [
            *COMMAND,
            "--state-dir",
            str(self.state),
            "vault",
            *arguments[:words],
            *where,
            *arguments[words:],
        ]

    def run(self, *arguments: str, code: int = 0, stdin: str = "") -> Said:
        """In this process, which saves a second each time."""
        said = in_process(self.command(*arguments)[len(COMMAND) :], stdin)
        assert said.code == code, said
        return said

    def json(self, *arguments: str, code: int = 0, stdin: str = "") -> Any:
        return json.loads(self.run(*arguments, code=code, stdin=stdin).stdout)

    def refused(self, *arguments: str, code: int = 1) -> str:
        """What it says when it does not do it."""
        return self.run(*arguments, code=code).stderr.strip().splitlines()[-1]

    def program(self) -> Restic:
        found = self.json("credentials")
        return Restic(self.restic, found["repository"], found["password"])

    def repository(self) -> Path:
        return Path(self.json("credentials")["repository"])


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Rig]:
    restic = "restic"
    top = tmp_path_factory.mktemp("manage")
    source = top / "source"
    (source / "dir").mkdir(parents=True)
    (source / "a").write_bytes(b"text one")
    (source / "dir/large").write_bytes(os.urandom(3_000_000))
    (source / "dir/odd \x1b[31m\n").write_bytes(b"odd")
    daemon = Standalone(top / "state")
    with running(daemon):
        user = daemon.wait()
        plan = user.plan(source)
        first = user.protect(plan, daemon)
        (source / "a").write_bytes(b"text two, longer")
        (source / "new").write_bytes(b"new")
        os.chmod(source / "dir", 0o700)
        second = user.protect(plan, daemon)
        yield Rig(top, source, user, first, second, restic)


# --- looking ---


def test_snapshots_are_listed_with_their_checkpoints(rig: Rig) -> None:
    its_manifest, first, other_manifest, second = rig.json("snapshots")
    assert (first["checkpoint_id"], second["checkpoint_id"]) == (rig.first["id"], rig.second["id"])
    assert first["paths"] == [str(rig.source)]
    assert [each["manifest"] for each in (first, its_manifest, second)] == [False, True, False]
    assert (its_manifest["checkpoint_id"], its_manifest["paths"]) == (rig.first["id"], ["/manifest.json"])
    assert rig.json("snapshots", second["id"][:8]) == rig.json("snapshots", "latest") == [second]
    assert rig.json("snapshots", rig.second["id"]) == [other_manifest, second]
    assert "no snapshot nowhere" in rig.refused("snapshots", "nowhere")


def test_a_vault_that_was_never_made_is_not_made_by_looking(rig: Rig) -> None:
    command = [
        *COMMAND,
        "--state-dir",
        str(rig.state),
        "vault",
        "stats",
        "--provider",
        "default",
        "--project",
        "x",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "is not there" in done.stderr
    assert not (rig.repository().parent / "x").exists()


def test_files_are_listed(rig: Rig) -> None:
    top = str(rig.source)
    assert rig.run("ls", rig.first["id"]).stdout.splitlines() == [f"{top}/a", f"{top}/dir"]
    deep = rig.run("ls", "-R", "latest").stdout.splitlines()
    assert deep == [f"{top}/a", f"{top}/dir", f"{top}/dir/large", f"{top}/dir/odd \\x1b[31m\\n", f"{top}/new"]
    long = rig.run("ls", "-l", "latest", "new", "dir").stdout.splitlines()
    assert long[0].startswith("-rw") and long[0].endswith(f"{top}/new") and "3000000" in long[1]
    lines = [json.loads(line) for line in rig.run("ls", "--json", "latest", "a").stdout.splitlines()]
    assert [(line["path"], line["type"], line["size"]) for line in lines] == [(f"{top}/a", "file", 16)]
    assert "has no entry 'gone'" in rig.refused("ls", "latest", "gone")


def test_a_file_comes_as_a_stream(rig: Rig) -> None:
    done = subprocess.run(rig.command("cat", "latest", "dir/large"), capture_output=True, timeout=60)
    assert done.stdout == (rig.source / "dir/large").read_bytes()
    done = subprocess.run(rig.command("cat", rig.first["id"], str(rig.source / "a")), capture_output=True)
    assert done.stdout == b"text one"
    assert "it is a directory" in rig.refused("cat", "latest", "dir")


def test_checkpoints_are_compared(rig: Rig) -> None:
    lines = rig.run("diff", rig.first["id"], rig.second["id"]).stdout.splitlines()
    top = str(rig.source)
    assert (
        lines
        == [
            f"M {top}/a  (8 -> 16)",
            f"U {top}/dir",
            f"+ {top}/new  (3)",
            "1 added, 1 changed, 1 metadata; 8 -> 19 bytes",
        ]
        or lines[0] == f"U {top}"
    )
    found = [
        json.loads(line)
        for line in rig.run("diff", "--json", rig.first["id"], "latest", "a").stdout.splitlines()
    ]
    assert (found[0]["change"], found[0]["before_bytes"], found[0]["after_bytes"]) == ("changed", 8, 16)
    assert found[-1]["totals"]["entries"]["changed"] == 1
    assert rig.run("diff", "latest", "latest").stdout == "nothing differs; 0 -> 0 bytes\n"


def test_what_it_takes_is_counted_as_restic_does(rig: Rig) -> None:
    stats = rig.json("stats")
    theirs = json.loads(rig.program()("stats", "--mode", "raw-data", "--json"))
    assert (stats["needed_bytes"], stats["blobs"]) == (theirs["total_size"], theirs["total_blob_count"])
    assert [each["name"] for each in stats["checkpoints"]] == [rig.first["id"], rig.second["id"]]
    assert all(
        each["unique_bytes"] + each["shared_bytes"] == each["stored_bytes"] for each in stats["checkpoints"]
    )


# --- checking ---


def test_a_check_reads_what_it_is_told_to(rig: Rig) -> None:
    structure, data = rig.json("check"), rig.json("check", "--read-data")
    assert structure["read_packs"] == 0 and data["read_packs"] == data["packs"] == structure["packs"]
    parts = [rig.json("check", "--read-data-subset", f"{n}/2")["read_packs"] for n in (1, 2)]
    assert sum(parts) == data["packs"]
    assert rig.json("check", "--daily", "1", rig.first["id"])["read_bytes"] > 3_000_000
    assert "no share of the packs" in rig.run("check", "--read-data-subset", "3/2", code=2).stderr
    rig.run("check", "--read-data", "--daily", "3", code=2)


def test_a_damaged_vault_ends_a_check_with_one(rig: Rig) -> None:
    pack = max(rig.repository().glob("data/*/*"), key=lambda path: path.stat().st_size)
    raw = pack.read_bytes()
    pack.chmod(0o600)
    pack.write_bytes(raw[:1000] + bytes([raw[1000] ^ 1]) + raw[1001:])
    try:
        report = rig.json("check", "--read-data", code=1)
        assert pack.name in report["errors"][0]
        assert rig.json("check")["errors"] == []
    finally:
        pack.write_bytes(raw)
        pack.chmod(0o400)
    rig.json("check", "--read-data")


# --- changing ---


def test_chosen_paths_are_restored(rig: Rig) -> None:
    target = rig.top / "restored"
    report = rig.json("restore", "--target", str(target), rig.first["id"], "a")
    assert (report["files"], report["issue_count"], report["target"]) == (1, 0, str(target))
    assert (target / "a").read_bytes() == b"text one" and not (target / "dir").exists()
    assert "not empty" in rig.refused("restore", "--target", str(target), "latest")
    rig.json("restore", "--target", str(target), "--overwrite", "latest")
    assert (target / "a").read_bytes() == b"text two, longer"
    assert "/gone" in rig.refused("restore", "--target", str(rig.top / "none"), "latest", "gone")
    assert not (rig.top / "none").exists()


def test_the_services_own_files_are_no_target(rig: Rig) -> None:
    assert "outside the places" in rig.refused("restore", "--target", str(rig.state / "bank"), "latest")


def test_an_index_that_is_gone_is_made_anew(rig: Rig) -> None:
    for path in (rig.repository() / "index").iterdir():
        path.unlink()
    assert (
        "in no index" in "".join(rig.json("check", code=1)["errors"]) or rig.json("check", code=1)["errors"]
    )
    report = rig.json("repair", "index")
    assert report["added_packs"] == report["packs"] > 1
    rig.program().check()
    assert rig.json("repair", "index", "--read-all-packs")["removed_files"] == 1
    rig.program().check()


def test_a_snapshot_that_a_checkpoint_has_is_not_forgotten(rig: Rig) -> None:
    plan = rig.user.plan(rig.source, name="forgotten")
    checkpoint = rig.user.protect(plan)
    said = rig.refused("forget", checkpoint["id"])
    assert checkpoint["id"] in said and "(available)" in said
    manifest, snapshot = rig.json("forget", "--force", checkpoint["id"])["forgotten"]
    assert (snapshot["manifest"], manifest["manifest"]) == (False, True)
    assert snapshot["checkpoint_id"] == checkpoint["id"]
    assert snapshot["id"] not in [each["id"] for each in rig.json("snapshots")]
    assert "no snapshot" in rig.refused("forget", snapshot["id"])
    rig.run("prune")
    rig.program().check()


def test_a_snapshot_that_nobody_has_is_forgotten(rig: Rig) -> None:
    program = rig.program()
    program("backup", str(rig.source), "--tag", "by-hand")
    (snapshot,) = [each for each in rig.json("snapshots") if each["tags"] == ["by-hand"]]
    assert rig.json("forget", snapshot["id"][:10])["forgotten"][0]["id"] == snapshot["id"]


def test_a_damaged_snapshot_is_told_and_forgotten_by_its_id(rig: Rig) -> None:
    rig.program()("backup", str(rig.source), "--tag", "damaged")
    (snapshot,) = [each for each in rig.json("snapshots") if each["tags"] == ["damaged"]]
    path = rig.repository() / "snapshots" / snapshot["id"]
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])
    said = rig.run("snapshots", code=1)
    assert snapshot["id"] in said.stderr and snapshot["id"] not in said.stdout
    assert snapshot["id"] in rig.refused("prune")
    assert snapshot["id"] in rig.refused("forget", snapshot["id"])
    assert rig.json("forget", "--force", snapshot["id"])["forgotten"] == [{"id": snapshot["id"]}]
    rig.run("prune")
    rig.program().check()


# --- copies ---


def test_a_vault_is_copied_to_a_repository_that_restic_reads(rig: Rig) -> None:
    other = file_vault(rig.top / "other")
    password = rig.top / "password"
    password.write_text(f"{PASSWORD}\n")
    where = ["--to-repository", str(rig.top / "other"), "--to-password-file", str(password)]
    report = rig.json("copy", *where)
    assert len(report["copied"]) == 4 and report["errors"] == []
    program = Restic(rig.restic, rig.top / "other")
    program.check()
    program("restore", report["copied"][3]["to"], "--target", str(rig.top / "theirs"))
    restored = Path(f"{rig.top}/theirs{rig.source}")
    assert subprocess.run(["diff", "-r", rig.source, restored], check=False).returncode == 0
    again = rig.json("copy", *where, rig.first["id"])
    assert (again["copied"], again["blobs"], len(again["present"])) == ([], 0, 2)
    assert len(other.snapshots()) == 4


def test_a_vault_is_copied_to_another_projects(rig: Rig) -> None:
    report = rig.json("copy", "--to-project", "archive", "latest")
    assert len(report["copied"]) == 1
    state = ["--state-dir", str(rig.state), "vault"]
    listed = subprocess.run(
        [*COMMAND, *state, "snapshots", "--provider", "default", "--project", "archive"], capture_output=True
    )
    assert [each["checkpoint_id"] for each in json.loads(listed.stdout)] == [rig.second["id"]]
    assert "same vault" in rig.refused("copy", "--to-project", rig.user.project_id)
    assert "name one vault" in rig.refused("copy", code=2)


# --- keys ---


def test_keys_are_added_listed_and_removed(rig: Rig) -> None:
    added = rig.json("key", "add", "--password-file", "-", stdin="a person's password\n")["id"]
    found = {key["id"]: key for key in rig.json("key", "list")}
    assert [key["current"] for key in found.values()].count(True) == 1 and not found[added]["current"]
    Restic(rig.restic, rig.repository(), "a person's password")("snapshots")
    current = next(id for id, key in found.items() if key["current"])
    assert "rotate" in rig.refused("key", "remove", current)
    assert rig.json("key", "remove", added[:9])["id"] == added
    assert Restic(rig.restic, rig.repository(), "a person's password").run("snapshots").returncode != 0
    assert "empty" in rig.run("key", "add", "--password-file", "-", code=2).stderr
    assert "no password from the terminal" in rig.run("key", "add", code=2).stderr
    assert "No such file" in rig.run("key", "add", "--password-file", "/nowhere", code=2).stderr


def test_a_key_that_restic_added_opens_and_is_removed(rig: Rig) -> None:
    file = rig.top / "theirs.txt"
    file.write_text("added by restic")
    rig.program()("key", "add", "--new-password-file", str(file))
    bank = FilesystemBank.from_options({"path": str(rig.repository())})
    assert Repository.open(bank, "added by restic").snapshots()
    (theirs,) = [key for key in rig.json("key", "list") if not key["current"]]
    assert theirs["hostname"] == os.uname().nodename
    rig.json("key", "remove", theirs["id"])


def test_a_rotation_goes_unnoticed_by_the_service(rig: Rig) -> None:
    before = rig.json("credentials")["password"]
    (gone,) = rig.json("key", "rotate")["removed"]
    after = rig.json("credentials")["password"]
    assert after != before and gone not in [key["id"] for key in rig.json("key", "list")]
    assert Restic(rig.restic, rig.repository(), before).run("snapshots").returncode != 0
    rig.program().check()
    checkpoint = rig.user.protect(rig.user.plan(rig.source, name="after the rotation"))
    assert checkpoint["status"] == "available"


# --- the command itself ---


@pytest.mark.parametrize(
    "action",
    [
        "credentials", "snapshots", "check", "prune", "stats", "forget", "copy", "ls", "cat", "diff",
        "restore", "key list", "key add", "key remove", "key rotate", "repair index",
    ],
)  # fmt: skip
def test_each_action_tells_how_to_use_it(action: str) -> None:
    done = in_process(["vault", *action.split(), "--help"], "")
    assert done.code == 0
    for word in ("--provider", "--project", "Ends with 0"):
        assert word in " ".join(done.stdout.split())


def test_progress_is_seen_at_a_terminal_alone(rig: Rig) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        rig.command("check", "--read-data"), stdout=subprocess.PIPE, stderr=theirs, timeout=60
    )
    os.close(theirs)
    seen = os.read(ours, 65536).decode() if done.returncode == 0 else ""
    os.close(ours)
    assert "\r\x1b[K" in seen and json.loads(done.stdout)["errors"] == []
    assert rig.run("check", "--read-data").stderr == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_action_leaves_no_lock(rig: Rig, number: signal.Signals) -> None:
    locks = rig.repository() / "locks"
    command = rig.command("ls", "-R", "latest", "/")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while not list(locks.iterdir()):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and b"Traceback" not in said
    assert not [path for path in locks.iterdir() if "tmp" not in path.name]
