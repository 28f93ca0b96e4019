from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Callable

import pytest

from protectd.common.errors import Cancelled
from protectd.common.progress import Counts, Progress
from protectd.plugin.base import BankRefused, BankUnavailable
from protectd.vault.check import check, check_pack, check_structure, read_and_check_pack
from protectd.vault.check_trees import check_trees
from protectd.vault.digests import GROUP_BYTES
from protectd.vault.findings import MAKE_AGAIN, TRY_AGAIN, Findings
from protectd.vault.index import Rows, encode_index
from protectd.vault.pack import DATA, TREE, BlobEntry, pack_key
from protectd.vault.repository import INDEX, SNAPSHOTS, Repository
from protectd.vault.tree import EMPTY_TREE, Node, encode_node, encode_tree
from tests.fakes.faults import FaultyBank
from tests.fakes.vault_kit import (
    blob_id,
    directory_of,
    file_of,
    make_pack,
    new_vault,
    save_files,
    save_root,
    store_pack,
    tree_of,
)


@pytest.fixture
def bank() -> FaultyBank:
    return FaultyBank()


@pytest.fixture
def vault(bank: FaultyBank) -> Repository:
    return new_vault(bank)


def _flip(place: int) -> Callable[[bytes], bytes]:
    return lambda raw: raw[:place] + bytes([raw[place] ^ 0x40]) + raw[place + 1 :]


def _pack_of(vault: Repository, kind: str, plain: bytes) -> bytes:
    found = vault.load_index().lookup(kind, blob_id(plain))
    assert found is not None
    return found[0]


def test_a_good_vault_has_no_errors_and_is_counted(vault: Repository, bank: FaultyBank) -> None:
    save_files(vault, {b"a": b"text", b"b": b"other", b"c": b"text", b"empty": b""})
    save_files(vault, {b"a": b"text"}, known=[b"text"])
    report = check(vault, read_data=True)
    assert report.ok and not report.hints
    assert (report.snapshots, report.packs, report.blobs) == (2, 3, 4)
    assert report.read_bytes == sum(item.size for item in bank.list("data"))
    assert check(vault).read_bytes == 0


def test_an_empty_vault_is_good(vault: Repository) -> None:
    assert check(vault, read_data=True).ok
    assert check(vault, [], read_data=True).ok


def test_a_missing_pack_and_one_of_another_size_are_both_named(vault: Repository, bank: FaultyBank) -> None:
    save_files(vault, {b"a": b"text"})
    save_files(vault, {b"a": b"other"})
    missing, longer = _pack_of(vault, DATA, b"text"), _pack_of(vault, DATA, b"other")
    bank.delete(pack_key(missing))
    bank.change(pack_key(longer), lambda raw: raw + b"x")
    report = check(vault)
    assert len(report.errors) == 2
    assert any(pack_key(missing) in error and "does not exist" in error for error in report.errors)
    assert any(pack_key(longer) in error and "bytes, not" in error for error in report.errors)
    assert all("copy of the bank" in error for error in report.errors)
    assert len(check(vault, read_data=True).errors) >= 4


def test_only_what_the_named_snapshots_need_is_looked_at(vault: Repository, bank: FaultyBank) -> None:
    good, bad = save_files(vault, {b"a": b"text"}), save_files(vault, {b"a": b"other"})
    bank.change(pack_key(_pack_of(vault, DATA, b"other")), _flip(20))
    read: list[str] = []
    report = check(vault, [good], read_data=True)
    assert report.ok and (report.snapshots, report.packs, report.blobs) == (1, 2, 2)
    assert not read
    assert check(vault, [bad]).ok, "the structure alone is good"
    report = check(vault, [bad], read_data=True)
    assert blob_id(b"other").hex() in " ".join(report.errors)


def test_a_named_snapshot_that_is_gone_is_an_error(vault: Repository) -> None:
    report = check(vault, ["ab" * 32, "../config"])
    assert len(report.errors) == 2 and "ab" * 32 in report.errors[0]


