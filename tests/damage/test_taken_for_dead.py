"""Operations that were taken for dead, and go on: what they miss may have been pruned, so they tell of their
lock and not of damage; and what others rely on by then stays. Found by
tests/property/test_prune_beside_others.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protectd.common.clock import SystemClock
from protectd.plugin.base import Buffer
from protectd.vault import locks
from protectd.vault.check import check
from protectd.vault.engine import VaultEngine, VaultSession
from protectd.vault.errors import LockLost
from protectd.vault.forget import forget
from protectd.vault.index import encode_index
from protectd.vault.locks import shared_lock
from protectd.vault.options import EngineOptions
from protectd.vault.pack import DATA, pack_key
from protectd.vault.prune import prune
from protectd.vault.repository import INDEX, LOCKS, Repository
from tests.fakes.engines import Rig
from tests.fakes.faults import FaultyBank
from tests.fakes.vault_kit import ME, make_pack, new_vault, save_files


@pytest.fixture(scope="module")
def engine() -> Iterator[VaultEngine]:
    """Alone in its vaults, so that it need not wait for others who may take a lock."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locks, "_SETTLE_S", 0.0)
        yield VaultEngine(EngineOptions(node="test", workers=1, in_process=True))


def quiet(call: str, key: str) -> None:
    """No fault."""


def lose_all(bank: FaultyBank, kind: str) -> None:
    bank.fault = quiet
    for item in list(bank.list(kind)):
        bank.delete(item.key)


# --- whoever reads ---


def copy(session: VaultSession, engine: VaultEngine) -> object:
    other = new_vault()
    return session.copy(VaultSession(engine, other.bank, other.key))


@pytest.mark.parametrize(
    "does", ["check", "check the structure", "restore", "restore a file", "copy", "prune"]
)
def test_it_tells_of_its_lock_and_not_of_damage(engine: VaultEngine, tmp_path: Path, does: str) -> None:
    bank = FaultyBank()
    rig = Rig(engine, tmp_path, bank)
    rig.file("file", os.urandom(9_000))
    goes = rig.file("goes", os.urandom(9_000))
    first, session = rig.save(), rig.session
    goes.unlink()
    saved = rig.save()
    session.forget([first.snapshot_id])
    (pack,) = (pack for pack, blobs in rig.repository.load_index().packs().items() if blobs[0].kind == DATA)

    def pruned_before_it_reads(call: str, key: str) -> None:
        if key == pack_key(pack) or ((call, key) == ("list", "data") and does != "prune"):
            lose_all(bank, LOCKS)
            bank.delete(pack_key(pack))

    def restore_file() -> None:
        with session.reading() as look:
            look.cat(look.snapshots()[0], b"file", lambda data: None)

    operations: dict[str, Callable[[], object]] = {
        "check": lambda: session.check(None, read_data=True),
        "check the structure": lambda: session.check(None, read_data=False),
        "restore": lambda: rig.restore(saved),
        "restore a file": restore_file,
        "copy": lambda: copy(session, engine),
        "prune": session.prune,
    }
    bank.fault = pruned_before_it_reads
    with pytest.raises(LockLost):
        operations[does]()


# --- whoever stores ---


class SlowBank(FaultyBank):
    """`halted` is what others do while whoever has just stored an index file is halted."""

    def __init__(self) -> None:
        super().__init__()
        self.halted: Callable[[], None] = lambda: None

    def put(self, key: str, data: Buffer) -> None:
        super().put(key, data)
        if key.startswith(INDEX):
            self.halted()


@pytest.fixture
def bank() -> SlowBank:
    return SlowBank()


@pytest.fixture
def vault(bank: SlowBank) -> Repository:
    return new_vault(bank)


def test_an_index_file_stays_that_others_may_rely_on(vault: Repository, bank: SlowBank) -> None:
    pack_id, raw, entries = make_pack(vault, [(DATA, b"text")])
    bank.halted = lambda: lose_all(bank, LOCKS)
    with pytest.raises(LockLost), shared_lock(vault, ME, SystemClock()) as lock:
        bank.put(pack_key(pack_id), raw)
        lock.store(INDEX, encode_index({pack_id: entries})[0])
    assert (DATA, entries[0].id) in vault.load_index()


def test_an_index_file_goes_that_names_what_is_gone(vault: Repository, bank: SlowBank) -> None:
    pack_id, raw, entries = make_pack(vault, [(DATA, b"text")])
    bank.halted = lambda: (lose_all(bank, LOCKS), lose_all(bank, "data"))
    with pytest.raises(LockLost), shared_lock(vault, ME, SystemClock()) as lock:
        bank.put(pack_key(pack_id), raw)
        lock.store(INDEX, encode_index({pack_id: entries})[0])
    assert vault.names(INDEX) == []


def test_a_prune_takes_out_of_a_late_index_file_what_it_has_deleted(
    vault: Repository, bank: SlowBank
) -> None:
    """The file is stored while the pack goes that was rubbish until then. What else it names stays."""
    save_files(vault, {b"a": b"text"})
    known = vault.load_index().packs()
    forget(vault, [save_files(vault, {b"a": b"other text"})])
    rubbish, raw, entries = make_pack(vault, [(DATA, b"late")])
    bank.put(pack_key(rubbish), raw)

    def wake_up(call: str, key: str) -> None:
        if (call, key) == ("delete", pack_key(rubbish)):
            bank.fault = quiet
            for json in encode_index({**known, rubbish: entries}):
                vault.save_unpacked(INDEX, json)

    bank.fault = wake_up
    prune(vault)
    assert bank.fault is quiet
    assert set(vault.load_index().packs()) == set(known)
    report = check(vault, read_data=True)
    assert report.ok, report.errors
