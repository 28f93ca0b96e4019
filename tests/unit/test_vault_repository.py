from __future__ import annotations

import pytest

from protectd.common.clock import SystemClock
from protectd.plugin.banks.memory import MemoryBank
from protectd.plugin.base import BankUnavailable
from protectd.vault.crypto import MasterKey, Sealer
from protectd.vault.errors import (
    BlobMissing,
    SnapshotNotFound,
    UnsupportedVault,
    VaultDamaged,
    VaultExists,
    VaultNotFound,
    WrongPassword,
)
from protectd.vault.pack import DATA, TREE, pack_key
from protectd.vault.repository import INDEX, KEYS, SNAPSHOTS, BlobReader, Repository
from tests.fakes.faults import FaultyBank, Killed, killed_after
from tests.fakes.vault_kit import CHEAP, ME, PASSWORD, blob_id, new_vault, save_files, store_pack


@pytest.fixture
def bank() -> FaultyBank:
    return FaultyBank()


@pytest.fixture
def vault(bank: FaultyBank) -> Repository:
    return new_vault(bank)


def _create(bank: MemoryBank) -> Repository:
    return Repository.create(bank, PASSWORD, identity=ME, clock=SystemClock(), cost=CHEAP)


def test_a_new_vault_opens_with_its_password_and_with_its_key(vault: Repository) -> None:
    for again in (Repository.open(vault.bank, PASSWORD), Repository.with_key(vault.bank, vault.key)):
        assert (again.key, again.config) == (vault.key, vault.config)


def test_a_wrong_password_is_told_from_a_missing_vault(vault: Repository) -> None:
    with pytest.raises(WrongPassword) as caught:
        Repository.open(vault.bank, "guess")
    assert caught.value.facts == {"keys": 1}
    assert "guess" not in str(caught.value)
    with pytest.raises(VaultNotFound):
        Repository.open(MemoryBank(), PASSWORD)
    with pytest.raises(VaultNotFound):
        Repository.with_key(MemoryBank(), vault.key)


def test_a_key_of_another_vault_is_refused(vault: Repository) -> None:
    with pytest.raises(VaultDamaged, match="config"):
        Repository.with_key(vault.bank, MasterKey.generate())


def test_creating_twice_is_refused(vault: Repository) -> None:
    with pytest.raises(VaultExists):
        _create(vault.bank)


@pytest.mark.parametrize("changes", [0, 1])
def test_a_creation_that_died_in_the_middle_is_finished_by_the_next(bank: FaultyBank, changes: int) -> None:
    bank.fault = killed_after(changes)
    with pytest.raises(Killed):
        _create(bank)
    bank.fault = killed_after(1000)
    vault = _create(bank)
    assert Repository.open(bank, PASSWORD).config == vault.config
    assert len(vault.names(KEYS)) == 1


def test_of_two_creators_at_once_both_get_the_vault_whose_config_stands(bank: FaultyBank) -> None:
    rival = FaultyBank()
    rival._objects = bank._objects
    made: list[Repository] = []

    def interrupt(call: str, key: str) -> None:
        if (call, key[:4]) == ("put", "keys") and not made:
            made.append(_create(rival))

    bank.fault = interrupt
    vault = _create(bank)
    assert vault.key == made[0].key and vault.config == made[0].config
    assert len(vault.names(KEYS)) == 1
    assert Repository.open(bank, PASSWORD).key == vault.key


def test_a_damaged_key_file_beside_a_good_one_does_no_harm(vault: Repository, bank: FaultyBank) -> None:
    bank.put(f"{KEYS}/{'0' * 64}", b"{}")
    bank.put(f"{KEYS}/README", b"not ours")
    assert Repository.open(bank, PASSWORD).key == vault.key
    with pytest.raises(VaultDamaged, match="keys/0000"):
        Repository.open(bank, "guess")


def test_a_config_of_another_version_is_refused(vault: Repository, bank: FaultyBank) -> None:
    bank.put("config", Sealer(vault.key).seal(vault.config.encode().replace(b":2,", b":1,")))
    with pytest.raises(UnsupportedVault, match="version 1"):
        Repository.open(bank, PASSWORD)


def test_json_is_stored_under_the_hash_of_its_sealed_bytes(vault: Repository) -> None:
    one, other = (vault.save_unpacked(INDEX, b'{"packs":[]}') for _ in range(2))
    assert one != other
    for name in (one, other):
        raw = vault.bank.get(f"{INDEX}/{name}")
        assert blob_id(raw).hex() == name
        assert vault.sealer.open(raw)[:1] == b"\x02"
        assert vault.load_unpacked(INDEX, name) == b'{"packs":[]}'
    assert vault.names(INDEX) == sorted([one, other])


@pytest.mark.parametrize("plain", [b"", b"\x03abc", b"\x02no frame", b"x"])
def test_an_unknown_compression_is_refused(vault: Repository, plain: bytes) -> None:
    raw = vault.sealer.seal(plain)
    vault.bank.put(f"{INDEX}/{blob_id(raw).hex()}", raw)
    with pytest.raises(VaultDamaged, match=f"{INDEX}/"):
        vault.load_index()


