"""Issue 3, point 6 (e): a bank that lists stale, as stores do that update their listings after their objects:
what was stored lately does not show, what was deleted still does."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from protectd.common.clock import SystemClock
from protectd.vault import listing, repository
from protectd.vault.engine import VaultEngine
from protectd.vault.errors import ListingBehind
from protectd.vault.key_files import add_key, remove_key
from protectd.vault.options import EngineOptions
from protectd.vault.repository import Repository
from tests.fakes.engines import Rig
from tests.fakes.failing_bank import LaggingBank
from tests.fakes.tree import differences, tree
from tests.fakes.vault_audit import Audit
from tests.fakes.vault_kit import CHEAP, ME, PASSWORD, Restic, new_vault
from tests.fakes.vault_script import HELD, OPERATIONS, OPTIONS, Stage, arrange

LAG_S = 0.6
VAULTS = ("here", "there")


def test_operations_one_right_after_the_other_lose_nothing(tmp_path: Path, restic: str) -> None:
    """Each begins with listings that do not show yet what the one before has done."""
    banks = {vault: LaggingBank(tmp_path / vault, lag_s=LAG_S) for vault in VAULTS}
    stage = Stage(tmp_path / "source", VaultEngine(OPTIONS), banks.__getitem__)
    trees = {}
    for generation, checkpoint in ((1, "first"), (2, "second")):
        arrange(stage.source, generation)
        trees[checkpoint] = tree(stage.source)
    new_vault(banks["there"])
    for operation in OPERATIONS.values():
        operation(stage)
    for vault in VAULTS:
        stage.session(vault).prune()
    for bank in banks.values():
        bank.be_well()
    programs = {vault: Restic(restic, tmp_path / vault) for vault in VAULTS}
    audit = Audit(stage, trees, tmp_path / "restored", programs)
    held = HELD[list(OPERATIONS)[-1]][1]
    audit.assert_holds(held, held)
    for vault in VAULTS:
        audit.assert_clean(vault)


# --- listings that are not brought up to date for long ---


class Scene(Rig):
    """A vault of two checkpoints."""

    def __init__(self, top: Path, engine: VaultEngine) -> None:
        self.lagging = LaggingBank(top / "vault")
        super().__init__(engine, top, self.lagging)
        self.file("a", b"first")
        self.first = self.save()
        self.file("b", b"second")
        self.second = self.save()
        self.saved = tree(self.source)

    def assert_nothing_is_lost(self, snapshots: int = 2) -> None:
        """When the listings are up to date again."""
        self.lagging.be_well()
        assert self.locks() == []
        assert self.restore(self.second, "second").issues == ()
        assert differences(self.saved, tree(self.top / "second")) == []
        report = self.session.check(None, read_data=True)
        assert report.ok and report.snapshots == snapshots


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    engine = VaultEngine(EngineOptions(node="test", workers=1, lock_wait_s=0.3))
    made = Scene(tmp_path, engine)
    monkeypatch.setattr(listing, "LISTED_WITHIN_S", 0.1)
    monkeypatch.setattr(repository, "_PAUSES_S", (0.0, 0.0))
    yield made
    engine.close()


def test_a_prune_does_not_take_for_unneeded_what_an_unlisted_checkpoint_needs(scene: Scene) -> None:
    scene.lagging.halt_before(f"snapshots/{scene.second.snapshot_id}")
    with pytest.raises(ListingBehind) as caught:
        scene.session.prune()
    assert caught.value.facts["object"].startswith("locks/")
    scene.assert_nothing_is_lost()


def test_whoever_changes_a_vault_waits_until_others_can_see_his_lock(scene: Scene) -> None:
    scene.lagging.halt_before(f"snapshots/{scene.second.snapshot_id}")
    vault, clock = scene.repository, SystemClock()
    key = vault.names("keys")[0]
    for change in (
        scene.save,
        lambda: scene.session.save_stream(io.BytesIO(b"text"), "dump", tags=[]),
        scene.session.repair_index,
        lambda: add_key(vault, "another", ME, clock, cost=CHEAP),
        lambda: remove_key(vault, key, PASSWORD, ME, clock),
    ):
        with pytest.raises(ListingBehind):
            change()
    scene.assert_nothing_is_lost()


def test_whoever_reads_a_vault_does_not(scene: Scene) -> None:
    scene.lagging.halt_before(f"snapshots/{scene.second.snapshot_id}")
    assert scene.restore(scene.first, "first").issues == ()
    assert (
        scene.restore(scene.second, "unlisted").issues == ()
    )  # its index file shows, and nobody lists for it
    report = scene.session.check(None, read_data=True)
    assert report.ok and report.snapshots == 1
    scene.assert_nothing_is_lost()


def test_an_unlisted_pack_is_not_called_lost(scene: Scene) -> None:
    scene.lagging.hidden = "data/"
    assert scene.session.check(None, read_data=True).errors == ()
    scene.assert_nothing_is_lost()


def test_an_index_file_that_is_deleted_and_still_listed_keeps_nobody_from_reading(scene: Scene) -> None:
    before = set(scene.repository.names("index"))
    scene.session.forget([scene.first.snapshot_id])
    scene.session.prune()
    deleted = min(before.difference(scene.repository.names("index")))
    scene.lagging.halt_before(f"index/{deleted}")
    assert scene.restore(scene.second, "listed").issues == ()
    assert deleted in " ".join(scene.session.check(None, read_data=True).errors)
    with pytest.raises(ListingBehind):
        scene.save()


def test_an_index_file_that_is_listed_for_ever_and_not_there_goes_with_a_repair(scene: Scene) -> None:
    key = f"index/{'0' * 64}"
    scene.lagging.show_also(key)
    with pytest.raises(ListingBehind, match=key):
        scene.save()
    report = scene.session.repair_index()
    assert report.ok and key in report.unreadable_files[0]
    assert scene.restore(scene.save(), "again").issues == ()
    scene.assert_nothing_is_lost(snapshots=3)


def test_a_new_vault_is_none_before_its_key_file_can_be_found(tmp_path: Path, scene: Scene) -> None:
    bank = LaggingBank(tmp_path / "new")
    bank.hidden = "keys/"
    with pytest.raises(ListingBehind, match="keys/"):
        new_vault(bank)
    bank.be_well()
    assert new_vault(bank).key == Repository.open(bank, PASSWORD).key
