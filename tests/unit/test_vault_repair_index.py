"""Making the index anew: what is there is found, what is not is named, and nothing is lost on the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

import pytest

from protectd.common.errors import Cancelled
from protectd.common.progress import Progress
from protectd.common.units import KIB
from protectd.plugin.base import BankUnavailable
from protectd.vault.check import check
from protectd.vault.engine import VaultEngine
from protectd.vault.errors import LockLost, VaultDamaged, VaultLocked
from protectd.vault.index import BlobIndex, encode_index
from protectd.vault.index_files import index_file, mark_json, pack_json
from protectd.vault.locks import shared_lock
from protectd.vault.options import EngineOptions
from protectd.vault.pack import DATA, TREE, BlobEntry, pack_key
from protectd.vault.pack_header import read_header
from protectd.vault.prune import prune
from protectd.vault.repair_index import repair_index
from protectd.vault.repository import INDEX, BlobReader, Repository
from tests.fakes.clock import ManualClock
from tests.fakes.faults import FaultyBank, Killed, killed_after
from tests.fakes.vault_kit import ME, blob_id, make_pack, new_vault, save_files, store_pack

TEXTS = [b"text %d " % number * 40 for number in range(6)]


@pytest.fixture
def bank() -> FaultyBank:
    return FaultyBank()


@pytest.fixture
def vault(bank: FaultyBank) -> Repository:
    return new_vault(bank)


def save(vault: Repository, texts: list[bytes] = TEXTS) -> str:
    return save_files(vault, {b"f%d" % number: text for number, text in enumerate(texts)})


def data_pack(vault: Repository, text: bytes = TEXTS[0]) -> bytes:
    found = vault.load_index().lookup(DATA, blob_id(text))
    assert found is not None
    return found[0]


def drop_index(vault: Repository, which: Callable[[str], bool] = lambda name: True) -> None:
    for name in filter(which, vault.names(INDEX)):
        vault.bank.delete(f"{INDEX}/{name}")


def assert_whole(vault: Repository) -> None:
    """No error, no hint, and a prune finds an index that it trusts."""
    report = check(vault, read_data=True)
    assert (report.errors, report.hints) == ((), ())
    prune(vault)
    assert check(vault, read_data=True).ok


def reads(vault: Repository, text: bytes) -> bool:
    try:
        return BlobReader(vault, vault.load_index()).load(DATA, blob_id(text)) == text
    except VaultDamaged:
        return False


# --- what it finds ---


@pytest.mark.parametrize("read_all", [False, True])
def test_an_index_that_is_gone_is_made_anew(vault: Repository, read_all: bool) -> None:
    save(vault)
    save(vault, [*TEXTS[:3], b"more"])
    packs = vault.load_index().packs()
    drop_index(vault)
    report = repair_index(vault, read_all=read_all)
    assert (report.packs, report.read_packs, report.added_packs) == (len(packs), len(packs), len(packs))
    assert (report.written_files, report.removed_files, report.ok) == (1, 0, True)
    assert vault.load_index().packs() == packs


def test_a_good_index_stays_as_it_is(vault: Repository) -> None:
    save(vault)
    before = vault.names(INDEX)
    report = repair_index(vault)
    assert vault.names(INDEX) == before
    assert (report.read_packs, report.written_files, report.removed_files) == (0, 0, 0)


def test_a_good_index_may_be_made_anew_all_the_same(vault: Repository) -> None:
    save(vault)
    before, packs = vault.names(INDEX), vault.load_index().packs()
    report = repair_index(vault, read_all=True)
    assert set(vault.names(INDEX)).isdisjoint(before)
    assert report.removed_files == len(before) and report.added_packs == 0
    assert vault.load_index().packs() == packs
    assert_whole(vault)


def test_one_lost_file_is_replaced_and_the_others_stay(vault: Repository) -> None:
    save(vault)
    before = vault.names(INDEX)
    drop_index(vault, lambda name: name == before[0])
    report = repair_index(vault)
    assert report.added_packs == report.read_packs == report.written_files == 1
    assert set(before[1:]) < set(vault.names(INDEX))
    assert_whole(vault)


def test_a_damaged_file_is_named_and_replaced(vault: Repository, bank: FaultyBank) -> None:
    save(vault)
    bad = vault.names(INDEX)[0]
    bank.change(f"{INDEX}/{bad}", lambda raw: raw[:-1])
    report = repair_index(vault)
    assert bad in report.unreadable_files[0] and bad not in vault.names(INDEX)
    assert_whole(vault)


def test_a_pack_that_a_crash_left_is_indexed(vault: Repository) -> None:
    save(vault)
    store_pack(vault, [(DATA, b"left by a crash")], indexed=False)
    assert repair_index(vault).added_packs == 1
    assert reads(vault, b"left by a crash")


def test_a_pack_in_several_files_stands_in_one_afterwards(vault: Repository) -> None:
    save(vault)
    for json in encode_index(vault.load_index().packs()):
        vault.save_unpacked(INDEX, json)
    assert check(vault).hints
    assert repair_index(vault).read_packs == 0
    assert_whole(vault)


def test_entries_of_one_pack_that_several_files_share_are_put_together(vault: Repository) -> None:
    save(vault)
    packs = vault.load_index().packs()
    drop_index(vault)
    for part in (0, 1):
        for json in encode_index({pack: entries[part::2] for pack, entries in packs.items()}):
            vault.save_unpacked(INDEX, json)
    repair_index(vault)
    assert vault.load_index().packs() == packs
    assert_whole(vault)


def test_a_file_that_tells_something_wrong_is_replaced(vault: Repository) -> None:
    save(vault)
    packs = vault.load_index().packs()
    drop_index(vault)
    for json in encode_index({pack: entries[:-1] or entries for pack, entries in packs.items()}):
        vault.save_unpacked(INDEX, json)
    assert repair_index(vault).read_packs == 1
    assert vault.load_index().packs() == packs
    assert_whole(vault)


def test_a_file_that_tells_wrong_ids_is_found_when_no_file_is_believed(vault: Repository) -> None:
    save(vault)
    packs = vault.load_index().packs()
    drop_index(vault)
    wrong = {
        pack: [entry._replace(id=os.urandom(32)) for entry in entries] for pack, entries in packs.items()
    }
    for json in encode_index(wrong):
        vault.save_unpacked(INDEX, json)
    assert repair_index(vault).read_packs == 0
    repair_index(vault, read_all=True)
    assert vault.load_index().packs() == packs
    assert_whole(vault)


@pytest.mark.parametrize("read_all", [False, True])
def test_packs_that_a_prune_has_marked_are_named_again_and_the_marks_go(
    vault: Repository, read_all: bool
) -> None:
    save(vault)
    packs = vault.load_index().packs()
    drop_index(vault)
    marked = data_pack_of(packs)
    live = [pack_json(pack, entries) for pack, entries in packs.items() if pack != marked]
    moment = ManualClock().now()
    vault.save_unpacked(INDEX, index_file(live, [mark_json(marked, packs[marked], moment)]))
    assert repair_index(vault, read_all=read_all).added_packs == 1
    assert vault.load_index().packs() == packs
    assert all(part.marked is None for part in vault.index_files().values())
    assert_whole(vault)


def data_pack_of(packs: Mapping[bytes, list[BlobEntry]]) -> bytes:
    return next(pack for pack, entries in packs.items() if entries[0].kind == DATA)


# --- what it cannot mend ---


def test_a_pack_that_is_gone_is_named_and_its_blobs_are_stored_again(
    vault: Repository, bank: FaultyBank
) -> None:
    save(vault)
    gone = data_pack(vault)
    bank.delete(pack_key(gone))
    report = repair_index(vault)
    assert (
        not report.ok and pack_key(gone) in report.missing[0] and "bring the object back" in report.missing[0]
    )
    assert (DATA, blob_id(TEXTS[0])) not in vault.load_index()
    save(vault)
    assert check(vault, read_data=True).ok


def test_a_pack_with_a_bad_header_keeps_the_blobs_that_read(vault: Repository, bank: FaultyBank) -> None:
    save(vault)
    pack = data_pack(vault)
    lost = vault.load_index().packs()[pack][2]
    bank.change(pack_key(pack), lambda raw: _flip(_flip(raw, len(raw) - 30), lost.offset + 20))
    report = repair_index(vault, read_all=True)
    assert pack_key(pack) in report.damaged[0] and "5 of 6 blobs in it can be read" in report.damaged[0]
    assert sum(reads(vault, text) for text in TEXTS) == 5
    assert (DATA, lost.id) not in vault.load_index()
    assert pack_key(pack) in repair_index(vault).damaged[0]
    assert any(pack_key(pack) in error for error in check(vault).errors)


def test_a_pack_that_was_cut_off_keeps_the_blobs_before_the_cut(vault: Repository, bank: FaultyBank) -> None:
    save(vault)
    pack = data_pack(vault)
    cut = vault.load_index().packs()[pack][3]
    bank.change(pack_key(pack), lambda raw: raw[: cut.offset])
    report = repair_index(vault)
    assert "3 of 6 blobs in it can be read" in report.damaged[0]
    assert sum(reads(vault, text) for text in TEXTS) == 3


def test_a_bad_pack_that_nobody_named_is_named_and_left_out(vault: Repository, bank: FaultyBank) -> None:
    save(vault)
    bad = store_pack(vault, [(DATA, b"left by a crash")], indexed=False)
    bank.change(pack_key(bad), lambda raw: raw[:-3])
    report = repair_index(vault)
    assert pack_key(bad) in report.damaged[0] and "left out" in report.damaged[0]
    assert bad not in vault.load_index().pack_ids
    assert bank.size(pack_key(bad)), "it is for the operator to decide"


def test_a_listing_that_lacks_what_is_there_is_not_believed(vault: Repository, bank: FaultyBank) -> None:
    save(vault)
    hidden, before = pack_key(data_pack(vault)), vault.names(INDEX)
    listed = bank.list

    def stale(prefix: str) -> Iterator[object]:
        return (item for item in listed(prefix) if item.key != hidden)

    bank.list = stale  # type: ignore[assignment,method-assign]
    with pytest.raises(VaultDamaged, match="does not list it"):
        repair_index(vault)
    assert vault.names(INDEX) == before


def _flip(raw: bytes, place: int) -> bytes:
    return raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]


# --- bad days ---


def _broken() -> tuple[Repository, FaultyBank]:
    """A vault whose index needs every kind of repair."""
    bank = FaultyBank()
    vault = new_vault(bank)
    save(vault)
    save(vault, [*TEXTS[:2], b"more" * 30])
    store_pack(vault, [(DATA, b"left by a crash")], indexed=False)
    names = vault.names(INDEX)
    for json in encode_index(vault.load_index().packs()):
        vault.save_unpacked(INDEX, json)
    bank.change(f"{INDEX}/{names[0]}", lambda raw: raw[:-1])
    bank.delete(f"{INDEX}/{names[1]}")
    return vault, bank


@pytest.mark.parametrize("read_all", [False, True])
def test_killed_at_any_instant_no_blob_is_lost_and_the_next_run_ends_it(read_all: bool) -> None:
    for changes in range(100):
        vault, bank = _broken()
        bank.fault = killed_after(changes)
        try:
            repair_index(vault, read_all=read_all)
            died = False
        except Killed:
            died = True
        bank.fault = lambda call, key: None
        readable = BlobIndex(_readable(vault))
        assert all((DATA, blob_id(text)) in readable for text in [*TEXTS, b"more" * 30])
        repair_index(vault)
        assert_whole(vault)
        if not died:
            assert changes >= 4, "each put and delete was tried"
            return
    raise AssertionError("it never ends")


def _readable(vault: Repository) -> Iterator[object]:
    for name in vault.names(INDEX):
        try:
            yield vault.load_index_file(name)
        except VaultDamaged:
            continue


def test_a_bank_that_fails_takes_nothing_away(vault: Repository, bank: FaultyBank) -> None:
    save(vault)
    drop_index(vault, lambda name: name == vault.names(INDEX)[0])
    before = vault.names(INDEX)

    def unplugged(call: str, key: str) -> None:
        if call == "get" and key.startswith("data"):
            raise BankUnavailable(reason="unplugged")

    bank.fault = unplugged
    with pytest.raises(BankUnavailable):
        repair_index(vault, read_all=True)
    assert vault.names(INDEX) == before


def test_a_lost_lock_stops_it_before_a_file_is_removed(vault: Repository) -> None:
    save(vault)
    before = vault.names(INDEX)

    def lost() -> None:
        raise LockLost(reason="test")

    with pytest.raises(LockLost):
        repair_index(vault, read_all=True, check_lock=lost)
    assert set(before) < set(vault.names(INDEX))


def test_it_stops_when_its_owner_says_so(vault: Repository) -> None:
    save(vault)
    drop_index(vault)

    class Stop(Progress):
        def check(self) -> None:
            raise Cancelled

    with pytest.raises(Cancelled):
        repair_index(vault, Stop())


def test_it_works_through_a_session_and_alone_in_the_vault(vault: Repository, bank: FaultyBank) -> None:
    save(vault)
    drop_index(vault)
    engine = VaultEngine(EngineOptions(in_process=True, lock_wait_s=0))
    with engine.session(bank, vault.key) as session:
        with shared_lock(vault, ME, ManualClock()) as _, pytest.raises(VaultLocked):
            session.repair_index()
        assert session.repair_index(read_all=True).added_packs == 2
    assert not list(bank.list("locks"))


# --- headers ---


@pytest.mark.parametrize("blobs", [1, 2, 1700, 5000])
def test_a_header_is_read_from_the_end_of_a_pack(vault: Repository, bank: FaultyBank, blobs: int) -> None:
    pack_id, raw, entries = make_pack(vault, [(DATA, b"%d" % number) for number in range(blobs)])
    bank.put(pack_key(pack_id), raw)
    asked: list[str] = []
    bank.fault = lambda call, key: asked.append(call)
    assert read_header(bank, vault.sealer, pack_id, len(raw)) == entries
    assert asked.count("get") == (1 if blobs * 41 < 64 * KIB - 40 else 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: b"",
        lambda raw: raw[:3],
        lambda raw: raw[:-1],
        lambda raw: raw + b"x",
        lambda raw: raw[1:],
        lambda raw: raw[:-4] + b"\xff\xff\xff\xff",
        lambda raw: raw[:-4] + bytes(4),
        lambda raw: raw[:-10] + b"?" + raw[-9:],
    ],
)
def test_what_is_no_header_is_said(
    vault: Repository, bank: FaultyBank, change: Callable[[bytes], bytes]
) -> None:
    pack_id, raw, _ = make_pack(vault, [(TREE, b"a tree"), (TREE, b"another")])
    bank.put(pack_key(pack_id), change(raw))
    with pytest.raises(VaultDamaged, match=pack_id.hex()):
        read_header(bank, vault.sealer, pack_id, len(change(raw)))


def test_a_pack_that_vanishes_is_said(vault: Repository, bank: FaultyBank) -> None:
    with pytest.raises(VaultDamaged, match="does not have it any more"):
        read_header(bank, vault.sealer, bytes(32), 100)
