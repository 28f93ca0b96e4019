"""Saving real directories: everything comes along, nothing is read twice, and restic agrees."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from protectd.common.errors import Cancelled
from protectd.common.units import KIB, MIB
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.plugin.banks.memory import MemoryBank
from protectd.plugin.base import ResourceUnavailable
from protectd.plugin.wrappers.options import wrapped
from protectd.vault.check import check
from protectd.vault.engine import VaultEngine
from protectd.vault.options import EngineOptions
from protectd.vault.pack import DATA, TREE
from protectd.vault.previous import PreviousFolder
from protectd.vault.repository import INDEX, BlobReader
from protectd.vault.save_root import open_root
from protectd.vault.tree import Node, decode_tree
from tests.fakes.engines import Recorder, Rig, kinds
from tests.fakes.faults import FaultyBank
from tests.fakes.tree import build_hard_tree, differences, tree
from tests.fakes.vault_kit import Restic


@pytest.fixture(scope="module")
def engine() -> Iterator[VaultEngine]:
    made = VaultEngine(EngineOptions(node="test", workers=2))
    yield made
    made.close()


@pytest.fixture
def rig(engine: VaultEngine, tmp_path: Path) -> Rig:
    return Rig(engine, tmp_path)


@pytest.fixture
def program(restic: str, tmp_path: Path) -> Restic:
    return Restic(restic, tmp_path / "vault")


def saved_tree(rig: Rig, root_id: str) -> bytes:
    """Tree id of the source directory. Those above it are in the snapshot too, and may change at any time."""
    reader = BlobReader(rig.repository, rig.repository.load_index())
    found = bytes.fromhex(root_id)
    for name in rig.source.parts[1:]:
        inner = {node.name: node for node in decode_tree(reader.load(TREE, found))}
        found = inner[os.fsencode(name)].subtree or b""
    return found


def nodes(rig: Rig, root_id: str) -> dict[bytes, Node]:
    """Nodes of the saved directory by name."""
    reader = BlobReader(rig.repository, rig.repository.load_index())
    return {node.name: node for node in decode_tree(reader.load(TREE, saved_tree(rig, root_id)))}


# --- all of it ---


def test_every_kind_of_entry_is_saved_and_restored(rig: Rig) -> None:
    build_hard_tree(rig.source)
    saved = rig.save()
    assert saved.issue_count == 0
    assert rig.restore(saved).issues == ()
    assert differences(tree(rig.source), tree(rig.top / "restored")) == []


def test_the_same_holds_for_a_bank_that_only_this_process_reaches(
    engine: VaultEngine, tmp_path: Path
) -> None:
    rig = Rig(engine, tmp_path, MemoryBank())
    build_hard_tree(rig.source)
    saved = rig.save()
    assert rig.restore(saved).issues == ()
    assert differences(tree(rig.source), tree(rig.top / "restored")) == []
    assert rig.session.check(None, read_data=True).ok


def test_restic_checks_lists_and_restores_what_we_saved(rig: Rig, program: Restic) -> None:
    build_hard_tree(rig.source)
    (rig.source / "links" / "odd target").unlink()  # this version of restic does not keep its bytes
    saved = rig.save()
    program.check()
    listed = program("ls", saved.snapshot_id)
    assert "deep/level" in listed
    program("restore", saved.snapshot_id, "--target", str(rig.top / "theirs"))
    theirs = Path(f"{rig.top}/theirs{rig.source}")
    assert differences(tree(rig.source), tree(theirs)) == []


def test_restic_finds_nothing_to_add_after_us(rig: Rig, program: Restic) -> None:
    build_hard_tree(rig.source / "inner")
    (rig.source / "inner" / "links" / "odd target").unlink()  # this version of restic does not keep its bytes
    saved = rig.save()
    program("backup", "--host", "protectd-test", str(rig.source))
    theirs = rig.session.snapshots()[-1]
    assert theirs.parent == saved.snapshot_id
    assert saved_tree(rig, theirs.tree) == saved_tree(rig, saved.tree_id)


def test_nothing_is_read_again_after_restic(rig: Rig, program: Restic) -> None:
    build_hard_tree(rig.source)
    program("backup", "--host", "protectd-test", str(rig.source))
    saved = rig.save(parent=rig.session.snapshots()[-1].id)
    assert saved.read_bytes == 0
    assert saved.files_unmodified == saved.files


class ResticInIndia(Restic):
    """Its times are written with +05:30."""

    def __init__(self, program: str, repository: Path) -> None:
        super().__init__(program, repository)
        self._environment["TZ"] = "Asia/Kolkata"


def test_nothing_is_read_again_after_restic_in_another_time_zone(rig: Rig, restic: str) -> None:
    build_hard_tree(rig.source)
    program = ResticInIndia(restic, rig.top / "vault")
    program("backup", "--host", "protectd-test", str(rig.source))
    saved = rig.save()
    assert saved.read_bytes == 0


# --- again, and what changed ---


def test_an_unchanged_tree_is_not_read_again_and_adds_nothing(rig: Rig) -> None:
    build_hard_tree(rig.source)
    first, second = rig.save(), rig.save()
    assert saved_tree(rig, second.tree_id) == saved_tree(rig, first.tree_id)
    assert second.read_bytes == 0
    assert second.added_bytes < 10 * KIB  # directories above the source may have changed
    assert second.files_unmodified == second.files == first.files
    assert second.logical_bytes == first.logical_bytes


def test_only_what_changed_is_read(rig: Rig) -> None:
    for number in range(50):
        rig.file(f"d{number % 5}/f{number}", b"%d" % number * 100)
    rig.save()
    rig.file("d1/f1", b"changed now")
    saved = rig.save()
    assert saved.read_bytes == len("changed now")
    assert saved.files_unmodified == 49
    rig.restore(saved)
    assert differences(tree(rig.source), tree(rig.top / "restored")) == []


def test_changes_deep_in_a_tree_are_found_beside_all_that_is_unchanged(rig: Rig) -> None:
    for number in range(400):
        rig.file(f"{number % 4}/{number % 20}/{number % 100}/f{number}", b"%d" % number)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(rig.source / "2" / "socket"))
    first = rig.save()
    assert kinds(rig.save().issues) == {"socket": "socket"}
    (rig.source / "0" / "4" / "64" / "f64").write_bytes(b"changed")
    (rig.source / "1" / "1" / "new" / "deep").mkdir(parents=True)
    rig.file("1/1/new/deep/file", b"new")
    (rig.source / "2" / "2" / "22" / "f22").unlink()
    (rig.source / "3" / "3").rename(rig.source / "3" / "moved")
    (rig.source / "3" / "7").chmod(0o700)
    saved = rig.save()
    assert saved.files == first.files
    assert saved.read_bytes == len("changed") + len("new") + len("".join(_moved()))
    assert kinds(saved.issues) == {"socket": "socket"}
    (rig.source / "2" / "socket").unlink()
    rig.restore(saved)
    (rig.source / "2").touch()
    (rig.top / "restored" / "2").touch()
    left, right = tree(rig.source), tree(rig.top / "restored")
    left.pop(b"2"), right.pop(b"2")
    assert differences(left, right) == []
    report = rig.session.check([saved.snapshot_id], read_data=True)
    assert report.ok, report.errors


def _moved() -> list[str]:
    return [str(number) for number in range(400) if number % 20 == 3]


def test_a_directory_that_took_the_place_of_another_is_looked_into(rig: Rig) -> None:
    rig.file("folder/file", b"one")
    rig.save()
    (rig.source / "folder").rename(rig.top / "away")
    rig.file("folder/file", b"two")
    saved = rig.save()
    rig.restore(saved)
    assert (rig.top / "restored/folder/file").read_bytes() == b"two"


def test_what_is_excluded_the_second_time_is_gone_from_an_unchanged_tree(rig: Rig) -> None:
    rig.file("keep/file")
    rig.file("leave/deep/file")
    rig.save()
    saved = rig.save(excludes=(f"{rig.source}/leave/deep",))
    assert (saved.files, saved.directories) == (1, 3)


def test_a_change_of_mode_owner_or_attribute_is_saved_without_new_data(rig: Rig) -> None:
    file = rig.file("file", os.urandom(5000))
    rig.save()
    file.chmod(0o640)
    saved = rig.save()
    assert saved.added_bytes < 5000
    rig.restore(saved)
    assert (rig.top / "restored" / "file").stat().st_mode & 0o777 == 0o640


def test_a_file_with_its_old_time_and_size_put_back_is_still_read(rig: Rig) -> None:
    file = rig.file("file", b"before")
    status = file.stat()
    rig.save()
    file.write_bytes(b"after!")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert rig.save().read_bytes == 6


def test_a_parent_that_is_gone_is_replaced_by_the_newest_of_the_path(rig: Rig) -> None:
    rig.file("file")
    rig.save()
    assert rig.save(parent="0" * 64).read_bytes == 0


def test_blobs_that_are_missing_from_the_index_are_read_again(rig: Rig) -> None:
    rig.file("file", os.urandom(3 * MIB))
    rig.save()
    for item in list(rig.bank.list("index")):
        rig.bank.delete(item.key)
    saved = rig.save()
    assert saved.read_bytes == 3 * MIB
    assert rig.session.check([saved.snapshot_id], read_data=True).ok


def test_equal_content_is_stored_once_across_workers(rig: Rig) -> None:
    noise = os.urandom(3 * MIB)
    for number in range(20):
        rig.file(f"large{number}", noise)
        rig.file(f"small{number}", noise[:1000])
    saved = rig.save()
    assert saved.added_bytes < 2.5 * len(noise)
    assert saved.logical_bytes == 20 * (3 * MIB + 1000)


def test_one_small_pack_of_a_kind_is_left_at_most(rig: Rig) -> None:
    for number in range(2000):
        rig.file(f"d{number % 20}/f{number}", os.urandom(3000))
    rig.save()
    index = rig.repository.load_index()
    small = [
        entries[0].kind
        for _, entries in index.packs().items()
        if sum(entry.length for entry in entries) < 4 * MIB
    ]
    assert sorted(small) in ([TREE], [DATA, TREE])


def test_a_file_of_several_stretches_is_whole(rig: Rig) -> None:
    with rig.file("huge", b"").open("wb") as file:
        for number in range(150):
            file.write(number.to_bytes(4, "big") * (MIB // 4))
        file.write(b"end")
    saved = rig.save()
    assert saved.read_bytes == 150 * MIB + 3
    rig.restore(saved)
    assert differences(tree(rig.source), tree(rig.top / "restored")) == []


def test_holes_are_not_read_and_come_back_as_holes(rig: Rig) -> None:
    with rig.file("sparse", b"").open("r+b") as file:
        file.write(b"head")
        file.seek(500 * MIB + 12_345)
        file.write(b"middle")
        file.truncate(700 * MIB)
    saved = rig.save()
    assert saved.added_bytes < 20 * MIB
    rig.restore(saved)
    copy = rig.top / "restored" / "sparse"
    assert copy.stat().st_size == 700 * MIB
    assert copy.stat().st_blocks * 512 < 5 * MIB
    with copy.open("rb") as file:
        file.seek(500 * MIB + 12_345)
        assert file.read(6) == b"middle"


def test_hard_links_are_read_once(rig: Rig) -> None:
    first = rig.file("a", os.urandom(MIB))
    os.link(first, rig.source / "b")
    os.link(first, rig.source / "c")
    saved = rig.save()
    assert (saved.files, saved.read_bytes) == (3, MIB)


def test_an_empty_directory_is_saved(rig: Rig) -> None:
    saved = rig.save()
    assert (saved.files, saved.directories) == (0, 1)
    rig.restore(saved)
    assert list((rig.top / "restored").iterdir()) == []


# --- trouble in the source ---


@pytest.mark.parametrize("kind", ["missing", "file", "link", "behind a link", "relative", "nul", "dots"])
def test_a_path_that_is_no_directory_is_refused(rig: Rig, kind: str) -> None:
    rig.file("inner/file")
    rig.file("file")
    (rig.source / "link").symlink_to(rig.source)
    path = {
        "missing": f"{rig.source}/nowhere",
        "file": f"{rig.source}/file",
        "link": f"{rig.source}/link",
        "behind a link": f"{rig.source}/link/inner",
        "relative": "source",
        "nul": f"{rig.source}\0",
        "dots": f"{rig.source}/../source",
    }[kind]
    with pytest.raises(ResourceUnavailable):
        rig.session.save_tree(path, tags=[])
    assert rig.locks() == []
    assert rig.session.snapshots() == []


def test_a_directory_that_goes_before_it_is_scanned_is_said_to_be_away(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(ResourceUnavailable) as raised:
        open_root(bytes(gone), None, lambda tree: PreviousFolder({}))
    assert str(gone) in str(raised.value)


def test_a_socket_is_reported_and_left_out(rig: Rig) -> None:
    rig.file("file")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(rig.source / "socket"))
        saved = rig.save()
    assert kinds(saved.issues) == {"socket": "socket"}
    assert list(nodes(rig, saved.tree_id)) == [b"file"]


class SlowFiles:
    """Large files that keep the workers busy, so that others can change between scan and reading."""

    def __init__(self, rig: Rig) -> None:
        for number in range(2):
            with rig.file(f"0-large{number}", b"").open("wb") as file:
                file.truncate(0)
                for _ in range(40):
                    file.write(os.urandom(MIB))


def test_files_that_vanish_or_change_are_reported_and_the_rest_is_saved(rig: Rig) -> None:
    SlowFiles(rig)
    for number in range(3000):
        rig.file(f"many/{number:04}", b"here")
    changed = threading.Thread(target=_disturb, args=(rig,))
    changed.start()
    saved = rig.save()
    changed.join()
    report = rig.session.check([saved.snapshot_id], read_data=True)
    assert report.ok, report.errors
    assert {issue.kind for issue in saved.issues} <= {"vanished", "changed"}
    assert rig.restore(saved).issues == ()


def _disturb(rig: Rig) -> None:
    for number in range(2999, 0, -7):
        path = rig.source / "many" / f"{number:04}"
        if number % 2:
            path.unlink()
        else:
            path.write_bytes(b"something else")
        time.sleep(0.001)


WITHOUT_RIGHTS = """
import sys
from pathlib import Path
from protectd.vault.engine import VaultEngine
from tests.fakes.engines import Rig, kinds
engine = VaultEngine()
rig = Rig(engine, Path(sys.argv[1]))
rig.file("closed").chmod(0)
rig.file("open")
(rig.source / "directory").mkdir(mode=0)
saved = rig.save()
(rig.source / "directory").chmod(0o700)
restored = rig.restore(saved, trusted=False)
print(sorted(kinds(saved.issues).items()), saved.files, restored.files, restored.issue_count)
engine.close()
"""

DROP_RIGHTS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
"""Root that modes hold back: another user might not reach this interpreter."""


def test_what_may_not_be_read_is_reported_to_one_whom_modes_hold_back(tmp_path: Path) -> None:
    drop = DROP_RIGHTS if os.geteuid() == 0 else []
    done = subprocess.run(
        [*drop, sys.executable, "-c", WITHOUT_RIGHTS, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[('closed', 'unreadable'), ('directory', 'unreadable')] 1 1 0\n", done.stderr


def test_excluded_paths_stay_out_with_all_below_them(rig: Rig) -> None:
    for name in ("keep/file", "leave/file", "keep/leave/file", "leave me"):
        rig.file(name)
    saved = rig.save(
        excludes=(f"{rig.source}/leave", f"{rig.source}/keep/leave/", f"{rig.source}/leave me", "/none")
    )
    assert saved.files == 1
    rig.restore(saved)
    assert sorted(p.name for p in (rig.top / "restored").rglob("*")) == ["file", "keep"]


STAGES = (".protectd-0123456789abcdef.new", ".protectd-fedcba9876543210.whole")
LIKE_STAGES = (
    ".protectd-0123456789abcdef",
    ".protectd-0123456789ABCDEF.new",
    ".protectd-0123456789abcde.new",
    ".protectd-0123456789abcdef.newer",
    "x.protectd-0123456789abcdef.new",
    ".protectd-0123456789abcdef.new\n",
)


def with_stages(rig: Rig) -> None:
    """What restores have left at two depths, and what only looks so."""
    for name in STAGES:
        rig.file(f"{name}/below/file")
        rig.file(f"deep/deeper/{name}/file")
    for name in LIKE_STAGES:
        rig.file(f"deep/{name}/file")
    rig.file(f"deep/deeper/file/{STAGES[0]}")


def test_stages_of_restores_stay_out_and_what_only_looks_like_one_is_saved(rig: Rig) -> None:
    with_stages(rig)
    saved = rig.save()
    assert (saved.files, saved.issue_count) == (len(LIKE_STAGES) + 1, 0)
    rig.restore(saved)
    found = [str(path.relative_to(rig.top / "restored")) for path in (rig.top / "restored").rglob("*")]
    files = {f"deep/{name}/file" for name in LIKE_STAGES} | {f"deep/deeper/file/{STAGES[0]}"}
    folders = {f"deep/{name}" for name in LIKE_STAGES} | {"deep", "deep/deeper", "deep/deeper/file"}
    assert set(found) == files | folders


def test_a_stage_that_an_earlier_snapshot_has_is_gone_from_the_next(rig: Rig, program: Restic) -> None:
    with_stages(rig)
    program("backup", "--host", "protectd-test", str(rig.source))
    saved = rig.save(parent=rig.session.snapshots()[-1].id)
    assert (saved.files, saved.read_bytes) == (len(LIKE_STAGES) + 1, 0)


def test_a_directory_deeper_than_the_longest_path_is_saved(rig: Rig) -> None:
    folder = os.open(rig.source, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=folder)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    descriptor = os.open("full", os.O_CREAT | os.O_WRONLY, dir_fd=folder)
    os.write(descriptor, b"at the bottom")
    os.close(descriptor)
    saved = rig.save()
    assert (saved.files, saved.directories, saved.issue_count) == (2, 26, 0)
    restored = rig.restore(saved)
    assert (restored.files, restored.directories, restored.issue_count) == (2, 26, 0)


# --- how it runs ---


def test_progress_knows_the_total_and_ends_at_it(engine: VaultEngine, tmp_path: Path) -> None:
    slow = wrapped(FilesystemBank(tmp_path / "vault"), {"upload_kib_s": "51200"})  # several pictures long
    rig = Rig(engine, tmp_path, slow)
    for number in range(8):
        rig.file(f"f{number}", os.urandom(20 * MIB))
    recorder = Recorder()
    rig.save(progress=recorder)
    assert [each for each in recorder.pictures if each.total_bytes == 160 * MIB]
    done = [each.done_bytes for each in recorder.pictures]
    assert done == sorted(done) and done[-1] <= 160 * MIB


def test_a_cancelled_save_leaves_neither_lock_nor_snapshot_nor_half_a_file(rig: Rig) -> None:
    for number in range(4):
        rig.file(f"f{number}", os.urandom(60 * MIB))
    with pytest.raises(Cancelled):
        rig.save(progress=Recorder(stop_when=lambda counts: True))
    assert rig.locks() == []
    assert rig.session.snapshots() == []
    assert list((rig.top / "vault").rglob("*-tmp-*")) == []
    saved = rig.save()
    assert rig.session.check([saved.snapshot_id], read_data=True).ok


def test_two_saves_at_once_into_one_vault_are_both_whole(engine: VaultEngine, rig: Rig) -> None:
    for number in range(300):
        rig.file(f"d{number % 7}/f{number}", os.urandom(20_000))
    reports = []
    threads = [threading.Thread(target=lambda: reports.append(rig.save())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({report.snapshot_id for report in reports}) == 2
    assert len({saved_tree(rig, report.tree_id) for report in reports}) == 1
    assert check(rig.repository, read_data=True).errors == ()


def test_others_that_add_all_the_time_do_not_keep_a_save_from_its_end(tmp_path: Path) -> None:
    """Each of them stores an index file while it looks what there is."""
    bank = FaultyBank()
    rig = Rig(VaultEngine(EngineOptions(node="test", workers=1)), tmp_path, bank)
    rig.file("file")
    looks = itertools.count()

    def add(call: str, key: str) -> None:
        if (call, key) == ("list", INDEX):
            assert next(looks) < 20, "it looks again and again"
            rig.repository.save_unpacked(INDEX, b'{"packs":[]}')

    bank.fault = add
    saved = rig.save()
    bank.fault = lambda call, key: None
    assert rig.session.check([saved.snapshot_id], read_data=True).ok


def test_the_tags_are_on_the_snapshot(rig: Rig) -> None:
    saved = rig.save()
    (snapshot,) = rig.session.snapshots()
    assert snapshot.id == saved.snapshot_id
    assert snapshot.tags == ("protectd:test=1",)
    assert snapshot.paths == (str(rig.source),)
    assert snapshot.tree == saved.tree_id


def test_what_is_forgotten_is_given_back_by_a_prune(rig: Rig) -> None:
    rig.file("file", os.urandom(5 * MIB))
    saved = rig.save()
    rig.file("file", os.urandom(300 * KIB))
    rig.save()
    rig.session.forget([saved.snapshot_id])
    assert rig.session.prune().freed_bytes > 4 * MIB
    assert rig.session.check(None, read_data=True).ok
