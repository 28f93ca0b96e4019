"""Restore drills: written to a scratch place, timed, compared with what was recorded, and cleared away."""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from protectd.common.clock import SystemClock
from protectd.common.progress import Progress
from protectd.common.reports import RestoreOptions
from protectd.domain import verifications
from protectd.domain.providers import Protectables, Providers
from protectd.model.base import utc_now
from protectd.model.unit_of_work import Database
from protectd.plugin.base import Assertion, Operation
from protectd.plugin.protections.directory import DirectoryProtection
from protectd.plugin.saved import tags_of
from protectd.tasks.operations import makers
from protectd.tasks.scratch import NoSpace, Scratch, remove_tree
from tests.fakes import rows
from tests.fakes.daemons import Standalone, User, running, wait_for
from tests.fakes.toy_plugin.protectd_toy.note import NoteProtectable, NoteProtection
from tests.fakes.tree import build_hard_tree
from tests.fakes.vaults import PROVIDER_ID, Protected

pytest_plugins = ["tests.fakes.databases"]

LARGE = 300_000
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make this")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    made = tmp_path / "source"
    (made / "deep" / "er").mkdir(parents=True)
    (made / "one.txt").write_text("one")
    (made / "deep" / "two.bin").write_bytes(random.Random(1).randbytes(LARGE))
    (made / "deep" / "er" / "link").symlink_to("../two.bin")
    return made


@pytest.fixture
def site(chosen_database: Database, tmp_path: Path) -> Iterator[Protected]:
    made = Protected(chosen_database, SystemClock(), (str(tmp_path),))
    yield made
    assert left_in(made) == []
    made.engine.close()
    if made.scratch.exists():
        made.scratch.rmdir()


def left_in(site: Protected) -> list[str]:
    return sorted(os.listdir(site.scratch)) if site.scratch.exists() else []


def with_plugin(site: Protected, plugin: DirectoryProtection) -> None:
    site.provider = replace(site.provider, protections={"directory": plugin})
    site.env.providers = Providers([site.provider])
    site.operations = makers(site.env)


def saved(site: Protected, *sources: Path) -> Any:
    checkpoint = site.checkpoint(site.plan(*sources))
    site.work()
    assert site.found(checkpoint).error_message is None
    return checkpoint


def drilled(site: Protected, checkpoint: Any, depth: str = "restore") -> Any:
    verification = site.verification(checkpoint, depth)
    site.work()
    return site.verified(verification)