def test_a_changed_byte_anywhere_in_an_index_or_a_snapshot_is_found(
    vault: Repository, bank: FaultyBank
) -> None:
    save_files(vault, {b"a": b"text"})
    for kind, load in ((INDEX, vault.load_index), (SNAPSHOTS, vault.snapshots)):
        key = f"{kind}/{vault.names(kind)[0]}"
        raw = bank.get(key)
        for place in range(0, len(raw), 7):
            bank.change(key, lambda old, at=place: old[:at] + bytes([old[at] ^ 1]) + old[at + 1 :])
            with pytest.raises(VaultDamaged, match=key):
                load()
            bank.change(key, lambda _, good=raw: good)
        bank.change(key, lambda old: old[:-1])
        with pytest.raises(VaultDamaged, match="do not fit its name"):
            load()
        bank.change(key, lambda _, good=raw: good)


def test_a_changed_byte_anywhere_in_the_config_or_the_key_file_is_found(
    vault: Repository, bank: FaultyBank
) -> None:
    for key in ("config", f"{KEYS}/{vault.names(KEYS)[0]}"):
        raw = bank.get(key)
        for place in range(len(raw)):
            bank.change(key, lambda old, at=place: old[:at] + bytes([old[at] ^ 1]) + old[at + 1 :])
            with pytest.raises(VaultDamaged, match=key):
                Repository.open(bank, PASSWORD)
            bank.change(key, lambda _, good=raw: good)
    assert Repository.open(bank, PASSWORD).key == vault.key


def test_a_file_under_another_files_name_is_found(vault: Repository, bank: FaultyBank) -> None:
    first, second = save_files(vault, {b"a": b"1"}), save_files(vault, {b"a": b"2"})
    bank.put(f"{SNAPSHOTS}/{first}", bank.get(f"{SNAPSHOTS}/{second}"))
    with pytest.raises(VaultDamaged, match=first):
        vault.load_snapshot(first)


def test_snapshots_come_oldest_first_and_go_one_by_one(vault: Repository) -> None:
    names = [save_files(vault, {b"a": b"%d" % n}, tags=(f"t={n}",)) for n in range(3)]
    assert [snapshot.id for snapshot in vault.snapshots()] == names
    assert vault.load_snapshot(names[1]).tags == ("t=1",)
    vault.remove_snapshot(names[1])
    vault.remove_snapshot(names[1])
    assert [snapshot.id for snapshot in vault.snapshots()] == [names[0], names[2]]
    for missing in (names[1], names[0][:8], "../config", ""):
        with pytest.raises(SnapshotNotFound):
            vault.load_snapshot(missing)
    with pytest.raises(SnapshotNotFound):
        vault.remove_snapshot("../config")


def test_a_blob_is_read_from_its_good_copy(vault: Repository, bank: FaultyBank) -> None:
    packs = [store_pack(vault, [(kind, b"text")]) for kind in (DATA, DATA, TREE, TREE)]
    index = vault.load_index()
    for kind, first in ((DATA, packs[0]), (TREE, packs[2])):
        bank.change(pack_key(first), lambda raw: raw[:20] + b"\x00\x01\x02" + raw[23:])
        assert BlobReader(vault, index).load(kind, blob_id(b"text")) == b"text"
    bank.delete(pack_key(packs[0]))
    assert vault.load_blob(DATA, blob_id(b"text")) == b"text"
    bank.delete(pack_key(packs[1]))
    with pytest.raises(VaultDamaged, match=r"data/.*does not have it"):
        vault.load_blob(DATA, blob_id(b"text"), index)
    with pytest.raises(BlobMissing, match=blob_id(b"never").hex()):
        vault.load_blob(DATA, blob_id(b"never"))


def test_a_damaged_only_copy_is_named_with_its_pack(vault: Repository, bank: FaultyBank) -> None:
    pack = store_pack(vault, [(DATA, b"text")])
    bank.change(pack_key(pack), lambda raw: raw[:20] + b"\x00\x01\x02" + raw[23:])
    with pytest.raises(VaultDamaged) as caught:
        vault.load_blob(DATA, blob_id(b"text"))
    assert caught.value.facts["object"] == f"data blob {blob_id(b'text').hex()} in {pack_key(pack)}"


def test_an_index_that_is_replaced_while_it_is_read_is_read_again(
    vault: Repository, bank: FaultyBank
) -> None:
    save_files(vault, {b"a": b"text"})
    old = {name: vault.load_unpacked(INDEX, name) for name in vault.names(INDEX)}
    done = []

    def replace(call: str, key: str) -> None:
        if call == "get" and key.startswith(INDEX) and not done:
            done.append(key)
            for name, json in old.items():
                vault.save_unpacked(INDEX, json)
                bank.delete(f"{INDEX}/{name}")

    bank.fault = replace
    assert (DATA, blob_id(b"text")) in vault.load_index()


def test_a_bank_that_is_away_is_not_called_damage(vault: Repository, bank: FaultyBank) -> None:
    save_files(vault, {b"a": b"text"})

    def away(call: str, key: str) -> None:
        raise BankUnavailable(reason="unplugged")

    bank.fault = away
    for load in (vault.load_index, vault.snapshots, lambda: Repository.open(bank, PASSWORD)):
        with pytest.raises(BankUnavailable):
            load()
