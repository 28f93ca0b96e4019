"""Restoring chosen paths: these, the directories that lead to them, and nothing else is touched."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from protectd.common.reports import RestoreOptions, RestoreReport, SaveReport
from protectd.vault.chosen import EVERYTHING, Chosen
from protectd.vault.engine import VaultEngine
from protectd.vault.errors import PathNotInSnapshot
from protectd.vault.options import EngineOptions
from tests.fakes.engines import Rig
from tests.fakes.tree import build_hard_tree, differences, tree
from tests.fakes.vault_kit import Restic


@pytest.fixture(scope="module")
def engine() -> Iterator[VaultEngine]:
    made = VaultEngine(EngineOptions(node="test", workers=2))
    yield made
    made.close()


@pytest.fixture
def rig(engine: VaultEngine, tmp_path: Path) -> Rig:
    made = Rig(engine, tmp_path)
    for name in ("a/one", "a/two", "a/deep/three", "b/four", "five"):
        made.file(name, name.encode())
    return made


def restore(
    rig: Rig, saved: SaveReport, *paths: str, name: str = "restored", overwrite: bool = False
) -> RestoreReport:
    options = RestoreOptions(overwrite=overwrite, trusted=True, paths=paths)
    source, target = str(rig.source), str(rig.top / name)
    return rig.session.restore_tree(saved.snapshot_id, saved.tree_id, source, target, options)


def files(top: Path) -> dict[str, bytes]:
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def test_a_file_comes_with_the_directories_that_lead_to_it(rig: Rig) -> None:
    os.chmod(rig.source / "a", 0o751)
    os.utime(rig.source / "a", (5, 5))
    report = restore(rig, rig.save(), "a/deep/three")
    assert files(rig.top / "restored") == {"a/deep/three": b"a/deep/three"}
    assert (report.files, report.directories, report.issues) == (1, 3, ())
    status = os.stat(rig.top / "restored/a")
    assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o751, 5)


def test_a_directory_comes_with_all_below_it(rig: Rig) -> None:
    restore(rig, rig.save(), "a")
    assert files(rig.top / "restored") == {
        "a/one": b"a/one",
        "a/two": b"a/two",
        "a/deep/three": b"a/deep/three",
    }


def test_several_paths_may_overlap_and_be_absolute(rig: Rig) -> None:
    restore(rig, rig.save(), "a/deep", "a/deep/three", f"{rig.source}/five", "./b//four/")
    assert set(files(rig.top / "restored")) == {"a/deep/three", "five", "b/four"}


@pytest.mark.parametrize("path", ["", ".", "/", None])
def test_the_directory_itself_is_everything(rig: Rig, path: str | None) -> None:
    path = str(rig.source) if path in ("/", None) else path
    restore(rig, rig.save(), path)
    assert files(rig.top / "restored") == files(rig.source)


def test_a_hard_tree_comes_back_part_by_part(rig: Rig) -> None:
    build_hard_tree(rig.source)
    saved = rig.save()
    for name in sorted(os.listdir(rig.source)):
        report = restore(rig, saved, name, name="parts", overwrite=True)
        assert report.issues == ()
    os.utime(rig.top / "parts", ns=(0, rig.source.stat().st_mtime_ns))
    assert differences(tree(rig.source), tree(rig.top / "parts")) == []


def test_a_further_name_alone_brings_the_content(rig: Rig) -> None:
    os.link(rig.source / "a/one", rig.source / "b/link")
    report = restore(rig, rig.save(), "b/link")
    assert files(rig.top / "restored") == {"b/link": b"a/one"} and report.files == 1


def test_names_that_are_no_utf8_are_chosen(rig: Rig) -> None:
    odd = os.fsencode(rig.source) + b"/b/\xff\xfe\n"
    with open(odd, "wb") as file:
        file.write(b"odd")
    restore(rig, rig.save(), os.fsdecode(b"b/\xff\xfe\n"))
    assert list(files(rig.top / "restored").values()) == [b"odd"]


@pytest.mark.parametrize(
    ("paths", "named"),
    [
        (["nowhere"], "/nowhere"),
        (["a", "a/four", "x/y"], "/a/four"),
        (["a", "x/y/z"], "/x/y/z"),
        (["five/below"], "/five/below"),
        (["/etc"], "it is not below"),
        (["../secret"], "neither '..' nor NUL"),
        (["a/\0"], "neither '..' nor NUL"),
    ],
)
def test_a_path_that_is_not_there_is_named_and_nothing_is_written(
    rig: Rig, paths: list[str], named: str
) -> None:
    with pytest.raises(PathNotInSnapshot) as caught:
        restore(rig, rig.save(), *paths)
    assert named in str(caught.value)
    assert not (rig.top / "restored").exists()


def test_all_that_is_missing_is_named_at_once(rig: Rig) -> None:
    with pytest.raises(PathNotInSnapshot) as caught:
        restore(rig, rig.save(), *(f"gone/{number}" for number in range(25)), "a")
    assert caught.value.facts["path"].count("/gone/") == 20 and "and 5 more" in caught.value.facts["path"]


# --- into what is there ---


def test_what_is_not_chosen_stays_as_it_is(rig: Rig) -> None:
    saved = rig.save()
    rig.file("a/one", b"overwritten since")
    rig.file("a/two", b"changed since, and not chosen")
    os.chmod(rig.source / "a", 0o700)
    restore(rig, saved, "a/one", name="source", overwrite=True)
    assert (rig.source / "a/one").read_bytes() == b"a/one"
    assert (rig.source / "a/two").read_bytes() == b"changed since, and not chosen"
    assert stat.S_IMODE(os.stat(rig.source / "a").st_mode) == 0o700


def test_directories_on_the_way_keep_their_attributes_and_lists(rig: Rig) -> None:
    saved = rig.save()
    folder = rig.source / "a"
    try:
        os.setxattr(folder, "user.note", b"added since")
        os.setxattr(folder, "system.posix_acl_default", _acl())
    except OSError as error:
        pytest.skip(str(error))
    before = {name: os.getxattr(folder, name) for name in os.listxattr(folder)}
    restore(rig, saved, "a/one", name="source", overwrite=True)
    assert {name: os.getxattr(folder, name) for name in os.listxattr(folder)} == before
    assert "system.posix_acl_access" not in os.listxattr(folder / "one"), "nothing is inherited"
    report = restore(rig, saved, "a", name="source", overwrite=True)
    assert report.issues == () and os.listxattr(folder) == [], "what is chosen is as it was saved"


def _acl() -> bytes:
    """user::rwx, user 12345 rwx, group::r-x, mask rwx, other r-x"""
    entries = [(1, 7, 2**32 - 1), (2, 7, 12345), (4, 5, 2**32 - 1), (16, 7, 2**32 - 1), (32, 5, 2**32 - 1)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def test_a_target_that_is_not_empty_is_refused_all_the_same(rig: Rig) -> None:
    saved = rig.save()
    rig.file("../restored/mine", b"mine")
    with pytest.raises(Exception, match="not empty"):
        restore(rig, saved, "a/one")
    restore(rig, saved, "a/one", overwrite=True)
    assert set(files(rig.top / "restored")) == {"mine", "a/one"}


def test_what_restic_saved_is_restored_as_restic_does(rig: Rig, restic: str) -> None:
    build_hard_tree(rig.source)
    program = Restic(restic, rig.top / "vault")
    program("backup", str(rig.source))
    (snapshot,) = rig.session.snapshots()
    chosen = [str(rig.source / "a"), str(rig.source / "names/plain.txt")]
    options = RestoreOptions(trusted=True, paths=tuple(chosen))
    rig.session.restore_tree(snapshot.id, snapshot.tree, str(rig.source), str(rig.top / "restored"), options)
    includes = [part for path in chosen for part in ("--include", path)]
    program("restore", snapshot.id, "--target", str(rig.top / "theirs"), *includes)
    theirs = Path(f"{rig.top}/theirs{rig.source}")
    compared = subprocess.run(["diff", "-r", theirs, rig.top / "restored"], capture_output=True, text=True)
    assert compared.returncode == 0, compared.stdout


# --- the choice itself ---


def test_a_choice_holds_what_leads_to_its_paths() -> None:
    chosen = Chosen.of([[b"a", b"b"], [b"c"]])
    assert b"a" in chosen and b"c" in chosen and b"b" not in chosen
    assert b"b" in chosen.below(b"a") and b"x" not in chosen.below(b"a")
    assert chosen.below(b"c").all and b"anything" in chosen.below(b"c")
    assert chosen.below(b"a").below(b"b").all
    assert b"x" in EVERYTHING and EVERYTHING.below(b"x") is EVERYTHING
    assert Chosen.of([[]]).all
