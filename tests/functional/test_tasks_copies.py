"""Copies on real rows and two real vaults: broken off, late, cancelled, and between kinds of banks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from protectd.common.errors import Cancelled
from protectd.domain import copies
from protectd.domain.providers import Provider, Providers
from protectd.model.models import Checkpoint
from protectd.model.unit_of_work import Database
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.plugin.banks.memory import MemoryBank
from protectd.plugin.banks.s3 import S3Bank
from protectd.plugin.base import BankPlugin, BankUnavailable
from protectd.tasks.copy import CopyCheckpoint
from protectd.tasks.hands import Hands
from protectd.vault.tags import CHECKPOINT_TAG
from tests.fakes import rows
from tests.fakes.clock import ManualClock
from tests.fakes.tree import differences, tree
from tests.fakes.vaults import PROVIDER_ID, Protected

pytest_plugins = ["tests.fakes.databases"]

TARGET_ID = "8b1f3a0e-7c55-4a0c-9d53-5a4d7e0c6b02"


class AwayAfter(MemoryBank):
    """Takes so many objects, and is away then."""

    left = -1

    def put(self, key: str, data: Any) -> None:
        if AwayAfter.left == 0 and not key.startswith(f"{TARGET_ID}/{rows.PROJECT}/locks"):
            raise BankUnavailable(reason="told so")
        AwayAfter.left -= 1
        super().put(key, data)


class Two(Protected):
    """A project with two providers: checkpoints are made in one and copied to the other."""

    def __init__(
        self, database: Database, root: Path, bank: BankPlugin | None = None, target: BankPlugin | None = None
    ) -> None:
        self.target_bank = target or MemoryBank.from_options({})
        super().__init__(database, ManualClock(), (str(root),), bank)

    def _env(self, vaults: Any) -> Any:
        env = super()._env(vaults)
        protections = self.provider.protections
        self.other = Provider(
            TARGET_ID,
            "other",
            "",
            self.target_bank,
            protections,
            allowed_roots={rows.PROJECT: self.provider.allowed_roots[rows.PROJECT]},
        )
        env.providers = Providers([self.provider, self.other])
        return env

    def copy(self, checkpoint: Checkpoint) -> list[Checkpoint]:
        with self.database.write() as uow:
            plan = uow.plans.get(checkpoint.plan_id)
            found = copies.sources(uow, plan, self.provider, self.other)
            pairs = copies.start(uow, self.submission(uow), plan, found, self.other)
        return [copy for _, copy in pairs]

    def of(self, checkpoint: Checkpoint) -> list[str]:
        """Snapshots in the target that say they are of this checkpoint, without what describes them."""
        tag = CHECKPOINT_TAG + checkpoint.id
        with self.env.vaults.session(self.other, rows.PROJECT) as vault:
            found = [each for each in vault.snapshots() if tag in each.tags]
        named = {row.snapshot_id for row in self.found(checkpoint).resources}
        return [each.id for each in found if each.id in named or not _describes(each.tags)]

    def brought_back(self, checkpoint: Checkpoint, target: Path) -> None:
        restore = self.restore(self.found(checkpoint), path=str(target))
        self.work()
        assert self.restored(restore).status == "success", self.restored(restore).error_message


def _describes(tags: tuple[str, ...]) -> bool:
    return any(tag.startswith("protectd:manifest") for tag in tags)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    made = tmp_path / "source"
    made.mkdir()
    for number in range(6):
        (made / str(number)).write_bytes(os.urandom(2_000_000))
    return made


def site_of(database: Database, root: Path, *banks: BankPlugin) -> tuple[Two, Checkpoint]:
    """With an available checkpoint."""
    site = Two(database, root, *banks)
    checkpoint = site.checkpoint(site.plan(root / "source"))
    site.work()
    assert site.found(checkpoint).status == "available"
    return site, checkpoint


@pytest.fixture
def two(chosen_database: Database, tmp_path: Path, source: Path) -> Iterator[tuple[Two, Checkpoint]]:
    made, checkpoint = site_of(chosen_database, tmp_path)
    yield made, checkpoint
    made.engine.close()


def banks(kind: str, request: pytest.FixtureRequest, root: Path) -> BankPlugin:
    if kind == "memory":
        return MemoryBank.from_options({})
    if kind == "filesystem":
        return FilesystemBank.from_options({"path": str(root / "bank")})
    options: Mapping[str, str] = request.getfixturevalue("seaweedfs")
    return S3Bank.from_options(options)


@pytest.mark.parametrize(
    ("here", "there"), [("filesystem", "s3"), ("s3", "filesystem"), ("memory", "filesystem")]
)
def test_a_copy_to_another_kind_of_bank_is_all_that_is_needed(
    here: str,
    there: str,
    request: pytest.FixtureRequest,
    chosen_database: Database,
    tmp_path: Path,
    source: Path,
) -> None:
    pair = banks(here, request, tmp_path), banks(there, request, tmp_path)
    site, checkpoint = site_of(chosen_database, tmp_path, *pair)
    (copy,) = site.copy(checkpoint)
    site.work()
    assert site.found(copy).error_message is None
    site.delete(checkpoint)
    site.work()
    assert site.snapshots() == []
    site.brought_back(copy, tmp_path / "back")
    assert differences(tree(source), tree(tmp_path / "back")) == []
    verification = site.verification(site.found(copy), "data")
    site.work()
    assert site.verified(verification).status == "success"
    site.engine.close()


def test_a_bank_that_is_away_in_the_middle_costs_an_attempt_and_what_was_moved_stays(
    chosen_database: Database, tmp_path: Path, source: Path
) -> None:
    site, checkpoint = site_of(chosen_database, tmp_path, None, AwayAfter.from_options({}))
    (copy,) = site.copy(checkpoint)
    AwayAfter.left = 6  # the vault, a lock, a pack or two
    site.work()
    assert site.found(copy).status == "copying"
    assert site.found(copy).resources[0].status == "protecting"
    AwayAfter.left = -1
    site.clock.advance(5)
    site.work()
    found = site.found(copy)
    assert (found.status, site.tasks("copy")[0].attempts) == ("available", 2)
    assert site.of(copy) == [found.resources[0].snapshot_id]
    site.brought_back(copy, tmp_path / "back")
    assert differences(tree(source), tree(tmp_path / "back")) == []


def test_a_copy_whose_worker_was_killed_before_its_last_word_leaves_one(
    two: tuple[Two, Checkpoint], tmp_path: Path
) -> None:
    site, checkpoint = two
    (copy,) = site.copy(checkpoint)
    site.work()
    first = site.of(copy)
    with site.database.write() as uow:
        row = uow.checkpoints.get(copy.id)
        row.status = row.resources[0].status = "copying"
        row.resources[0].status = "protecting"
        row.resources[0].snapshot_id = None
        site.submission(uow).process_copy(row)
    site.work()
    found = site.found(copy)
    assert (found.status, found.stored_bytes) == ("available", 0), "nothing was moved again"
    assert site.of(copy) == [found.resources[0].snapshot_id] != first


def test_one_that_is_late_takes_away_what_it_has_stored(two: tuple[Two, Checkpoint]) -> None:
    """As a worker that was frozen after its last byte, while another did the whole task."""
    site, checkpoint = two
    (copy,) = site.copy(checkpoint)
    (ref,) = site.due()

    class Late(CopyCheckpoint):
        def handle_processing(self, run: Any) -> None:
            super().handle_processing(run)
            with site.database.write() as uow:
                assert uow.tasks.release_lost(uow.tasks.get(run.task_id), site.clock.now())
            mine, site.env.hands = site.env.hands, Hands()
            site.run(ref)
            site.env.hands = mine

    Late(site.env).process_and_suppress_exceptions(ref.context, ref.task_id)
    found = site.found(copy)
    assert (found.status, site.task_state(ref)) == ("available", ("done", 2))
    assert site.of(copy) == [found.resources[0].snapshot_id]


def test_one_that_is_cancelled_leaves_nothing_and_lets_its_source_go(
    two: tuple[Two, Checkpoint],
) -> None:
    site, checkpoint = two
    (copy,) = site.copy(checkpoint)
    (ref,) = site.due()

    class Cancels(CopyCheckpoint):
        def handle_processing(self, run: Any) -> None:
            run.progress.end_with(Cancelled())
            super().handle_processing(run)

    Cancels(site.env).process_and_suppress_exceptions(ref.context, ref.task_id)
    found = site.found(copy)
    assert (found.status, found.error_code) == ("error", "cancelled")
    assert site.of(copy) == []
    with site.database.read() as uow:
        assert not uow.checkpoints.pinned(checkpoint.id)


def test_a_source_that_is_damaged_has_no_copy_and_says_what_is_missing(
    two: tuple[Two, Checkpoint],
) -> None:
    site, checkpoint = two
    bank = site.bank.section(f"{PROVIDER_ID}/{rows.PROJECT}")
    key = max((each.key for each in bank.list("data")), key=bank.size)
    raw = bytearray(bank.get(key))
    raw[len(raw) // 2] ^= 1
    bank.put(key, bytes(raw))
    (copy,) = site.copy(checkpoint)
    site.work()
    found = site.found(copy)
    assert (found.status, found.error_code) == ("error", "copy.incomplete")
    assert "do not read" in (found.error_message or "")
    assert site.of(copy) == []
    assert site.found(checkpoint).status == "available"


def test_a_source_that_is_gone_fails_its_copy_with_a_reason(two: tuple[Two, Checkpoint]) -> None:
    site, checkpoint = two
    (copy,) = site.copy(checkpoint)
    with site.database.write() as uow:
        uow.checkpoints.get(checkpoint.id).status = "error"
    site.work()
    found = site.found(copy)
    assert (found.status, found.error_code) == ("error", "task.entity_not_ready")
    assert found.resources[0].status == "error"


def test_a_copy_is_described_and_deleted_whole(two: tuple[Two, Checkpoint]) -> None:
    site, checkpoint = two
    (copy,) = site.copy(checkpoint)
    site.work()
    site.delete(copy)
    site.work()
    assert site.found(copy).status == "deleted"
    with site.env.vaults.session(site.other, rows.PROJECT) as vault:
        assert vault.snapshots() == []
    assert list(site.target_bank.section(f"{TARGET_ID}/{rows.PROJECT}").list("data")) == []
    assert site.snapshots() != []
