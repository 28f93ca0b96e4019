"""Packs as they are filled and stored."""

from __future__ import annotations

import hashlib
import os
import resource
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import zstandard

from protectd.common.units import KIB, MIB
from protectd.plugin.banks.memory import MemoryBank
from protectd.plugin.base import BankRefused, Buffer
from protectd.vault.check import check_pack
from protectd.vault.crypto import MasterKey, Sealer
from protectd.vault.index_files import MAX_BLOBS
from protectd.vault.pack import DATA, TREE, BlobEntry, pack_key, parse_header
from protectd.vault.packer import Packer, StoredPack
from protectd.vault.shared import SharedMemory

KEY = MasterKey.generate()


def packer(bank: MemoryBank, kind: str = DATA, pack_bytes: int = MIB) -> Packer:
    return Packer(bank, Sealer(KEY), kind=kind, pack_bytes=pack_bytes, level=1)


def memory(size: int) -> closing[SharedMemory]:
    return closing(SharedMemory.create(size))


def finish(packer: Packer) -> list[StoredPack]:
    packer.flush()
    packer.settle()
    return packer.take_stored()


def add(packer: Packer, plain: bytes) -> bytes:
    blob_id = hashlib.sha256(plain).digest()
    packer.add(blob_id, plain)
    return blob_id


def prove(bank: MemoryBank, packs: list[StoredPack]) -> None:
    for pack in packs:
        assert check_pack(bank.get(pack_key(pack.id)), pack.id, parse_header(pack.header), Sealer(KEY)) == []


def test_packs_are_closed_at_their_size_and_all_of_them_prove_good() -> None:
    bank = MemoryBank()
    with closing(packer(bank)) as ours:
        ids = [add(ours, os.urandom(300 * KIB)) for _ in range(20)]
        packs = ours.take_stored() + finish(ours)
    prove(bank, packs)
    assert [entry.id for pack in packs for entry in parse_header(pack.header)] == ids
    assert len(packs) == 5
    assert all(len(bank.get(pack_key(pack.id))) >= MIB for pack in packs)


def test_what_does_not_compress_is_stored_plain_but_a_tree_never() -> None:
    bank, noise = MemoryBank(), os.urandom(1000)
    for kind, plain_length in ((DATA, None), (TREE, 1000)):
        with closing(packer(bank, kind)) as ours:
            add(ours, noise)
            packs = finish(ours)
        prove(bank, packs)
        assert parse_header(packs[0].header)[0].plain_length == plain_length


def test_a_tree_larger_than_a_pack_gets_one_of_its_own() -> None:
    bank = MemoryBank()
    with closing(packer(bank, TREE)) as ours:
        add(ours, b"small")
        add(ours, os.urandom(30 * MIB))
        add(ours, b"small again")
        packs = ours.take_stored() + finish(ours)
    prove(bank, packs)
    assert [pack.blobs for pack in packs] == [1, 1, 1]


@pytest.mark.parametrize("before", [100, 900 * KIB])
def test_leftovers_of_one_packer_are_good_in_another(before: int) -> None:
    bank = MemoryBank()
    with closing(packer(bank)) as one, closing(packer(bank)) as other, memory(MIB) as left:
        ids = [add(one, os.urandom(before))]
        ids += [add(other, os.urandom(100 * KIB)) for _ in range(3)]
        one.take_over(other.leave(left), left)
        ids.append(add(one, b"behind them"))
        packs = one.take_stored() + finish(one)
        assert finish(other) == []
    prove(bank, packs)
    assert [entry.id for pack in packs for entry in parse_header(pack.header)] == ids
    assert [pack.blobs for pack in packs] == ([5] if before == 100 else [3, 2])


