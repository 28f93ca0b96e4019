"""Shares of packs: whoever reads them in turn has read everything once."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import date, timedelta

import pytest

from protectd.vault.engine import VaultEngine
from protectd.vault.options import EngineOptions
from protectd.vault.pack import DATA, pack_key
from protectd.vault.pack_share import BadShare, PackShare
from tests.fakes.faults import FaultyBank
from tests.fakes.vault_kit import new_vault, save_root, store_pack, tree_of

PACKS = [hashlib.sha256(b"%d" % number).digest() for number in range(2000)]
DAY = date(2026, 2, 25)


@pytest.mark.parametrize("parts", [1, 2, 7, 30, 256])
def test_the_parts_together_hold_each_pack_once(parts: int) -> None:
    shares = [PackShare.nth(number, parts) for number in range(1, parts + 1)]
    held = Counter(pack for share in shares for pack in PACKS if pack in share)
    assert held == Counter(PACKS)


def test_a_part_is_the_one_that_restic_reads() -> None:
    share = PackShare.parse("3/7")
    assert [pack for pack in PACKS if pack in share] == [pack for pack in PACKS if pack[0] % 7 == 2]


@pytest.mark.parametrize("period", [1, 7, 30, 365, 1000])
def test_any_days_in_a_row_as_long_as_the_period_read_each_pack_once(period: int) -> None:
    shares = [PackShare.daily(period, DAY + timedelta(days=day)) for day in range(period)]
    held = Counter(pack for share in shares for pack in PACKS if pack in share)
    assert held == Counter(PACKS)
    assert PackShare.daily(period, DAY) == PackShare.daily(period, DAY + timedelta(days=period))


def test_a_day_reads_its_share_and_not_much_more() -> None:
    sizes = [
        sum(pack in PackShare.daily(20, DAY + timedelta(days=day)) for pack in PACKS) for day in range(20)
    ]
    assert 60 < min(sizes) <= max(sizes) < 140


@pytest.mark.parametrize(
    "text", ["", "0/5", "6/5", "1/257", "1", "1/", "/5", "a/b", "1.5/3", "-1/3", "1/2/3"]
)
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(BadShare) as caught:
        PackShare.parse(text)
    assert caught.value.facts["share"] == text


@pytest.mark.parametrize("period", [0, -1, 3661])
def test_a_period_has_bounds(period: int) -> None:
    with pytest.raises(BadShare):
        PackShare.daily(period, DAY)


def test_a_check_reads_the_packs_of_its_share_alone_and_looks_at_the_structure_of_all() -> None:
    bank = FaultyBank()
    vault = new_vault(bank)
    store_pack(vault, [("tree", tree_of())])
    save_root(vault, tree_of())
    packs = [store_pack(vault, [(DATA, b"text %d" % number)]) for number in range(12)]
    for pack in packs:
        bank.change(pack_key(pack), lambda raw: bytes([raw[0] ^ 1]) + raw[1:])
    engine, told = VaultEngine(EngineOptions(workers=2, in_process=True)), []
    with engine.session(bank, vault.key) as session:
        for number in (1, 2, 3):
            share = PackShare.nth(number, 3)
            report = session.check(None, read_data=True, share=share)
            held = [pack for pack in packs if pack in share]
            assert report.packs == 13
            assert len(held) <= report.read_packs <= len(held) + 1
            assert {pack for pack in packs if any(pack.hex() in error for error in report.errors)} == set(
                held
            )
            told.append(report.read_packs)
    assert sum(told) == 13