@pytest.mark.parametrize("kind", [DATA, TREE])
def test_one_changed_bit_anywhere_in_a_pack_is_found(vault: Repository, bank: FaultyBank, kind: str) -> None:
    tree = tree_of(file_of(b"a", b"text" * 20))
    packs = {DATA: store_pack(vault, [(DATA, b"text" * 20)]), TREE: store_pack(vault, [(TREE, tree)])}
    save_root(vault, tree)
    key = pack_key(packs[kind])
    for place in range(bank.size(key)):
        bank.change(key, _flip(place))
        report = check(vault, read_data=True)
        assert any(key in error and "fit its name" in error for error in report.errors), place
        bank.change(key, _flip(place))
    assert check(vault, read_data=True).ok


def test_a_damaged_blob_is_named_beside_good_ones(vault: Repository) -> None:
    texts = [b"one" * 9, b"two" * 9, b"three" * 9]
    pack_id, raw, entries = make_pack(vault, [(DATA, text) for text in texts])
    errors = check_pack(_flip(entries[1].offset + 20)(raw), pack_id, entries, vault.sealer)
    assert len(errors) == 2
    assert blob_id(texts[1]).hex() in errors[1]
    assert check_pack(raw, pack_id, entries, vault.sealer) == []


def test_a_pack_that_is_cut_short_anywhere_never_raises(vault: Repository) -> None:
    pack_id, raw, entries = make_pack(vault, [(DATA, b"text"), (DATA, b"more")])
    for end in range(len(raw)):
        assert check_pack(memoryview(raw)[:end], pack_id, entries, vault.sealer)


def test_a_pack_of_large_blobs_takes_the_memory_of_one(vault: Repository) -> None:
    size = 2 * GROUP_BYTES
    pack_id, raw, entries = make_pack(vault, [(DATA, bytes([number]) * size) for number in range(4)])
    tracemalloc.start()
    try:
        assert check_pack(raw, pack_id, entries, vault.sealer) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * size


def test_an_index_that_tells_another_story_than_the_header_is_found(vault: Repository) -> None:
    pack_id, raw, entries = make_pack(vault, [(DATA, b"text"), (DATA, b"more")])
    (error,) = check_pack(raw, pack_id, entries[:1], vault.sealer)
    assert "header and the index" in error
    swapped = [entries[0]._replace(id=entries[1].id), entries[1]._replace(id=entries[0].id)]
    assert len(check_pack(raw, pack_id, swapped, vault.sealer)) == 3
    wrong_kind = [entries[0]._replace(kind=TREE), entries[1]]
    assert len(check_pack(raw, pack_id, wrong_kind, vault.sealer)) == 1


def test_a_forged_pack_whose_hash_fits_is_found_by_its_blobs(vault: Repository) -> None:
    """Another's bytes under their own right hash: only the tags and ids can tell."""
    _, raw, entries = make_pack(new_vault(), [(DATA, b"text")])
    errors = check_pack(raw, blob_id(raw), entries, vault.sealer)
    assert len(errors) == 2 and "tag" in errors[0]


def test_a_bank_that_fails_on_one_pack_is_reported_for_that_pack(vault: Repository, bank: FaultyBank) -> None:
    save_files(vault, {b"a": b"text"})
    save_files(vault, {b"a": b"other"})
    failing = pack_key(_pack_of(vault, DATA, b"text"))

    def fault(call: str, key: str) -> None:
        if key == failing:
            raise BankUnavailable(reason="unplugged")

    bank.fault = fault
    report = check(vault, read_data=True)
    (told,) = report.unread
    assert failing in told and "unplugged" in told and "check again" in told
    assert not report.errors and not report.ok


def test_damage_that_was_found_is_told_when_the_bank_goes_away(vault: Repository, bank: FaultyBank) -> None:
    save_files(vault, {b"a": b"text"})
    save_files(vault, {b"a": b"other"})
    first, second = sorted(vault.names(SNAPSHOTS))
    bank.put(f"{SNAPSHOTS}/{first}", b"x" * 99)

    def fault(call: str, key: str) -> None:
        if call == "list" and key.startswith("data"):
            raise BankUnavailable(reason="unplugged")

    bank.fault = fault
    report = check(vault)
    assert [first in error for error in report.errors] == [True]
    assert len(report.unread) == 1 and "unplugged" in report.unread[0]
    with pytest.raises(BankUnavailable):
        check(vault, [second])


