"""Looking into a vault: naming snapshots, listing, reading one file, comparing two snapshots."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from protectd.common.errors import Cancelled
from protectd.common.progress import Progress
from protectd.vault.choosing import choose, choose_one
from protectd.vault.diff import DiffTotals
from protectd.vault.errors import AmbiguousName, PathNotInSnapshot, SnapshotNotFound, VaultDamaged
from protectd.vault.options import EngineOptions
from protectd.vault.pack import DATA, TREE, pack_key
from protectd.vault.reading import Reading, reading
from protectd.vault.repository import INDEX, Repository
from protectd.vault.snapshot import Snapshot
from protectd.vault.tree import Node
from tests.fakes.faults import FaultyBank
from tests.fakes.vault_kit import blob_id, file_of, new_vault
from tests.fakes.vault_trees import save_nested

OPTIONS = EngineOptions(lock_wait_s=0)
LINK = Node(b"link", "symlink", stat.S_IFLNK | 0o777, 0, 0, 0, link_target=b"../a")
HOME = {b"home": {b"me": {b"a": b"text", b"dir": {b"b": (b"one", b"two"), b"empty": b""}, b"link": LINK}}}
TOLD = [b"/home/me/a", b"/home/me/dir", b"/home/me/link"]


@pytest.fixture
def bank() -> FaultyBank:
    return FaultyBank()


@pytest.fixture
def vault(bank: FaultyBank) -> Repository:
    return new_vault(bank)


@pytest.fixture
def saved(vault: Repository) -> Snapshot:
    return save_nested(vault, HOME, paths=("/home/me",), tags=("protectd:checkpoint=c1",))


def read(vault: Repository, look: Callable[[Reading], object], progress: Progress | None = None) -> object:
    with reading(vault, OPTIONS, progress or Progress()) as made:
        return look(made)


def listed(vault: Repository, snapshot: Snapshot, path: bytes | None = None, *, deep: bool = False) -> object:
    return read(vault, lambda r: [each.path for each in r.list(snapshot, path, recursive=deep)])


def lose(vault: Repository, bank: FaultyBank, kind: str, plain_id: bytes) -> None:
    """Damage one blob, wherever it lies."""
    found = vault.load_index().lookup(kind, plain_id)
    assert found is not None
    pack_id, entry = found
    bank.change(pack_key(pack_id), lambda raw: raw[: entry.offset] + bytes(32) + raw[entry.offset + 32 :])


def test_nobody_waits_for_the_index_of_another_vault(
    vault: Repository, bank: FaultyBank, saved: Snapshot
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait(call: str, key: str) -> None:
        if (call, key) == ("list", INDEX):
            begun.set()
            assert go_on.wait(60)

    bank.fault = wait
    other = new_vault()
    snapshot = save_nested(other, HOME, paths=("/home/me",))
    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(listed, vault, saved)
        assert begun.wait(60)
        try:
            assert threads.submit(listed, other, snapshot).result(30) == TOLD
        finally:
            go_on.set()
        assert slow.result() == TOLD


# --- naming ---


def test_a_snapshot_is_named_by_its_id_the_start_of_it_or_its_checkpoint(
    vault: Repository, saved: Snapshot
) -> None:
    other = save_nested(vault, {b"x": b"y"}, tags=("protectd:checkpoint=c1",))
    snapshots = vault.snapshots()
    assert choose(snapshots, saved.id) == choose(snapshots, saved.id[:10]) == [saved]
    assert choose(snapshots, "c1") == [saved, other]
    assert choose(snapshots, "latest") == [other]
    assert choose_one(snapshots, other.id[:8]) == other


@pytest.mark.parametrize("text", ["", "abc", "latest", "../config", "c", "00000000", "g" * 64])
def test_what_names_no_snapshot_is_said(text: str) -> None:
    with pytest.raises(SnapshotNotFound) as caught:
        choose([], text)
    assert caught.value.facts == {"snapshot_id": text}


def test_a_name_that_fits_several_is_refused_with_all_of_them(saved: Snapshot) -> None:
    twin = replace(saved, id=saved.id[:20] + "0" * 44, tags=())
    with pytest.raises(AmbiguousName, match=saved.id[:16]):
        choose([saved, twin], saved.id[:12])
    with pytest.raises(AmbiguousName, match="c1"):
        choose_one([saved, replace(saved, id="1" * 64)], "c1")


# --- listing ---


def test_a_list_starts_at_the_directory_that_was_saved(vault: Repository, saved: Snapshot) -> None:
    assert listed(vault, saved) == TOLD
    assert listed(vault, saved, b"dir") == [b"/home/me/dir/b", b"/home/me/dir/empty"]
    assert listed(vault, saved, b"/") == [b"/home"]
    assert listed(vault, saved, b"//home/./me/") == TOLD
    assert listed(vault, saved, b"a") == [b"/home/me/a"]


def test_a_recursive_list_gives_each_directory_before_what_it_holds(
    vault: Repository, saved: Snapshot
) -> None:
    below = [b"/home/me/dir/b", b"/home/me/dir/empty"]
    assert listed(vault, saved, deep=True) == [*TOLD[:2], *below, TOLD[2]]
    assert listed(vault, saved, b"/", deep=True)[:3] == [b"/home", b"/home/me", b"/home/me/a"]  # type: ignore[index]


def test_a_snapshot_of_several_paths_starts_at_the_root(vault: Repository) -> None:
    several = save_nested(vault, HOME, paths=("/home/me", "/etc"))
    relative = save_nested(vault, HOME, paths=("/work/home",))
    assert listed(vault, several) == listed(vault, relative) == [b"/home"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (b"nowhere", "has no entry 'nowhere'"),
        (b"a/b", "/home/me/a is no directory"),
        (b"link/a", "/home/me/link is no directory"),
        (b"../me", "neither '..' nor NUL"),
        (b"a\0", "neither '..' nor NUL"),
    ],
)
def test_a_path_that_is_not_there_is_named(
    vault: Repository, saved: Snapshot, path: bytes, reason: str
) -> None:
    with pytest.raises(PathNotInSnapshot, match=reason) as caught:
        listed(vault, saved, path)
    assert caught.value.facts["snapshot_id"] == saved.id


def test_a_directory_that_does_not_read_is_told_and_the_rest_is_listed(
    vault: Repository, bank: FaultyBank, saved: Snapshot
) -> None:
    with reading(vault, OPTIONS, Progress()) as looking:
        dir_tree = looking.find(saved, b"dir").subtree
        assert dir_tree is not None
        lose(vault, bank, TREE, dir_tree)
    with reading(vault, OPTIONS, Progress()) as looking:
        assert [each.path for each in looking.list(saved, recursive=True)] == TOLD
        (issue,) = looking.issues.kept
        assert (issue.path, issue.kind) == ("/home/me/dir", "damaged") and dir_tree.hex() in issue.reason
        with pytest.raises(VaultDamaged):
            list(looking.list(saved, b"dir"))


def test_it_leaves_no_lock_behind_and_ends_when_it_is_told_to(
    vault: Repository, saved: Snapshot, bank: FaultyBank
) -> None:
    class Stop(Progress):
        def check(self) -> None:
            raise Cancelled

    with pytest.raises(Cancelled):
        read(vault, lambda r: list(r.list(saved)), Stop())
    assert not list(bank.list("locks"))


# --- one file ---


def cat(vault: Repository, snapshot: Snapshot, path: bytes) -> bytes:
    pieces: list[bytes] = []
    read(vault, lambda r: r.cat(snapshot, path, pieces.append))
    return b"".join(pieces)


def test_a_file_comes_as_it_was(vault: Repository, saved: Snapshot) -> None:
    assert cat(vault, saved, b"dir/b") == b"onetwo"
    assert cat(vault, saved, b"/home/me/a") == b"text"
    assert cat(vault, saved, b"dir/empty") == b""


def test_a_file_of_many_blobs_comes_in_order(vault: Repository) -> None:
    pieces = tuple(b"%05d" % (number // 3) for number in range(60))
    assert cat(vault, save_nested(vault, {b"f": pieces}), b"f") == b"".join(pieces)


@pytest.mark.parametrize(("path", "kind"), [(b"dir", "directory"), (b"/", "directory"), (b"link", "symlink")])
def test_only_files_have_content(vault: Repository, saved: Snapshot, path: bytes, kind: str) -> None:
    with pytest.raises(PathNotInSnapshot, match=f"it is a {kind}"):
        cat(vault, saved, path)


def test_nothing_is_written_of_a_damaged_blob(vault: Repository, bank: FaultyBank, saved: Snapshot) -> None:
    lose(vault, bank, DATA, blob_id(b"two"))
    pieces: list[bytes] = []
    with pytest.raises(VaultDamaged, match=blob_id(b"two").hex()):
        read(vault, lambda r: r.cat(saved, b"dir/b", pieces.append))
    assert pieces == [b"one"]


def test_a_file_of_another_length_than_it_claims_is_said(vault: Repository) -> None:
    lying = save_nested(vault, {b"f": b"text", b"lies": file_of(b"lies", b"text", size=5)})
    with pytest.raises(VaultDamaged, match="4 bytes and it claims 5"):
        cat(vault, lying, b"lies")


# --- comparing ---


def changes(vault: Repository, before: Snapshot, after: Snapshot) -> list[tuple[bytes, str]]:
    found = read(vault, lambda r: [(each.path, each.kind) for each in r.diff(before, after)])
    assert isinstance(found, list)
    return found


def test_each_kind_of_change_is_told(vault: Repository) -> None:
    touched = replace(file_of(b"touched", b"same"), mtime_ns=5)
    before = save_nested(
        vault,
        {
            b"gone": b"1",
            b"edited": b"2",
            b"touched": b"same",
            b"kind": b"3",
            b"same": b"4",
            b"old": {b"in": b"5"},
        },
    )
    after = save_nested(
        vault,
        {b"edited": b"22", b"touched": touched, b"kind": {b"in": b"6"}, b"same": b"4", b"new": {b"in": {}}},
    )
    assert changes(vault, before, after) == [
        (b"/edited", "changed"), (b"/gone", "removed"), (b"/kind", "type"), (b"/kind/in", "added"),
        (b"/new", "added"), (b"/new/in", "added"), (b"/old", "removed"), (b"/old/in", "removed"),
        (b"/touched", "metadata"),
    ]  # fmt: skip
    assert changes(vault, before, before) == []


@pytest.mark.parametrize(
    "change",
    [{"mode": stat.S_IFREG | 0o600}, {"uid": 7}, {"group": "wheel"}, {"xattrs": [(b"user.a", b"1")]}],
)
def test_owner_mode_and_attributes_are_metadata(vault: Repository, change: dict[str, object]) -> None:
    before = save_nested(vault, {b"f": b"text"})
    after = save_nested(vault, {b"f": replace(file_of(b"f", b"text"), **change)})  # type: ignore[arg-type]
    assert changes(vault, before, after) == [(b"/f", "metadata")]


def test_where_an_entry_lies_on_a_disk_is_no_change(vault: Repository) -> None:
    before = save_nested(vault, {b"f": b"text", b"g": b"1"})
    moved = replace(file_of(b"f", b"text"), inode=9, device_id=3, ctime_ns=8, atime_ns=8, links=2)
    assert changes(vault, before, save_nested(vault, {b"f": moved, b"g": b"1"})) == []


def test_a_link_that_leads_elsewhere_has_changed(vault: Repository) -> None:
    before = save_nested(vault, {b"link": LINK})
    after = save_nested(vault, {b"link": replace(LINK, link_target=b"b")})
    assert changes(vault, before, after) == [(b"/link", "changed")]


def test_equal_directories_are_not_read(vault: Repository, bank: FaultyBank) -> None:
    before = save_nested(vault, {b"same": {b"deep": {b"f": b"1"}}, b"f": b"1"})
    after = save_nested(vault, {b"same": {b"deep": {b"f": b"1"}}, b"f": b"2"})
    with reading(vault, OPTIONS, Progress()) as looking:
        same = looking.find(after, b"same").subtree
        assert same is not None
    lose(vault, bank, TREE, same)
    assert changes(vault, before, after) == [(b"/f", "changed")]


def test_a_directory_that_does_not_read_is_told_beside_the_changes(
    vault: Repository, bank: FaultyBank
) -> None:
    before = save_nested(vault, {b"dir": {b"f": b"1"}, b"f": b"1"})
    after = save_nested(vault, {b"dir": {b"f": b"2"}, b"f": b"2"})
    with reading(vault, OPTIONS, Progress()) as looking:
        tree = looking.find(before, b"dir").subtree
        assert tree is not None
    lose(vault, bank, TREE, tree)
    with reading(vault, OPTIONS, Progress()) as looking:
        assert [each.path for each in looking.diff(before, after)] == [b"/f"]
        assert [issue.path for issue in looking.issues.kept] == ["/dir"]


def test_one_path_of_each_is_compared(vault: Repository, saved: Snapshot) -> None:
    after = save_nested(vault, {b"home": {b"me": {b"a": b"new", b"dir": {b"b": b"1"}}}}, paths=("/home/me",))
    with reading(vault, OPTIONS, Progress()) as looking:
        assert [each.kind for each in looking.diff(saved, after, b"a")] == ["changed"]
        assert [each.path for each in looking.diff(saved, after, b"dir")] == [
            b"/home/me/dir/b",
            b"/home/me/dir/empty",
        ]
        with pytest.raises(PathNotInSnapshot):
            looking.diff(saved, after, b"link")


def test_directories_of_different_names_are_compared_as_what_was_saved(
    vault: Repository, saved: Snapshot
) -> None:
    moved = save_nested(vault, {b"other": {**HOME[b"home"][b"me"], b"new": b"1"}}, paths=("/other",))
    assert changes(vault, saved, moved) == [(b"/other/new", "added")]


def test_totals_count_entries_and_bytes(vault: Repository) -> None:
    before = save_nested(vault, {b"gone": b"12345", b"edited": b"2", b"touched": b"same"})
    touched = replace(file_of(b"touched", b"same"), mtime_ns=5)
    after = save_nested(vault, {b"edited": b"22", b"touched": touched})
    totals = DiffTotals()
    with reading(vault, OPTIONS, Progress()) as looking:
        for change in looking.diff(before, after):
            totals.add(change)
    assert totals.entries == {"added": 0, "removed": 1, "changed": 1, "metadata": 1, "type": 0}
    assert (totals.before_bytes, totals.after_bytes) == (6, 2)