def damage(site: Protected) -> None:
    """Change one byte in the middle of the largest pack."""
    bank = site.bank.section(f"{PROVIDER_ID}/{rows.PROJECT}")
    key = max((found.key for found in bank.list("data")), key=bank.size)
    raw = bytearray(bank.get(key))
    raw[len(raw) // 2] ^= 1
    bank.put(key, bytes(raw))


# --- a drill ---


def test_a_checkpoint_of_whatever_there_is_proves_good(site: Protected, tmp_path: Path) -> None:
    hard = tmp_path / "hard"
    hard.mkdir()
    build_hard_tree(hard)
    checkpoint = saved(site, hard)
    found = drilled(site, checkpoint)
    assert (found.status, found.errors) == ("success", []), found.errors
    (told,) = found.report["resources"].values()
    resource = site.found(checkpoint).resources[0]
    assert told["compared"]["files"] == resource.files == found.files
    assert told["compared"]["directories"] == resource.directories
    assert told["compared"]["read_bytes"] == found.read_bytes == resource.logical_bytes
    assert (told["difference_count"], told["assertions"]) == (0, [])
    assert {issue["kind"] for issue in found.issues} <= {"withheld", "metadata"}
    assert not any(issue["path"].startswith("/") for issue in found.issues)


def test_its_time_is_the_checkpoints_proven_recovery_time(site: Protected, source: Path) -> None:
    checkpoint = saved(site, source)
    before = site.found(checkpoint)
    assert (before.verified_at, before.verified_depth, before.proven_recovery_s) == (None, None, None)
    found = drilled(site, checkpoint)
    after = site.found(checkpoint)
    assert found.recovery_s > 0
    assert (after.proven_recovery_s, after.verified_depth) == (found.recovery_s, "restore")
    assert found.started_at < after.verified_at <= found.ended_at
    other = drilled(site, checkpoint, "structure")
    assert other.recovery_s is None
    last = site.found(checkpoint)
    assert (last.verified_depth, last.proven_recovery_s) == ("structure", found.recovery_s)


def test_what_was_saved_as_a_stream_is_drilled_too(site: Protected, source: Path) -> None:
    class Streams(DirectoryProtection):
        def protect(self, context):
            class Stream(Operation):
                def main(self) -> None:
                    with (source / "deep" / "two.bin").open("rb") as stream:
                        context.report = context.vault.save_stream(stream, "dump", tags=tags_of(context))
                    context.saved_info["path"] = "/dump"

            return Stream()

    with_plugin(site, Streams())
    found = drilled(site, saved(site, source))
    assert (found.status, found.files, found.read_bytes) == ("success", 1, LARGE), found.errors


# --- what it finds ---


def test_a_damaged_file_is_named(site: Protected, source: Path) -> None:
    checkpoint = saved(site, source)
    damage(site)
    found = drilled(site, checkpoint)
    assert (found.status, found.error_code) == ("fail", "resource.damaged")
    (reason,) = found.resources_reason.values()
    assert "deep/two.bin" in reason
    assert any(line.startswith("deep/two.bin: ") for line in found.errors)
    assert str(site.scratch) not in json.dumps([found.errors, found.report, found.resources_reason])
    assert site.found(checkpoint).verified_at is None


def test_a_snapshot_that_is_gone_fails_it(site: Protected, source: Path) -> None:
    checkpoint = saved(site, source)
    with site.open_vault() as vault:
        vault.forget([site.found(checkpoint).resources[0].snapshot_id])
    found = drilled(site, checkpoint)
    assert (found.status, found.error_code) == ("fail", "resource.damaged")
    assert "no snapshot" in found.error_message


def test_of_several_resources_each_is_told_by_itself(site: Protected, source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("other")
    checkpoint = saved(site, other, source)
    with site.open_vault() as vault:
        gone = next(row for row in site.found(checkpoint).resources if row.resource_name == "other")
        vault.forget([gone.snapshot_id])
    found = drilled(site, checkpoint)
    assert found.status == "fail"
    assert found.resources_status == {
        row.key: "error" if row.id == gone.id else "available" for row in site.found(checkpoint).resources
    }
    assert list(found.resources_reason) == [gone.key]
    assert found.read_bytes == LARGE + len("one")


class Asserting(DirectoryProtection):
    """Says what it is told to, of files that are there."""

    def __init__(self, say: Callable[[Any, Path], list[Assertion]]) -> None:
        self._say = say

    def assertions(self, context, path):
        return self._say(context, Path(path))


def test_a_plugin_adds_what_it_has_tried(site: Protected, source: Path) -> None:
    def say(context: Any, path: Path) -> list[Assertion]:
        (path / "work").write_text("may be written here")
        return [Assertion("reads", (path / "one.txt").read_text() == "one", "one.txt")]

    with_plugin(site, Asserting(say))
    found = drilled(site, saved(site, source))
    assert found.status == "success"
    (told,) = found.report["resources"].values()
    assert told["assertions"] == [{"name": "reads", "ok": True, "detail": "one.txt"}]


def test_an_assertion_that_does_not_hold_fails_the_drill(site: Protected, source: Path) -> None:
    with_plugin(site, Asserting(lambda context, path: [Assertion("starts", False, "exit code 3")]))
    checkpoint = saved(site, source)
    found = drilled(site, checkpoint)
    assert (found.status, found.error_code) == ("fail", "resource.damaged")
    (reason,) = found.resources_reason.values()
    assert "assertion starts does not hold: exit code 3" in reason
    assert site.found(checkpoint).proven_recovery_s is None


def test_a_plugin_that_breaks_fails_its_resource_only(site: Protected, source: Path) -> None:
    def say(context: Any, path: Path) -> list[Assertion]:
        raise KeyError("a secret")

    with_plugin(site, Asserting(say))
    found = drilled(site, saved(site, source))
    assert (found.status, found.error_code) == ("fail", "plugin.failed")
    assert "a secret" not in json.dumps([found.error_message, found.resources_reason, found.errors])


@pytest.mark.parametrize(("wanted", "status"), [("first", "success"), ("second", "fail")])
def test_parameters_of_a_verification_reach_the_plugin(
    site: Protected, tmp_path: Path, wanted: str, status: str
) -> None:
    """With the package that somebody else wrote."""
    (tmp_path / "note").write_text("first\n")
    site.provider = replace(site.provider, protections={"note": NoteProtection()})
    site.env.providers = Providers([site.provider])
    site.env.protectables = Protectables([NoteProtectable()])
    site.operations = makers(site.env)
    note = rows.resource("note", resource_type="note", resource_extra_info={"path": str(tmp_path / "note")})
    with site.database.write() as uow:
        plan = uow.plans.add(rows.plan(provider_id=PROVIDER_ID, resources=[note]))
    checkpoint = site.checkpoint(plan)
    site.work()
    verification = site.verification(checkpoint, "restore")
    with site.database.write() as uow:
        uow.verifications.get(verification.id).parameters = {"note": {"contains": wanted}}
    site.work()
    found = site.verified(verification)
    assert found.status == status, found.error_message
    (told,) = found.report["resources"].values()
    assert told["assertions"] == [
        {"name": "contains", "ok": status == "success", "detail": "6 characters were looked through"}
    ]


# --- the scratch place ---


def test_without_room_nothing_is_written(site: Protected, source: Path) -> None:
    checkpoint = saved(site, source)
    with site.database.write() as uow:
        uow.checkpoints.get(checkpoint.id).resources[0].logical_bytes = 2**60
    found = drilled(site, checkpoint)
    assert (found.status, found.error_code) == ("fail", "verification.no_space")
    assert "needs 1048576.0 TiB" in found.error_message


def test_a_cancelled_drill_leaves_nothing(site: Protected, source: Path) -> None:
    seen: list[str] = []

    def say(context: Any, path: Path) -> list[Assertion]:
        seen.extend(left_in(site))
        with site.database.write() as uow:
            (task,) = uow.tasks.live("verification", verification.id)
            uow.tasks.request_cancel(task.id, site.clock.now())
        while True:
            context.progress.check()
            site.clock.sleep(0.1)

    with_plugin(site, Asserting(say))
    verification = site.verification(saved(site, source), "restore")
    site.work()
    found = site.verified(verification)
    assert (found.status, found.error_code) == ("fail", "cancelled")
    assert len(seen) == 2
    assert left_in(site) == []


DYING = """
import sys, time, uuid
from pathlib import Path
from protectd.tasks.scratch import Scratch
with Scratch(Path(sys.argv[1])).room(str(uuid.uuid4()), data_bytes=0, entries=0) as room:
    (room / "inner").mkdir()
    (room / "inner" / "file").write_text("half a secret")
    print("there", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_process_leaves_is_cleared_by_the_next_and_not_before(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "scratch")
    with subprocess.Popen(
        [sys.executable, "-c", DYING, str(scratch.root)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        assert (scratch.sweep(), len(os.listdir(scratch.root))) == (0, 2)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with scratch.room("0" * 36, data_bytes=0, entries=0) as room:
        assert sorted(os.listdir(scratch.root)) == [room.name, f"{room.name}.lock"]
    assert os.listdir(scratch.root) == []
    assert stat.S_IMODE(scratch.root.stat().st_mode) == 0o700


def test_a_service_that_is_killed_in_a_drill_clears_up_and_ends_it_when_it_is_back(tmp_path: Path) -> None:
    source, state = tmp_path / "many", tmp_path / "state"
    source.mkdir()
    for number in range(200):
        (source / str(number)).write_bytes(os.urandom(1_000_000))
    daemon = Standalone(state)
    with running(daemon):
        user = daemon.wait()
        checkpoint = user.protect(user.plan(source), daemon)
        asked = {"provider_id": user.provider(), "checkpoint_id": checkpoint["id"], "depth": "restore"}
        id = user.client.post("/verifications", {"verification": asked})["verification"]["id"]
        room = wait_for(
            "a room", lambda: next((state / "scratch").glob("protectd-drill-*/0"), None), 60, daemon
        )
        daemon.end(signal.SIGKILL)
        assert room.exists()
        daemon.start()
        user = daemon.wait()
        assert not room.exists()
        done = wait_for("the drill", lambda: ended(user, id), 120, daemon)
        assert (done["status"], done["files"]) == ("success", 200), done["error"]
        assert os.listdir(state / "scratch") == []
        shown = user.checkpoint(checkpoint["id"])
        assert shown["proven_recovery_s"] == done["recovery_s"] > 0


def ended(user: User, id: str) -> Any:
    found = user.client.get(f"/verifications/{id}")["verification"]
    return found if found["status"] in ("success", "fail") else None


def test_what_is_not_a_drills_is_left_alone(tmp_path: Path) -> None:
    for name in ("mine", "protectd-drill-x", "other.lock"):
        (tmp_path / name).mkdir()
    with Scratch(tmp_path).room("0" * 36, data_bytes=0, entries=0):
        pass
    assert sorted(os.listdir(tmp_path)) == ["mine", "other.lock", "protectd-drill-x"]


def test_room_is_asked_for_before_it_is_used(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "scratch")
    with pytest.raises(NoSpace), scratch.room("0" * 36, data_bytes=2**62, entries=0):
        raise AssertionError("there is no such room")
    assert os.listdir(scratch.root) == []


@pytest.mark.usefixtures("deep")
def test_a_tree_of_any_depth_and_mode_is_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "kept").symlink_to(tmp_path)
    descriptor = os.open(top, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d" * 20, dir_fd=descriptor)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=descriptor)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0, dir_fd=below))
        os.fchmod(descriptor, 0)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    remove_tree(top)
    assert os.listdir(tmp_path) == []


# --- the comparison, by itself ---


def change_content(top: Path) -> None:
    """One byte, behind the back of size and time."""
    path = top / "deep" / "two.bin"
    before = path.stat()
    raw = bytearray(path.read_bytes())
    raw[LARGE // 2] ^= 1
    path.write_bytes(raw)
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))


def kept(path: Path, change: Callable[[], object]) -> None:
    """Change what is in a directory, and not its time."""
    before = path.stat().st_mtime_ns
    change()
    os.utime(path, ns=(before, before))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "content": (change_content, "deep/two.bin: its content differs"),
    "size": (lambda top: os.truncate(top / "one.txt", 2), "one.txt: it has 2 bytes, not 3"),
    "mode": (lambda top: (top / "one.txt").chmod(0o600), "one.txt: its mode is 600, not 644"),
    "time": (lambda top: os.utime(top / "one.txt", ns=(1, 1)), "one.txt: its time is 1 ns"),
    "top": (lambda top: top.chmod(0o711), ".: its mode is 711"),
    "folder": (lambda top: (top / "deep").chmod(0o711), "deep: its mode is 711"),
    "missing": (
        lambda top: kept(top, (top / "one.txt").unlink),
        "one.txt: it is missing",
    ),
    "surplus": (
        lambda top: kept(top / "deep", lambda: (top / "deep" / "new").write_text("")),
        "deep/new: it is there and was not recorded",
    ),
    "kind": (
        lambda top: kept(top, lambda: ((top / "one.txt").unlink(), (top / "one.txt").mkdir())),
        "one.txt: it is no file any more",
    ),
    "attribute": (
        lambda top: os.setxattr(top / "one.txt", "user.note", b"other"),
        "one.txt: its attribute user.note is another",
    ),
    "no attribute": (
        lambda top: os.removexattr(top / "one.txt", "user.note"),
        "one.txt: its attribute user.note is missing",
    ),
    "new attribute": (
        lambda top: os.setxattr(top / "deep", "user.new", b""),
        "deep: its attribute user.new was not recorded",
    ),
    "link": (lambda top: relink(top / "deep" / "er"), "deep/er/link: it leads elsewhere"),
}


def relink(folder: Path) -> None:
    link = folder / "link"
    before = link.lstat().st_mtime_ns

    def change() -> None:
        link.unlink()
        link.symlink_to("elsewhere")
        os.utime(link, ns=(before, before), follow_symlinks=False)

    kept(folder, change)


def compared(site: Protected, checkpoint: Any, target: Path) -> Any:
    resource = site.found(checkpoint).resources[0]
    with site.open_vault() as vault, vault.reading() as looking:
        snapshot = next(each for each in looking.snapshots() if each.id == resource.snapshot_id)
        return looking.compare(snapshot, str(target), Progress(), owners=True)


@pytest.mark.parametrize("what", sorted(CHANGES))
def test_each_difference_is_told_and_nothing_else(
    site: Protected, source: Path, tmp_path: Path, what: str
) -> None:
    (source / "one.txt").chmod(0o644)
    os.setxattr(source / "one.txt", "user.note", b"note")
    checkpoint, target = saved(site, source), tmp_path / "target"
    resource = site.found(checkpoint).resources[0]
    with site.open_vault() as vault:
        vault.restore_tree(resource.snapshot_id, resource.tree_id, str(source), str(target), RestoreOptions())
    assert compared(site, checkpoint, target).ok
    change, expected = CHANGES[what]
    change(target)
    report = compared(site, checkpoint, target)
    names = {line.partition(": ")[0] for line in report.differences}
    assert names == {expected.partition(": ")[0]}, report.differences
    assert any(line.startswith(expected) for line in report.differences), report.differences


@needs_root
@pytest.mark.parametrize("path", [".", "one.txt", "deep/er", "deep/er/link"])
def test_another_owner_is_told(site: Protected, source: Path, tmp_path: Path, path: str) -> None:
    checkpoint, target = saved(site, source), tmp_path / "target"
    shutil.copytree(source, target, symlinks=True)
    assert compared(site, checkpoint, target).ok
    os.lchown(target / path, 3, 4)
    assert compared(site, checkpoint, target).differences == (f"{path}: its owner is 3:4, not 0:0",)


# --- owners and attributes ---

CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
"""To serve low ports, as a program's attribute says it."""


@pytest.fixture
def of_others(source: Path) -> Path:
    """Entries that only who may do everything can make."""
    for path in (source, source / "one.txt", source / "deep" / "er" / "link"):
        os.lchown(path, 3, 4)
    os.setxattr(source / "one.txt", "security.capability", CAPABILITY)
    os.setxattr(source / "deep", "trusted.note", b"note")
    os.setxattr(source / "deep" / "two.bin", "user.note", b"note")
    os.mkfifo(source / "deep" / "queue")
    (source / "program").write_bytes(b"")
    (source / "program").chmod(0o4755)
    return source


def told_of(found: Any) -> tuple[int, int, list[str]]:
    (told,) = found.report["resources"].values()
    return told["compared"]["owners"], told["compared"]["attributes"], told["not_compared"]


@needs_root
def test_owners_and_attributes_are_compared_where_they_can_be_given(site: Protected, of_others: Path) -> None:
    found = drilled(site, saved(site, of_others))
    assert (found.status, found.errors, found.issues) == ("success", [], [])
    assert told_of(found) == (8, 3, [])


@needs_root
def test_it_is_said_where_they_cannot_be(site: Protected, of_others: Path) -> None:
    checkpoint = saved(site, of_others)
    with without_rights():
        found = drilled(site, checkpoint)
    assert (found.status, found.errors) == ("success", [])
    assert told_of(found) == (
        5,
        1,
        [
            "attribute security.capability of 1 entry: this worker has not the rights to give it",
            "attribute trusted.note of 1 entry: this worker has not the rights to give it",
            "owners of 3 entries: this worker has not the rights to give it",
        ],
    )


@needs_root
def test_what_the_file_system_does_not_take_is_no_difference(
    site: Protected, of_others: Path, tmp_path: Path
) -> None:
    """As for a worker that may give entries away, and not everything to them."""
    checkpoint, target = saved(site, of_others), tmp_path / "target"
    resource = site.found(checkpoint).resources[0]
    with site.open_vault() as vault:
        options = RestoreOptions(owners=True)
        vault.restore_tree(resource.snapshot_id, resource.tree_id, str(of_others), str(target), options)
    os.removexattr(target / "deep", "trusted.note")
    os.chown(target / "one.txt", 0, 0)
    with without_rights():
        report = compared(site, checkpoint, target)
    assert report.ok and report.not_compared == (
        "attribute security.capability of 1 entry: Operation not permitted",
        "attribute trusted.note of 1 entry: Operation not permitted",
        "owners of 1 entry: Operation not permitted",
    )


@needs_root
def test_what_its_owner_may_not_read_is_compared_without_rights(site: Protected, source: Path) -> None:
    """Modes that keep their owner out, and attributes and ACLs that would change if he let himself in."""
    for path in (source / "one.txt", source / "deep"):
        os.setxattr(path, "user.note", b"note")
        os.setxattr(path, "system.posix_acl_access", ACL_WITHOUT_OWNER)
    (source / "deep" / "two.bin").chmod(0o444)
    os.setxattr(source / "deep" / "two.bin", "user.note", b"note")
    for path in (source, *source.rglob("*")):
        os.lchown(path, NOBODY, NOBODY)
    checkpoint = saved(site, source)
    resource = site.found(checkpoint).resources[0]
    place = Path(tempfile.mkdtemp())
    place.chmod(0o777)
    try:
        with site.open_vault() as vault, vault.reading() as looking, as_nobody():
            target = str(place / "target")
            vault.restore_tree(resource.snapshot_id, resource.tree_id, str(source), target, RestoreOptions())
            snapshot = next(each for each in looking.snapshots() if each.id == resource.snapshot_id)
            good = looking.compare(snapshot, target)
            assert (good.differences, good.not_compared, good.owners, good.attributes) == ((), (), 6, 5)
            changed = place / "target" / "deep" / "two.bin"
            changed.chmod(0o600)
            os.removexattr(changed, "user.note")
            changed.chmod(0o444)
            bad = looking.compare(snapshot, target)
        assert "deep/two.bin: its attribute user.note is missing" in bad.differences
    finally:
        shutil.rmtree(place)


NOBODY = 65534
ACL_WITHOUT_OWNER = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, rights, who)
    for tag, rights, who in (
        (1, 0, 2**32 - 1),
        (2, 4, 9),
        (4, 4, 2**32 - 1),
        (16, 4, 2**32 - 1),
        (32, 0, 2**32 - 1),
    )
)
"""Somebody, and the group, may read; the owner may not."""