def test_leftovers_do_not_make_a_pack_that_no_index_file_takes() -> None:
    size, unit = 4 * MIB, bytes(40)
    with closing(packer(MemoryBank(), pack_bytes=size)) as one, memory(size) as left:
        with closing(packer(MemoryBank(), pack_bytes=size)) as other:
            for number in range(MAX_BLOBS // 2):
                for ours in (one, other):
                    ours.add_sealed(BlobEntry(DATA, b"%032d" % number, 0, len(unit), None), unit)
            add(other, b"one too many")
            one.take_over(other.leave(left), left)
        packs = one.take_stored() + finish(one)
    assert [pack.blobs for pack in packs] == [MAX_BLOBS, 1]


def test_nothing_is_left_of_an_empty_pack() -> None:
    with closing(packer(MemoryBank())) as one, closing(packer(MemoryBank())) as other, memory(MIB) as left:
        one.take_over(other.leave(left), left)
        assert finish(one) == []


def test_packs_that_are_stored_before_the_next_is_filled_are_made_in_the_same_memory() -> None:
    size, unit, bank = 16 * MIB, os.urandom(64 * KIB), StoredNothing()
    fitting = size // len(unit)
    packs: list[StoredPack] = []
    with closing(packer(bank, pack_bytes=size)) as ours:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for number in range(3 * fitting + 1):
            ours.add_sealed(BlobEntry(DATA, b"%032d" % number, 0, len(unit), None), unit)
            while len(packs) < number // fitting:
                packs += ours.take_stored()
        touched = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        packs += finish(ours)
    assert [entry.id for pack in packs for entry in parse_header(pack.header)] == [
        b"%032d" % number for number in range(3 * fitting + 1)
    ]
    assert bank.ids == [pack.id for pack in packs]
    assert touched < 1.5 * size / resource.getpagesize()


class StoredNothing(MemoryBank):
    """Looks at what it is given and forgets it: what it kept would be new memory, too."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[bytes] = []

    def put(self, key: str, data: Buffer) -> None:
        self.ids.append(hashlib.sha256(data).digest())


class FullBank(MemoryBank):
    def put(self, key: str, data: Buffer) -> None:
        raise BankRefused(key=key, reason="no space left")


def test_a_bank_that_refuses_is_heard_of_at_the_end_at_the_latest() -> None:
    with closing(packer(FullBank())) as ours, pytest.raises(BankRefused):
        add(ours, b"lost")
        finish(ours)


def test_closes_a_pack_that_fills_an_index_file_by_itself() -> None:
    with closing(packer(MemoryBank(), pack_bytes=16 * MIB)) as ours:
        for number in range(MAX_BLOBS + 1):
            ours.add(b"%032d" % number, b"tiny")
        packs = ours.take_stored() + finish(ours)
    assert [pack.blobs for pack in packs] == [MAX_BLOBS, 1]


def test_without_memory_for_the_next_pack_the_full_one_stays_as_it_is() -> None:
    """Not an OSError: a backup would blame the file that it reads, and go on."""
    bank = MemoryBank()
    with closing(packer(bank, pack_bytes=512 * MIB)) as ours:
        ids = [add(ours, b"before")]
        with address_space(256 * MIB), pytest.raises(MemoryError):
            ours.flush()
        ids.append(add(ours, b"after"))
        packs = finish(ours)
    prove(bank, packs)
    assert [entry.id for pack in packs for entry in parse_header(pack.header)] == ids


def test_without_memory_for_a_larger_pack_the_one_at_hand_is_used_once() -> None:
    bank, larger = MemoryBank(), os.urandom(16 * MIB)
    unit = Sealer(KEY).seal(zstandard.ZstdCompressor().compress(larger))
    entry = BlobEntry(TREE, hashlib.sha256(larger).digest(), 0, len(unit), len(larger))
    with closing(packer(bank, TREE)) as ours:
        ids = [add(ours, b"before")]
        ours.flush()
        ours.settle()
        with address_space(4 * MIB), pytest.raises(MemoryError):
            ours.add_sealed(entry, unit)
        ids.append(add(ours, b"after"))
        ours.add_sealed(entry, unit)
        ids += [entry.id, add(ours, b"last")]
        packs = finish(ours)
    prove(bank, packs)
    assert [entry.id for pack in packs for entry in parse_header(pack.header)] == ids


@contextmanager
def address_space(room: int) -> Iterator[None]:
    """No more than so many bytes beside what this process has."""
    former = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + room, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, former)