def test_what_only_an_unread_index_may_know_is_not_said_to_be_damaged(
    vault: Repository, bank: FaultyBank
) -> None:
    snapshot = save_files(vault, {b"a": b"text"})
    index = f"{INDEX}/{vault.names(INDEX)[0]}"

    def fault(call: str, key: str) -> None:
        if key == index:
            raise BankUnavailable(reason="unplugged")

    bank.fault = fault
    report = check(vault, [snapshot])
    assert report.errors == () and len(report.unread) == 2
    assert all(TRY_AGAIN in each and MAKE_AGAIN not in each for each in report.unread)
    assert check(vault).hints == (), "nothing is said of packs that only this index knows"


def test_a_bank_that_fails_on_a_tree_a_snapshot_or_an_index_is_reported_for_it(
    vault: Repository, bank: FaultyBank
) -> None:
    snapshot = save_files(vault, {b"a": b"text"})
    tree_pack = next(p for p, entries in vault.load_index().packs().items() if entries[0].kind == TREE)
    for failing in (f"{SNAPSHOTS}/{snapshot}", f"{INDEX}/{vault.names(INDEX)[0]}", pack_key(tree_pack)):

        def fault(call: str, key: str, failing: str = failing) -> None:
            if key == failing:
                raise BankRefused(key=key, reason="forbidden")

        bank.fault = fault
        assert any("forbidden" in each for each in check(vault).unread), failing


def test_a_pack_is_read_from_the_medium_into_a_buffer_that_grows(vault: Repository) -> None:
    pack_id, raw, entries = make_pack(vault, [(DATA, os.urandom(5000))])
    seen = []

    class Watching(FaultyBank):
        def read_into(self, key: str, buffer: memoryview, offset: int = 0, *, fresh: bool = False) -> int:
            seen.append((key, fresh))
            return super().read_into(key, buffer, offset, fresh=fresh)

    bank = Watching()
    bank.put(pack_key(pack_id), raw)
    small = memoryview(bytearray(10))
    assert read_and_check_pack(bank, pack_id, entries, vault.sealer, small) == (len(raw), [], ())
    assert seen == [(pack_key(pack_id), True)]
    bank.put(pack_key(pack_id), raw + b"x")
    errors = read_and_check_pack(bank, pack_id, entries, vault.sealer, small).errors
    assert errors


def _one(vault: Repository, tree: bytes, *blobs: bytes) -> str:
    if blobs:
        store_pack(vault, [(DATA, blob) for blob in blobs])
    store_pack(vault, [(TREE, tree)])
    save_root(vault, tree)
    return " ".join(check(vault).errors)


def test_a_file_whose_blobs_no_index_knows_is_named(vault: Repository) -> None:
    errors = _one(vault, tree_of(file_of(b"gone", b"never stored", b"text")), b"text")
    assert "'gone'" in errors.replace("b'", "'") and blob_id(b"never stored").hex() in errors
    assert "1 data blob" in errors


def test_each_file_is_told_the_first_of_its_own_blobs_that_is_missing(vault: Repository) -> None:
    tree = tree_of(file_of(b"a", b"text", b"gone 1", b"gone 2"), file_of(b"b", b"gone 3", b"text"))
    errors = _one(vault, tree, b"text")
    assert f"2 data blob(s) that no index knows, first {blob_id(b'gone 1').hex()}" in errors
    assert f"1 data blob(s) that no index knows, first {blob_id(b'gone 3').hex()}" in errors


def test_few_directories_are_held_however_few_blobs_they_have(vault: Repository) -> None:
    empty = [file_of(b"%03d" % number) for number in range(199)]
    contents = [b"%d" % number for number in range(40)]
    trees = [tree_of(*empty, file_of(b"full", each)) for each in contents]
    root = tree_of(*(directory_of(b"%03d" % number, each) for number, each in enumerate(trees)))
    store_pack(vault, [(DATA, each) for each in contents])
    store_pack(vault, [(TREE, each) for each in (*trees, root)])
    save_root(vault, root)
    held: list[int] = []

    def met(rows: Rows | None = None) -> None:
        held.append(sum(isinstance(each, Node) for each in gc.get_objects()))

    met()
    used = check_trees(vault, vault.load_index(), vault.snapshots(), Findings(), Progress(), met)
    assert len(used) == 81
    assert max(held) - held[0] < 2500


def test_a_missing_subtree_is_named_with_its_place(vault: Repository) -> None:
    errors = _one(vault, tree_of(directory_of(b"sub", b"never stored")))
    assert "'/sub'" in errors and blob_id(b"never stored").hex() in errors