@contextmanager
def as_nobody() -> Iterator[None]:
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@needs_root
def test_set_id_bits_and_devices_stay_away_from_the_scratch_place(site: Protected, of_others: Path) -> None:
    os.mknod(of_others / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    seen = {}

    def say(context: Any, path: Path) -> list[Assertion]:
        seen.update({each.name: stat.S_IMODE(each.lstat().st_mode) for each in path.iterdir()})
        return []

    with_plugin(site, Asserting(say))
    assert drilled(site, saved(site, of_others)).status == "success"
    assert seen.pop("program") == 0o755 and "null" not in seen


class Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


@contextmanager
def without_rights() -> Iterator[None]:
    """This thread, and those that it begins, act without any capability but reading and writing."""
    libc, header, data = ctypes.CDLL(None, use_errno=True), Header(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(ctypes.byref(header), data) == 0
    before = list(data)
    data[0], data[3] = data[0] & 0b0110, 0
    assert libc.capset(ctypes.byref(header), data) == 0
    try:
        yield
    finally:
        data[0], data[3] = before[0], before[3]
        assert libc.capset(ctypes.byref(header), data) == 0


# --- what is said of the checkpoint ---


def test_an_older_proof_does_not_hide_a_newer_one(site: Protected, source: Path) -> None:
    checkpoint = saved(site, source)
    now = utc_now()
    late, early = site.verification(checkpoint, "restore"), site.verification(checkpoint, "restore")
    with site.database.write() as uow:
        verifications.prove(uow, uow.verifications.get(late.id), now, 2.0)
        row = uow.verifications.get(late.id)
        row.status, row.ended_at = "success", now
    with site.database.write() as uow:
        verifications.prove(uow, uow.verifications.get(early.id), now - timedelta(minutes=5), 9.0)
    found = site.found(checkpoint)
    assert (found.verified_at, found.proven_recovery_s) == (now, 2.0)


def test_a_drill_that_is_written_down_after_a_newer_check_still_tells_its_time(
    site: Protected, source: Path
) -> None:
    checkpoint = saved(site, source)
    now = utc_now()
    check, drill = site.verification(checkpoint, "data"), site.verification(checkpoint, "restore")
    with site.database.write() as uow:
        verifications.prove(uow, uow.verifications.get(check.id), now, None)
        verifications.prove(uow, uow.verifications.get(drill.id), now - timedelta(minutes=5), 9.0)
    found = site.found(checkpoint)
    assert (found.verified_at, found.verified_depth, found.proven_recovery_s) == (now, "data", 9.0)
