"""Restoring to real directories: into the target and nowhere else, and nothing half done."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from protectd.common.errors import Cancelled
from protectd.common.reports import RestoreOptions
from protectd.common.units import MIB
from protectd.vault.engine import VaultEngine
from protectd.vault.errors import SnapshotNotFound, TargetUnusable, VaultDamaged, VaultError
from protectd.vault.options import EngineOptions
from protectd.vault.pack import DATA, TREE
from protectd.vault.tree import EMPTY_TREE, Node, encode_node, encode_tree
from tests.fakes.engines import Recorder, Rig, kinds
from tests.fakes.tree import build_hard_tree, differences, tree
from tests.fakes.vault_kit import Restic, blob_id, directory_of, file_of, save_root, store_pack, tree_of

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make this")


@pytest.fixture(scope="module")
def engine() -> Iterator[VaultEngine]:
    made = VaultEngine(EngineOptions(node="test", workers=2))
    yield made
    made.close()


@pytest.fixture
def rig(engine: VaultEngine, tmp_path: Path) -> Rig:
    return Rig(engine, tmp_path)


def restore_tree(rig: Rig, tree_bytes: bytes, name: str = "restored", *, overwrite: bool = False) -> object:
    """Restore a handmade tree as the root of a snapshot."""
    snapshot_id = save_root(rig.repository, tree_bytes)
    options = RestoreOptions(overwrite=overwrite, trusted=True)
    return rig.session.restore_tree(snapshot_id, blob_id(tree_bytes).hex(), "/", str(rig.top / name), options)


# --- what comes back ---


def test_what_restic_wrote_is_restored(rig: Rig, restic: str) -> None:
    build_hard_tree(rig.source)
    (rig.source / "links" / "odd target").unlink()  # this version of restic does not keep its bytes
    Restic(restic, rig.top / "vault")("backup", str(rig.source))
    (snapshot,) = rig.session.snapshots()
    report = rig.session.restore_tree(
        snapshot.id, snapshot.tree, str(rig.source), str(rig.top / "restored"), RestoreOptions(trusted=True)
    )
    assert report.issues == ()
    assert differences(tree(rig.source), tree(rig.top / "restored")) == []


def test_a_tree_comes_back_in_place(rig: Rig) -> None:
    build_hard_tree(rig.source)
    before = tree(rig.source)
    saved = rig.save()
    for name in ("sizes", "links"):
        for path in (rig.source / name).rglob("*"):
            if not path.is_dir() or path.is_symlink():
                path.unlink()
    (rig.source / "names" / "plain.txt").write_bytes(b"overwritten")
    report = rig.restore(saved, "source", overwrite=True)
    assert report.issues == ()
    assert differences(before, tree(rig.source)) == []


def test_a_destroyed_directory_is_made_again(rig: Rig) -> None:
    build_hard_tree(rig.source)
    before = tree(rig.source)
    saved = rig.save()
    os.rename(rig.source, rig.top / "away")
    assert rig.restore(saved, "source").issues == ()
    assert differences(before, tree(rig.source)) == []


def test_the_report_counts_what_was_written(rig: Rig) -> None:
    rig.file("a/one", b"12345")
    rig.file("two", os.urandom(2 * MIB))
    (rig.source / "link").symlink_to("two")
    report = rig.restore(rig.save())
    assert (report.files, report.directories, report.others) == (2, 2, 1)
    assert report.written_bytes == 5 + 2 * MIB


def test_missing_parents_of_the_target_are_made_for_their_owner_alone(rig: Rig) -> None:
    rig.file("file")
    rig.restore(rig.save(), "new/deeper/restored")
    assert (rig.top / "new/deeper/restored/file").read_bytes() == b"content"
    assert stat.S_IMODE((rig.top / "new/deeper").stat().st_mode) == 0o700


def test_a_target_with_an_acl_for_what_is_made_in_it_does_not_change_what_is_restored(rig: Rig) -> None:
    build_hard_tree(rig.source)
    target = rig.top / "restored"
    target.mkdir()
    entries = [
        (1, 7, 0xFFFFFFFF),
        (2, 7, 12345),
        (4, 7, 0xFFFFFFFF),
        (16, 7, 0xFFFFFFFF),
        (32, 5, 0xFFFFFFFF),
    ]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(target, "system.posix_acl_default", acl)
    except OSError:
        pytest.skip("this file system has no ACLs")
    assert rig.restore(rig.save()).issues == ()
    assert differences(tree(rig.source), tree(target)) == []


# --- the target ---


@pytest.mark.parametrize("kind", ["not empty", "file", "link", "below a file", "below a link"])
def test_a_target_that_cannot_be_used_is_refused_and_untouched(rig: Rig, kind: str) -> None:
    rig.file("file")
    saved = rig.save()
    target = rig.top / "restored"
    if kind == "not empty":
        target.mkdir()
        (target / "there").write_bytes(b"mine")
    elif kind.endswith("link"):
        (rig.top / "elsewhere").mkdir()
        target.symlink_to("elsewhere")
    else:
        target.write_bytes(b"mine")
    with pytest.raises(TargetUnusable):
        rig.restore(saved, "restored/below" if kind.startswith("below") else "restored")
    if kind == "not empty":
        assert [path.name for path in target.iterdir()] == ["there"]
    elif kind.endswith("link"):
        assert list((rig.top / "elsewhere").iterdir()) == []
    else:
        assert target.read_bytes() == b"mine"
    assert rig.locks() == []


def test_with_overwrite_other_entries_stay(rig: Rig) -> None:
    rig.file("d/file", b"saved")
    saved = rig.save()
    target = rig.top / "restored"
    (target / "d").mkdir(parents=True)
    (target / "d" / "file").write_bytes(b"old")
    (target / "d" / "other").write_bytes(b"mine")
    assert rig.restore(saved, overwrite=True).issues == ()
    assert (target / "d" / "file").read_bytes() == b"saved"
    assert (target / "d" / "other").read_bytes() == b"mine"
    assert sorted(path.name for path in (target / "d").iterdir()) == ["file", "other"]


def test_a_link_inside_the_target_is_replaced_not_followed(rig: Rig) -> None:
    rig.file("folder/file", b"saved")
    rig.file("large", os.urandom(3 * MIB))
    rig.file("small", b"saved")
    saved = rig.save()
    outside, target = rig.top / "outside", rig.top / "restored"
    outside.mkdir()
    for name in ("file", "large", "small"):
        (outside / name).write_bytes(b"not yours")
    target.mkdir()
    (target / "folder").symlink_to(outside)
    (target / "large").symlink_to(outside / "large")
    (target / "small").symlink_to(outside / "small")
    assert rig.restore(saved, overwrite=True).issues == ()
    assert differences(tree(rig.source), tree(target)) == []
    assert {path.read_bytes() for path in outside.iterdir()} == {b"not yours"}


def test_entries_of_other_kinds_in_the_way_are_replaced_but_a_full_directory_never(rig: Rig) -> None:
    rig.file("was directory", b"saved")
    rig.file("was full", b"saved")
    rig.file("was fifo", b"saved")
    rig.file("folder/inside", b"saved")
    (rig.source / "link").symlink_to("folder")
    saved = rig.save()
    target = rig.top / "restored"
    (target / "was directory").mkdir(parents=True)
    (target / "was full").mkdir()
    (target / "was full" / "precious").write_bytes(b"mine")
    os.mkfifo(target / "was fifo")
    (target / "folder").write_bytes(b"was a file")
    (target / "link").write_bytes(b"was a file")
    report = rig.restore(saved, overwrite=True)
    assert kinds(report.issues) == {"was full": "refused"}
    assert (target / "was full" / "precious").read_bytes() == b"mine"
    assert (target / "was directory").read_bytes() == (target / "was fifo").read_bytes() == b"saved"
    assert (target / "folder" / "inside").read_bytes() == b"saved"
    assert os.readlink(target / "link") == "folder"
    assert not list(target.rglob(".protectd-*"))


def test_a_file_that_is_open_elsewhere_is_not_written_into(rig: Rig) -> None:
    rig.file("file", b"saved")
    saved = rig.save()
    target = rig.top / "restored"
    target.mkdir()
    (target / "file").write_bytes(b"before")
    with (target / "file").open("rb") as file:
        rig.restore(saved, overwrite=True)
        assert file.read() == b"before"
    assert (target / "file").read_bytes() == b"saved"


# --- who may have what ---


@needs_root
def test_without_trust_nobody_gains_rights(rig: Rig) -> None:
    build_hard_tree(rig.source)
    saved = rig.save()
    target = rig.top / "restored"
    target.mkdir()
    os.chown(target, 12345, 54321)
    report = rig.restore(saved, trusted=False)
    found = tree(target)
    assert {(entry.uid, entry.gid) for entry in found.values()} == {(12345, 54321)}
    assert not [name for name, entry in found.items() if entry.mode & 0o6000]
    assert not [name for name, entry in found.items() if entry.kind in "bc"]
    assert not [
        x for entry in found.values() for x, _ in entry.xattrs if not x.startswith(("user.", "system."))
    ]
    assert kinds(report.issues) in ({"null": "withheld", "loop": "withheld"}, {})
    assert found[b"sizes/random-9000001"].content == tree(rig.source)[b"sizes/random-9000001"].content


# --- what cannot be trusted ---


def test_another_tree_than_the_one_that_was_recorded_is_not_restored(rig: Rig) -> None:
    rig.file("file")
    saved = rig.save()
    with pytest.raises(VaultDamaged):
        rig.session.restore_tree(
            saved.snapshot_id, "ab" * 32, str(rig.source), str(rig.top / "restored"), RestoreOptions()
        )
    assert not (rig.top / "restored").exists()


def test_a_snapshot_that_is_gone_is_named(rig: Rig) -> None:
    with pytest.raises(SnapshotNotFound):
        rig.session.restore_tree("cd" * 32, "ab" * 32, "/", str(rig.top / "restored"), RestoreOptions())


def test_a_source_that_was_not_saved_is_refused(rig: Rig) -> None:
    saved = rig.save()
    with pytest.raises(VaultError):
        rig.session.restore_tree(
            saved.snapshot_id, saved.tree_id, "/elsewhere", str(rig.top / "restored"), RestoreOptions()
        )


@pytest.mark.parametrize("name", [b"..", b".", b"", b"a/b", b"../../escaped", b"/etc/escaped"])
def test_names_that_lead_out_of_the_target_are_refused(rig: Rig, name: bytes) -> None:
    good = tree_of(file_of(b"good", b"data"))
    bad = encode_tree([encode_node(file_of(b"NAME", b"data")).replace(b"NAME", name)])
    root = tree_of(directory_of(b"bad", bad), directory_of(b"good", good))
    store_pack(rig.repository, [(DATA, b"data")])
    store_pack(rig.repository, [(TREE, each) for each in (good, bad, root)])
    report = restore_tree(rig, root)
    assert kinds(report.issues) == {"bad": "damaged"}
    assert (rig.top / "restored" / "good" / "good").read_bytes() == b"data"
    assert list((rig.top / "restored" / "bad").iterdir()) == []
    assert not (rig.top / "escaped").exists() and not (rig.top / "restored" / "escaped").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_and_a_directory_of_the_same_name_do_not_open_a_way_out(rig: Rig, overwrite: bool) -> None:
    outside = rig.top / "outside"
    outside.mkdir()
    inner = tree_of(file_of(b"planted", b"data"), file_of(b"twice", b"data", b"data"))
    link = Node(b"name", "symlink", stat.S_IFLNK | 0o777, 0, 0, 0, link_target=os.fsencode(outside))
    for order in ([link, directory_of(b"name", inner)], [directory_of(b"name", inner), link]):
        root = tree_of(*order)
        store_pack(rig.repository, [(DATA, b"data")])
        store_pack(rig.repository, [(TREE, each) for each in (inner, root)])
        restore_tree(rig, root, f"restored{len(list(rig.top.iterdir()))}", overwrite=overwrite)
        assert list(outside.iterdir()) == []


def test_a_size_that_is_a_lie_does_not_make_the_file_so(rig: Rig) -> None:
    root = tree_of(file_of(b"file", b"one", b"two", size=1 << 60))
    store_pack(rig.repository, [(DATA, b"one"), (DATA, b"two")])
    store_pack(rig.repository, [(TREE, root)])
    restore_tree(rig, root)
    assert (rig.top / "restored" / "file").read_bytes() == b"onetwo"


def test_an_empty_snapshot_is_restored_to_an_empty_directory(rig: Rig) -> None:
    store_pack(rig.repository, [(TREE, EMPTY_TREE)])
    restore_tree(rig, EMPTY_TREE)
    assert list((rig.top / "restored").iterdir()) == []


# --- how it runs ---


def test_a_cancelled_restore_leaves_no_lock_and_no_unfinished_file(rig: Rig) -> None:
    for number in range(6):
        rig.file(f"f{number}", os.urandom(30 * MIB))
    saved = rig.save()
    with pytest.raises(Cancelled):
        rig.session.restore_tree(
            saved.snapshot_id,
            saved.tree_id,
            str(rig.source),
            str(rig.top / "restored"),
            RestoreOptions(),
            Recorder(stop_when=lambda counts: counts.done_bytes > 0),
        )
    assert rig.locks() == []
    for path in (rig.top / "restored").iterdir():
        assert path.read_bytes() == (rig.source / path.name).read_bytes()


def test_many_names_of_one_content_are_all_written(rig: Rig) -> None:
    for number in range(700):
        rig.file(f"f{number}", b"the same")
    saved = rig.save()
    assert rig.restore(saved).files == 700
    assert differences(tree(rig.source), tree(rig.top / "restored")) == []


def test_verification_can_be_left_out(rig: Rig) -> None:
    build_hard_tree(rig.source)
    saved = rig.save()
    options = RestoreOptions(trusted=True, verify=False)
    rig.session.restore_tree(
        saved.snapshot_id, saved.tree_id, str(rig.source), str(rig.top / "restored"), options
    )
    assert differences(tree(rig.source), tree(rig.top / "restored")) == []