def test_a_wrong_size_is_found(vault: Repository) -> None:
    assert "claims 5" in _one(vault, tree_of(file_of(b"a", b"text", size=5)), b"text")


def test_a_size_without_content_is_found(vault: Repository) -> None:
    assert "no content" in _one(vault, tree_of(file_of(b"a", size=5)))


def test_names_out_of_order_and_doubled_names_are_found(vault: Repository) -> None:
    assert "out of order" in _one(vault, tree_of(file_of(b"b"), file_of(b"a")))
    assert "there twice" in _one(vault, tree_of(file_of(b"a"), file_of(b"a")))


@pytest.mark.parametrize("name", [b"..", b".", b"a/b", b"x/../y"])
def test_a_name_that_would_lead_elsewhere_is_found(vault: Repository, name: bytes) -> None:
    node = encode_node(file_of(b"NAME")).replace(b"NAME", name)
    assert "no directory can hold" in _one(vault, encode_tree([node]))


def test_what_follows_a_bad_directory_is_still_looked_at(vault: Repository) -> None:
    good = tree_of(file_of(b"a", b"never stored"))
    root = tree_of(directory_of(b"bad", b"rubbish"), directory_of(b"good", good))
    store_pack(vault, [(TREE, b"rubbish"), (TREE, good), (TREE, root)])
    save_root(vault, root)
    errors = check(vault).errors
    assert len(errors) == 2
    assert any("'/bad'" in error for error in errors) and any("'/good'" in error for error in errors)


def test_hints_name_what_a_prune_would_put_right(vault: Repository, bank: FaultyBank) -> None:
    orphan = store_pack(vault, [(DATA, b"orphan")], indexed=False)
    mixed = store_pack(vault, [(DATA, b"text"), (TREE, EMPTY_TREE)])
    for json in encode_index({mixed: vault.load_index().packs()[mixed]}):
        vault.save_unpacked(INDEX, json)
    report = check(vault, read_data=True)
    assert report.ok
    hints = " ".join(report.hints)
    assert f"{pack_key(orphan)} is in no index" in hints
    assert f"{pack_key(mixed)} holds trees and data" in hints
    assert f"{pack_key(mixed)} is in several index files" in hints
    assert check(vault, []).hints == ()


def test_a_damaged_index_file_does_not_hide_the_others(vault: Repository, bank: FaultyBank) -> None:
    save_files(vault, {b"a": b"text"})
    name = vault.save_unpacked(INDEX, b"rubbish")
    (error,) = check(vault, read_data=True).errors
    assert f"{INDEX}/{name}" in error and "vault repair index" in error


def test_a_blob_needs_all_its_copies_to_be_good(vault: Repository, bank: FaultyBank) -> None:
    """A reader may take any copy, so a damaged one is an error though the other is good."""
    snapshot = save_files(vault, {b"a": b"text"})
    copy = store_pack(vault, [(DATA, b"text")])
    bank.change(pack_key(copy), _flip(20))
    assert any(pack_key(copy) in error for error in check(vault, [snapshot], read_data=True).errors)


def test_a_check_stops_when_its_owner_says_so(vault: Repository) -> None:
    save_files(vault, {b"a": b"text"})

    class Stop(Progress):
        def check(self) -> None:
            raise Cancelled

    with pytest.raises(Cancelled):
        check(vault, read_data=True, progress=Stop())


def test_progress_ends_at_its_total(vault: Repository) -> None:
    save_files(vault, {b"a": b"text"})
    seen: list[Counts] = []

    class Watch(Progress):
        def report(self, counts: Counts) -> None:
            seen.append(counts)

    report = check(vault, read_data=True, progress=Watch())
    assert seen[-1] == Counts("packs", report.read_bytes, report.read_bytes)


def test_the_parts_of_a_check_can_be_run_elsewhere(vault: Repository) -> None:
    snapshot = save_files(vault, {b"a": b"text"})
    save_files(vault, {b"b": b"other"})
    structure = check_structure(vault, [snapshot])
    packs: dict[bytes, list[BlobEntry]] = dict(structure.packs_to_read())
    assert packs.keys() == set(structure.needed) and len(packs) == 2
    assert structure.report(read_bytes=7).read_bytes == 7
