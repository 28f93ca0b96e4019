from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from protectd.common.clock import SystemClock
from protectd.common.errors import Cancelled
from protectd.common.progress import Progress
from protectd.plugin.base import BankUnavailable
from protectd.vault.check import check
from protectd.vault.errors import BlobMissing, LockLost, VaultDamaged
from protectd.vault.forget import forget
from protectd.vault.index import encode_index
from protectd.vault.index_files import Mark, encode_marks
from protectd.vault.pack import DATA, TREE, pack_key
from protectd.vault.prune import prune
from protectd.vault.repository import INDEX, BlobReader, Repository
from protectd.vault.tree import decode_tree
from tests.fakes.faults import FaultyBank, Killed, killed_after
from tests.fakes.vault_kit import (
    blob_id,
    data_bytes,
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


def _texts(count: int) -> list[bytes]:
    return [os.urandom(2000) for _ in range(count)]


def _files(texts: list[bytes]) -> dict[bytes, bytes]:
    return {b"%03d" % number: text for number, text in enumerate(texts)}


def _assert_whole(vault: Repository, *texts: bytes) -> None:
    """Every byte of the vault is good, with no rubbish in it, and these texts are there once."""
    report = check(vault, read_data=True)
    assert report.ok, report.errors
    assert not report.hints, report.hints
    index = vault.load_index()
    reader = BlobReader(vault, index)
    for text in texts:
        assert reader.load(DATA, blob_id(text)) == text
        assert len(index.copies(DATA, blob_id(text))) == 1


def test_nothing_is_touched_where_everything_is_used(vault: Repository, bank: FaultyBank) -> None:
    save_files(vault, _files(_texts(3)))
    before = {item.key for item in bank.list("")}
    report = prune(vault)
    assert {item.key for item in bank.list("")} == before
    assert (report.removed_packs, report.repacked_packs, report.freed_bytes) == (0, 0, 0)
    assert report.kept_bytes == data_bytes(vault)


def test_the_bytes_of_a_forgotten_snapshot_come_back_exactly(vault: Repository) -> None:
    texts = _texts(5)
    save_files(vault, _files(texts[:3]))
    before = data_bytes(vault)
    second = save_files(vault, _files(texts), known=texts[:3])
    grown = data_bytes(vault)
    assert forget(vault, [second]) == 1
    report = prune(vault)
    assert data_bytes(vault) == before
    assert report.freed_bytes == grown - before and report.kept_bytes == before
    assert report.removed_packs == 2
    _assert_whole(vault, *texts[:3])


def test_a_pack_that_is_partly_used_is_written_anew_without_the_rest(vault: Repository) -> None:
    texts = _texts(20)
    first = save_files(vault, _files(texts))
    save_files(vault, _files(texts[:10]), known=texts)
    before = data_bytes(vault)
    forget(vault, [first])
    report = prune(vault)
    assert report.repacked_packs == 1
    assert report.freed_bytes == before - data_bytes(vault) > 20_000
    _assert_whole(vault, *texts[:10])
    assert (DATA, blob_id(texts[15])) not in vault.load_index()


def test_a_second_prune_finds_nothing_to_do(vault: Repository, bank: FaultyBank) -> None:
    texts = _texts(20)
    first = save_files(vault, _files(texts))
    save_files(vault, _files(texts[:10]), known=texts)
    forget(vault, [first])
    prune(vault)
    before = {item.key for item in bank.list("")}
    assert prune(vault).freed_bytes == 0
    assert {item.key for item in bank.list("")} == before


def test_an_empty_vault_gives_everything_back(vault: Repository, bank: FaultyBank) -> None:
    snapshots = [save_files(vault, _files(_texts(2))) for _ in range(3)]
    assert forget(vault, [*snapshots, "ab" * 32, "../config"]) == 3
    assert forget(vault, snapshots) == 0
    prune(vault)
    assert {item.key.split("/")[0] for item in bank.list("")} == {"config", "keys"}
    assert check(vault).ok
    assert prune(vault).kept_bytes == 0


def test_packs_that_no_index_names_are_removed(vault: Repository) -> None:
    save_files(vault, _files(_texts(1)))
    before = data_bytes(vault)
    store_pack(vault, [(DATA, b"left by a crash")], indexed=False)
    assert prune(vault).removed_packs == 1
    assert data_bytes(vault) == before


def test_index_entries_of_packs_that_are_gone_are_dropped(vault: Repository, bank: FaultyBank) -> None:
    texts = _texts(1)
    save_files(vault, _files(texts))
    gone = store_pack(vault, [(DATA, b"nobody needs it")])
    bank.delete(pack_key(gone))
    prune(vault)
    _assert_whole(vault, *texts)


def test_of_several_copies_one_is_kept(vault: Repository) -> None:
    texts = _texts(4)
    save_files(vault, _files(texts))
    for text in texts:
        store_pack(vault, [(DATA, text)])
    prune(vault)
    _assert_whole(vault, *texts)


def test_a_copy_in_a_missing_or_short_pack_is_not_the_one_that_is_kept(
    vault: Repository, bank: FaultyBank
) -> None:
    texts = _texts(4)
    save_files(vault, _files(texts))
    big = next(pack for pack, entries in vault.load_index().packs().items() if entries[0].kind == DATA)
    store_pack(vault, [(DATA, text) for text in texts[:2]])
    store_pack(vault, [(DATA, text) for text in texts[2:]])
    bank.change(pack_key(big), lambda raw: raw[:-1])
    prune(vault)
    _assert_whole(vault, *texts)


def test_a_pack_in_several_index_files_stands_in_one_afterwards(vault: Repository) -> None:
    texts = _texts(3)
    save_files(vault, _files(texts))
    for json in encode_index(vault.load_index().packs()):
        vault.save_unpacked(INDEX, json)
    assert check(vault).hints
    prune(vault)
    _assert_whole(vault, *texts)


def test_a_pack_whose_entries_two_index_files_share_loses_none(vault: Repository) -> None:
    texts = _texts(2)
    store_pack(vault, [(DATA, text) for text in texts])
    (pack_id, entries), *_ = vault.load_index().packs().items()
    for name in vault.names(INDEX):
        vault.bank.delete(f"{INDEX}/{name}")
    for part in ([entries[0]], [entries[1]]):
        for json in encode_index({pack_id: part}):
            vault.save_unpacked(INDEX, json)
    save_files(vault, _files(texts), known=texts)
    prune(vault)
    _assert_whole(vault, *texts)


def test_trees_and_data_are_separated(vault: Repository) -> None:
    tree = tree_of(file_of(b"a", b"text"))
    store_pack(vault, [(DATA, b"text"), (TREE, tree)])
    save_root(vault, tree)
    prune(vault)
    _assert_whole(vault, b"text")


def test_many_small_packs_become_few(vault: Repository, bank: FaultyBank) -> None:
    texts = _texts(25)
    for text in texts:
        save_files(vault, _files([text]))
    assert len(list(bank.list("data"))) == 50
    prune(vault)
    assert len(list(bank.list("data"))) == 2
    assert len(vault.names(INDEX)) == 1
    _assert_whole(vault, *texts)


def test_packs_are_closed_when_they_are_full(vault: Repository, bank: FaultyBank) -> None:
    texts = _texts(30)
    first = save_files(vault, _files(texts))
    save_files(vault, _files(texts[:20]), known=texts)
    forget(vault, [first])
    prune(vault, pack_bytes=10_000)
    sizes = [item.size for item in bank.list("data") if item.size > 2000]
    assert len(sizes) >= 3 and max(sizes) < 13_000
    _assert_whole(vault, *texts[:20])


# --- days when it must not remove anything ---


def _damage_snapshot(vault: Repository, bank: FaultyBank) -> None:
    bank.change(f"snapshots/{vault.names('snapshots')[0]}", lambda raw: raw[:-1])


def _damage_index(vault: Repository, bank: FaultyBank) -> None:
    bank.change(f"index/{vault.names('index')[0]}", lambda raw: raw[:-1])


def _needed(vault: Repository, kind: str) -> tuple[str, int]:
    """Object and offset of a blob that the one snapshot needs."""
    reader = BlobReader(vault, vault.load_index())
    tree_id = vault.snapshots()[0].tree_id
    file = decode_tree(reader.load(TREE, tree_id))[0]
    found = reader.index.lookup(kind, tree_id if kind == TREE else (file.content or [])[0])
    assert found is not None
    return pack_key(found[0]), found[1].offset


def _lose_index(vault: Repository, bank: FaultyBank) -> None:
    pack_id = bytes.fromhex(_needed(vault, DATA)[0].rpartition("/")[2])
    files = vault.index_files().items()
    bank.delete(f"index/{next(name for name, part in files if pack_id in part.pack_ids)}")


def _lose_data(vault: Repository, bank: FaultyBank) -> None:
    bank.delete(_needed(vault, DATA)[0])


def _lose_tree(vault: Repository, bank: FaultyBank) -> None:
    bank.delete(_needed(vault, TREE)[0])


def _damage_data(vault: Repository, bank: FaultyBank) -> None:
    key, at = _needed(vault, DATA)
    bank.change(key, lambda raw: raw[: at + 20] + bytes(8) + raw[at + 28 :])


def _damage_tree(vault: Repository, bank: FaultyBank) -> None:
    key, at = _needed(vault, TREE)
    bank.change(key, lambda raw: raw[: at + 20] + bytes(8) + raw[at + 28 :])


DAMAGE = [_damage_snapshot, _damage_index, _lose_index, _lose_data, _lose_tree, _damage_data, _damage_tree]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_vault_with_damage_in_what_is_needed_loses_nothing(
    vault: Repository, bank: FaultyBank, damage: Callable[[Repository, FaultyBank], None]
) -> None:
    texts = _texts(6)
    first = save_files(vault, _files(texts))
    save_files(vault, _files(texts[:3]), known=texts)
    forget(vault, [first])
    damage(vault, bank)
    before = {item.key for item in bank.list("")}
    with pytest.raises(VaultDamaged):
        prune(vault)
    assert before <= {item.key for item in bank.list("")}


def test_a_missing_blob_is_named_with_what_needs_it(vault: Repository, bank: FaultyBank) -> None:
    tree = tree_of(file_of(b"a", b"never stored"))
    store_pack(vault, [(TREE, tree)])
    save_root(vault, tree)
    with pytest.raises(BlobMissing, match=blob_id(b"never stored").hex()):
        prune(vault)


def test_damage_in_what_nobody_needs_is_no_obstacle(vault: Repository, bank: FaultyBank) -> None:
    texts = _texts(2)
    save_files(vault, _files(texts))
    bad = store_pack(vault, [(DATA, b"unused" * 50)])
    bank.change(pack_key(bad), lambda raw: raw[:10])
    prune(vault)
    _assert_whole(vault, *texts)


def test_a_pack_that_is_gone_is_not_named_again_for_what_a_backup_beside_has_stored_anew(
    vault: Repository, bank: FaultyBank
) -> None:
    """A prune was killed when it had deleted the pack, and had not yet removed its mark."""
    pack_id, raw, entries = make_pack(vault, [(DATA, b"text")])
    for json in encode_marks({pack_id: entries}, {pack_id: Mark(SystemClock().now(), len(raw))}):
        vault.save_unpacked(INDEX, json)

    def back_up(call: str, key: str) -> None:
        if (call, key) == ("list", "data"):
            bank.fault = lambda call, key: None
            save_files(vault, {b"a": b"text"})

    bank.fault = back_up
    prune(vault)
    report = check(vault, read_data=True)
    assert report.ok and report.snapshots == 1, report.errors
    assert pack_id not in vault.load_index().packs()


def test_a_lost_lock_stops_it_before_anything_is_removed(vault: Repository, bank: FaultyBank) -> None:
    forget(vault, [save_files(vault, _files(_texts(2)))])
    before = {item.key for item in bank.list("")}

    def lost() -> None:
        raise LockLost(reason="test")

    with pytest.raises(LockLost):
        prune(vault, confirm=lost)
    assert {item.key for item in bank.list("")} == before


def test_it_stops_when_its_owner_says_so(vault: Repository) -> None:
    save_files(vault, _files(_texts(2)))

    class Stop(Progress):
        def check(self) -> None:
            raise Cancelled

    with pytest.raises(Cancelled):
        prune(vault, Stop())


def _worn_vault() -> tuple[Repository, FaultyBank, list[bytes]]:
    """A vault whose prune has to do everything: remove, repack, separate, merge and mend."""
    bank = FaultyBank()
    vault = new_vault(bank)
    texts = _texts(30)
    forgotten = save_files(vault, _files(texts))
    save_files(vault, _files(texts[:10]), known=texts)
    save_files(vault, _files([*texts[:5], b"new"]), known=texts)
    store_pack(vault, [(DATA, texts[0])])
    store_pack(vault, [(DATA, b"orphan")], indexed=False)
    tree = tree_of(file_of(b"a", b"mixed"))
    store_pack(vault, [(DATA, b"mixed"), (TREE, tree)])
    save_root(vault, tree)
    for json in encode_index(vault.load_index().packs()):
        vault.save_unpacked(INDEX, json)
    forget(vault, [forgotten])
    return vault, bank, [*texts[:10], b"new", b"mixed"]


def test_killed_at_any_instant_it_leaves_a_good_vault_and_the_next_run_ends_it() -> None:
    changes = 0
    while True:
        vault, bank, texts = _worn_vault()
        bank.fault = killed_after(changes)
        try:
            prune(vault, pack_bytes=8_000)
        except Killed:
            bank.fault = lambda call, key: None
            report = check(vault, read_data=True)
            assert report.ok, (changes, report.errors)
            prune(vault, pack_bytes=8_000)
            _assert_whole(vault, *texts)
            changes += 1
            continue
        break
    bank.fault = lambda call, key: None
    _assert_whole(vault, *texts)
    assert changes >= 12, "every put and delete was tried"


def test_a_bank_that_fails_in_the_middle_leaves_a_good_vault() -> None:
    for changes in range(0, 12, 3):
        vault, bank, texts = _worn_vault()
        killed = killed_after(changes)

        def fault(call: str, key: str, killed: Callable[[str, str], None] = killed) -> None:
            try:
                killed(call, key)
            except Killed:
                raise BankUnavailable(reason="unplugged") from None

        bank.fault = fault
        with pytest.raises(BankUnavailable):
            prune(vault, pack_bytes=8_000)
        bank.fault = lambda call, key: None
        assert check(vault, read_data=True).ok
        prune(vault, pack_bytes=8_000)
        _assert_whole(vault, *texts)
