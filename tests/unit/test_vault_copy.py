"""A copy to another vault: everything that is missing there, and nothing twice."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import orjson
import pytest

from protectd.common.errors import Cancelled
from protectd.common.progress import Counts, Progress
from protectd.common.reports import CopyReport
from protectd.common.units import MIB
from protectd.plugin.base import BankUnavailable
from protectd.vault.check import check
from protectd.vault.copy_plan import copied_json, find_copy, portions
from protectd.vault.engine import VaultEngine
from protectd.vault.errors import SameVault, SnapshotNotFound
from protectd.vault.index import BlobIndex
from protectd.vault.options import EngineOptions
from protectd.vault.pack import DATA, TREE, BlobEntry, pack_key
from protectd.vault.reading import reading
from protectd.vault.repository import SNAPSHOTS, Repository
from protectd.vault.snapshot import Snapshot
from tests.fakes.faults import FaultyBank
from tests.fakes.vault_kit import blob_id, directory_of, file_of, new_vault, save_root, store_pack, tree_of
from tests.fakes.vault_trees import save_nested

CONTENT = {
    b"a": b"text" * 100,
    b"dir": {b"b": (b"one" * 50, b"two" * 50), b"empty": b"", b"deep": {b"c": b"x"}},
}


class Pair:
    """Two vaults in memory, with keys of their own."""

    def __init__(self, engine: VaultEngine) -> None:
        self.source_bank, self.target_bank = FaultyBank(), FaultyBank()
        self.source, self.target = (
            new_vault(self.source_bank),
            new_vault(self.target_bank, "another password"),
        )
        self._engine = engine

    def copy(self, *ids: str, progress: Progress | None = None) -> CopyReport:
        with (
            self._engine.session(self.source_bank, self.source.key) as source,
            self._engine.session(self.target_bank, self.target.key) as target,
        ):
            return source.copy(target, ids or None, progress)

    def locks(self) -> list[str]:
        return [item.key for bank in (self.source_bank, self.target_bank) for item in bank.list("locks")]


@pytest.fixture
def engine() -> Iterator[VaultEngine]:
    made = VaultEngine(EngineOptions(workers=2, in_process=True, lock_wait_s=0))
    yield made
    made.close()


@pytest.fixture
def pair(engine: VaultEngine) -> Pair:
    return Pair(engine)


def files_of(vault: Repository, snapshot_id: str) -> dict[bytes, bytes]:
    """Path and content of each file."""
    found: dict[bytes, bytes] = {}
    with reading(vault, EngineOptions(), Progress()) as looking:
        snapshot = vault.load_snapshot(snapshot_id)
        for entry in list(looking.list(snapshot, b"/", recursive=True)):
            if entry.node is not None and entry.node.type == "file":
                pieces: list[bytes] = []
                looking.cat(snapshot, entry.path, pieces.append)
                found[entry.path] = b"".join(pieces)
    return found


def damage(bank: FaultyBank, vault: Repository, kind: str, plain_id: bytes) -> None:
    for pack_id, entry in vault.load_index().copies(kind, plain_id):
        bank.change(
            pack_key(pack_id),
            lambda raw, at=entry.offset: raw[: at + 20] + bytes([raw[at + 20] ^ 1]) + raw[at + 21 :],
        )


# --- what moves ---


def test_a_copy_holds_the_same_under_another_key(pair: Pair) -> None:
    saved = save_nested(pair.source, CONTENT, tags=("protectd:checkpoint=c1", "other"))
    report = pair.copy()
    ((source_id, target_id),) = report.copied
    assert source_id == saved.id and report.ok and report.present == ()
    copy = pair.target.load_snapshot(target_id)
    assert copy == replace(saved, id=target_id, original=saved.id)
    assert files_of(pair.target, target_id) == files_of(pair.source, saved.id)
    assert check(pair.target, read_data=True).ok and not check(pair.target).hints
    assert report.blobs == len(pair.source.load_index()) == len(pair.target.load_index())
    assert pair.locks() == []


def test_a_repeated_copy_adds_nothing(pair: Pair) -> None:
    saved = save_nested(pair.source, CONTENT)
    (first,) = pair.copy().copied
    before = sorted(item.key for item in pair.target_bank.list(""))
    report = pair.copy(saved.id)
    assert (report.copied, report.present, report.blobs) == ((), (first,), 0)
    assert sorted(item.key for item in pair.target_bank.list("")) == before


def test_only_what_is_missing_moves(pair: Pair) -> None:
    save_nested(pair.source, CONTENT)
    first = pair.copy()
    more = save_nested(pair.source, {**CONTENT, b"new": b"new text"})
    report = pair.copy()
    assert report.blobs == 2, "the new file and the root"
    assert [source for source, _ in report.copied] == [more.id]
    assert first.blobs > 4
    assert check(pair.target, read_data=True).ok


def test_snapshots_are_chosen(pair: Pair) -> None:
    saved = [save_nested(pair.source, {b"f": b"%d" % number}) for number in range(3)]
    assert [source for source, _ in pair.copy(saved[1].id, saved[1].id).copied] == [saved[1].id]
    assert len(pair.target.snapshots()) == 1
    with pytest.raises(SnapshotNotFound):
        pair.copy("ab" * 32)


def test_a_copy_of_a_copy_is_the_same_snapshot(pair: Pair, engine: VaultEngine) -> None:
    saved = save_nested(pair.source, CONTENT)
    ((_, copy_id),) = pair.copy().copied
    third = Pair(engine)
    third.source_bank, third.source = pair.target_bank, pair.target
    ((_, third_id),) = third.copy().copied
    assert third.target.load_snapshot(third_id).original == saved.id
    back = Pair(engine)
    back.source_bank, back.source = third.target_bank, third.target
    back.target_bank, back.target = pair.source_bank, pair.source
    assert back.copy().present == ((third_id, saved.id),)
    assert copy_id not in (third_id, saved.id)


def test_the_same_vault_is_no_target(pair: Pair) -> None:
    pair.target_bank, pair.target = pair.source_bank, pair.source
    with pytest.raises(SameVault):
        pair.copy()


def test_an_empty_vault_is_copied_as_such(pair: Pair) -> None:
    assert pair.copy() == CopyReport()


def test_nothing_readable_is_stored(pair: Pair) -> None:
    text = b"a secret that stands out" * 20
    save_nested(pair.source, {b"f": text})
    store_pack(pair.source, [(DATA, b"plain" * 90)], compress=False)
    save_nested(pair.source, {b"g": b"plain" * 90})
    pair.copy()
    for item in pair.target_bank.list(""):
        raw = pair.target_bank.get(item.key)
        assert b"stands out" not in raw and b"plainplain" not in raw


def test_blobs_stay_compressed_or_plain_as_they_are(pair: Pair) -> None:
    store_pack(pair.source, [(DATA, b"plain" * 90)], compress=False)
    save_nested(pair.source, {b"f": b"plain" * 90, b"g": b"frame" * 90})
    pair.copy()
    lengths = {
        entry.id: (entry.length, entry.plain_length)
        for vault in (pair.source, pair.target)
        for _, entry in vault.load_index()
    }
    assert lengths[blob_id(b"plain" * 90)] == (450 + 32, None)
    for _, entry in pair.target.load_index():
        assert (entry.length, entry.plain_length) == lengths[entry.id]


def test_a_mixed_pack_is_separated(pair: Pair) -> None:
    tree = tree_of(file_of(b"a", b"text"))
    store_pack(pair.source, [(DATA, b"text"), (TREE, tree)])
    save_root(pair.source, tree)
    pair.copy()
    assert not check(pair.target, read_data=True).hints


# --- bad days ---


@pytest.mark.parametrize(
    "lose",
    [
        lambda bank, vault: damage(bank, vault, DATA, blob_id(b"lost" * 30)),
        lambda bank, vault: damage(bank, vault, TREE, blob_id(tree_of(file_of(b"f", b"lost" * 30)))),
        lambda bank, vault: bank.delete(pack_key(vault.load_index().lookup(DATA, blob_id(b"lost" * 30))[0])),
    ],
)
def test_a_snapshot_that_lacks_something_is_named_and_the_others_are_copied(
    pair: Pair, lose: Callable[[FaultyBank, Repository], None]
) -> None:
    good = save_nested(pair.source, CONTENT)
    bad = save_nested(pair.source, {**CONTENT, b"bad": {b"f": b"lost" * 30}})
    lose(pair.source_bank, pair.source)
    report = pair.copy()
    assert [source for source, _ in report.copied] == [good.id]
    (error,) = report.errors
    assert bad.id in error and "bring the object back" in error
    assert check(pair.target, read_data=True).ok
    assert files_of(pair.target, report.copied[0][1]) == files_of(pair.source, good.id)


def test_what_no_index_knows_is_not_copied_as_if_it_were(pair: Pair) -> None:
    tree = tree_of(directory_of(b"dir", b"nowhere"))
    store_pack(pair.source, [(TREE, tree)])
    bad = save_root(pair.source, tree)
    report = pair.copy()
    assert (
        report.copied == () and bad in report.errors[0] and "no index knows 1 tree blob" in report.errors[0]
    )
    assert pair.target.snapshots() == []


def test_another_copy_of_a_damaged_blob_is_taken(pair: Pair) -> None:
    saved = save_nested(pair.source, CONTENT)
    packs = {pack_id for pack_id, _ in pair.source.load_index().copies(DATA, blob_id(b"x"))}
    store_pack(pair.source, [(DATA, b"x")])
    copies = pair.source.load_index().copies(DATA, blob_id(b"x"))
    for pack_id, entry in copies:
        if pack_id == copies[0][0]:
            pair.source_bank.change(
                pack_key(pack_id), lambda raw, at=entry.offset: raw[: at + 18] + b"?" + raw[at + 19 :]
            )
    report = pair.copy()
    assert report.ok and len(packs) == 1
    assert files_of(pair.target, report.copied[0][1])[b"/dir/deep/c"] == b"x"
    assert report.copied[0][0] == saved.id


def test_a_damaged_snapshot_is_named_and_the_others_are_copied(pair: Pair) -> None:
    good, bad = save_nested(pair.source, CONTENT), save_nested(pair.source, {b"f": b"1"})
    pair.source_bank.change(f"{SNAPSHOTS}/{bad.id}", lambda raw: raw[:-1])
    report = pair.copy()
    assert [source for source, _ in report.copied] == [good.id]
    assert len(report.errors) == 1 and bad.id in report.errors[0]


def test_what_the_target_has_lost_is_brought_back(pair: Pair) -> None:
    save_nested(pair.source, CONTENT)
    ((_, copy_id),) = pair.copy().copied
    found = pair.target.load_index().lookup(DATA, blob_id(b"x"))
    assert found is not None
    pair.target_bank.delete(pack_key(found[0]))
    pair.target_bank.change(f"{SNAPSHOTS}/{copy_id}", lambda raw: raw[:-1])
    report = pair.copy()
    ((_, new_id),) = report.copied
    assert copy_id in report.hints[0] and report.blobs >= 1
    assert files_of(pair.target, new_id) == files_of(pair.source, report.copied[0][0])


def test_it_stops_when_its_owner_says_so_and_the_next_one_goes_on(pair: Pair) -> None:
    for number in range(40):
        save_nested(pair.source, {b"d%d" % each: {b"f": b"%d %d" % (number, each)} for each in range(20)})
    pair.source_bank.fault = lambda call, key: time.sleep(0.02) if key.startswith("data") else None

    class Stop(Progress):
        told = 0

        def report(self, counts: Counts) -> None:
            self.told += counts.phase == "copy"

        def check(self) -> None:
            if self.told:
                raise Cancelled

    with pytest.raises(Cancelled):
        pair.copy(progress=Stop())
    pair.source_bank.fault = lambda call, key: None
    assert pair.locks() == []
    assert len(pair.target.snapshots()) == 0
    assert check(pair.target, read_data=True).ok
    report = pair.copy()
    assert report.ok and len(pair.target.snapshots()) == 40
    assert check(pair.target, read_data=True).ok


@pytest.fixture
def large() -> Iterator[Pair]:
    """With many packs to be moved, and as many to be made."""
    engine = VaultEngine(EngineOptions(workers=2, in_process=True, lock_wait_s=0, pack_bytes=MIB))
    pair = Pair(engine)
    for _ in range(30):
        save_nested(pair.source, {b"n": os.urandom(1_200_000)})
    yield pair
    engine.close()


def test_one_that_was_asked_to_end_does_not_move_all_of_it_again(
    large: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("protectd.vault.operation._INTERVAL_S", 0)

    class Stop(Progress):
        moved = 0

        def report(self, counts: Counts) -> None:
            self.moved = max(self.moved, counts.done_files)

        def check(self) -> None:
            if self.moved >= 10:
                raise Cancelled

    with pytest.raises(Cancelled):
        large.copy(progress=Stop())
    left = large.copy()
    assert left.ok
    assert 0 < left.blobs < 60
    assert check(large.target, read_data=True).ok


def test_what_is_moved_is_named_while_it_goes_on(large: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protectd.vault.copy_blobs.INDEX_EVERY_S", 0)
    report = large.copy()
    assert report.ok
    assert len(list(large.target_bank.list("index"))) > 1
    assert check(large.target, read_data=True).ok
    assert large.copy().blobs == 0


def test_cut_off_at_any_put_it_leaves_a_good_vault_and_the_next_run_ends_it(engine: VaultEngine) -> None:
    for puts in range(100):
        pair = Pair(engine)
        saved = [save_nested(pair.source, {**CONTENT, b"n": b"%d" % number}) for number in range(2)]
        died = _copy_until(pair, puts)
        for item in list(pair.target_bank.list("locks")):
            pair.target_bank.delete(item.key)
        assert check(pair.target, read_data=True).ok
        report = pair.copy()
        assert report.ok and len(report.copied) + len(report.present) == 2
        assert [files_of(pair.target, new) for _, new in (*report.present, *report.copied)] == [
            files_of(pair.source, each.id) for each in saved
        ]
        if not died:
            assert puts >= 6, "lock, packs, index and snapshots were all tried"
            return
    raise AssertionError("it never ends")


def _copy_until(pair: Pair, puts: int) -> bool:
    left = [puts]

    def fault(call: str, key: str) -> None:
        if call == "put":
            if left[0] == 0:
                raise BankUnavailable(reason="unplugged")
            left[0] -= 1

    pair.target_bank.fault = fault
    try:
        pair.copy()
    except BankUnavailable:
        return True
    finally:
        pair.target_bank.fault = lambda call, key: None
    return False


# --- plans ---


def test_a_copied_snapshot_keeps_what_other_programs_wrote() -> None:
    raw = (
        b'{"time":"2026-01-02T03:04:05Z","parent":"aa","tree":"bb","tags":["t"],'
        b'"program_version":"restic 0.17","summary":{"files_new":1}}'
    )
    before = orjson.loads(raw)
    del before["parent"]
    assert orjson.loads(copied_json(raw, "cc")) == before | {"original": "cc"}


def test_a_snapshot_with_other_tags_is_another_one(pair: Pair) -> None:
    saved: Snapshot = save_nested(pair.source, CONTENT, tags=("a", "b"))
    copy = replace(saved, id="1" * 64, original=saved.id, parent="2" * 64, tags=("b", "a"))
    assert find_copy(saved, [copy]) == copy
    assert find_copy(saved, [replace(copy, tags=("a",))]) is None
    assert find_copy(saved, [replace(copy, original="3" * 64)]) is None


def test_portions_are_worth_one_read_and_small_enough_for_a_job() -> None:
    mib = 1 << 20
    sizes = [100] * 300 + [20 * mib, 20 * mib]
    entries, offset = [], 0
    for number, size in enumerate(sizes):
        entries.append(BlobEntry(DATA, blob_id(b"%d" % number), offset, size, None))
        offset += size + (mib if number == 9 else 0)
    index = BlobIndex.of({b"p" * 32: entries})
    cut = [len(portion) for _, portion in portions(index, index.rows_of(DATA, [each.id for each in entries]))]
    assert cut == [10, 256, 35, 1]
