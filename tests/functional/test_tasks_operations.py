"""Protect, restore, verify, delete and prune on real rows, a real vault and real directories."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from protectd.common.clock import SystemClock
from protectd.common.errors import Unavailable
from protectd.common.reports import Issue, SaveReport
from protectd.domain.submission import reference
from protectd.model.unit_of_work import Database
from protectd.plugin.banks.memory import MemoryBank
from protectd.plugin.base import BankUnavailable
from protectd.tasks.errors import LeaseLost
from protectd.tasks.hands import Hands
from protectd.tasks.marks import TaskMarks
from protectd.tasks.operations import makers
from protectd.tasks.protect import ProtectCheckpoint
from protectd.tasks.saving import is_partial
from protectd.tasks.snapshots import snapshot_ids
from protectd.vault.locks import shared_lock
from protectd.vault.repository import Repository
from tests.fakes import rows
from tests.fakes.clock import ManualClock
from tests.fakes.tree import differences, tree
from tests.fakes.vaults import PROVIDER_ID, Protected

pytest_plugins = ["tests.fakes.databases"]


class FlakyBank(MemoryBank):
    """Away while told so."""

    away = False

    def put(self, key, data):
        if FlakyBank.away:
            raise BankUnavailable(reason="told so")
        super().put(key, data)


class PartlyAwayBank(MemoryBank):
    """Gives everything but one object."""

    away = ""

    def read_into(self, key, buffer, offset=0, *, fresh=False):
        if key.endswith(PartlyAwayBank.away) and PartlyAwayBank.away:
            raise BankUnavailable(reason="told so")
        return super().read_into(key, buffer, offset, fresh=fresh)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with content that does not compress."""
    made = tmp_path / "source"
    (made / "deep" / "er").mkdir(parents=True)
    (made / "one.txt").write_text("one")
    (made / "deep" / "two.bin").write_bytes(os.urandom(300_000))
    (made / "deep" / "er" / "link").symlink_to("../two.bin")
    return made


@pytest.fixture
def site(chosen_database: Database, tmp_path: Path):
    made = Protected(chosen_database, ManualClock(), (str(tmp_path),))
    yield made
    made.engine.close()


@pytest.fixture
def protected(site, source):
    """An available checkpoint of `source`."""
    checkpoint = site.checkpoint(site.plan(source))
    site.work()
    assert site.found(checkpoint).error_message is None
    return checkpoint


def vault_bank(site: Protected):
    return site.bank.section(f"{PROVIDER_ID}/{rows.PROJECT}")


def packs(site: Protected) -> list[str]:
    return [found.key for found in vault_bank(site).list("data")]


def damage(site: Protected) -> None:
    """Change one byte in the middle of the largest pack."""
    bank = vault_bank(site)
    key = max(packs(site), key=bank.size)
    raw = bytearray(bank.get(key))
    raw[len(raw) // 2] ^= 1
    bank.put(key, bytes(raw))


# --- protect ---


def test_a_checkpoint_tells_what_it_holds(site, protected):
    found = site.found(protected)
    assert (found.status, found.partial, found.files) == ("available", False, 2)
    assert found.logical_bytes >= 300_000
    resource = found.resources[0]
    assert (resource.status, resource.files, resource.issue_count) == ("available", 2, 0)
    assert len(resource.snapshot_id) == len(resource.tree_id) == 64
    assert found.started_at is not None and found.ended_at is not None
    assert found.resource_graph is not None


def test_an_unchanged_directory_adds_next_to_nothing(site, source, protected):
    again = site.checkpoint(site.plan(source))
    site.work()
    assert site.found(again).added_bytes < 10_000


def test_a_plan_whose_directory_is_not_there_ends_in_error_with_a_reason(site, tmp_path):
    checkpoint = site.checkpoint(site.plan(tmp_path / "nothing"))
    site.work()
    found = site.found(checkpoint)
    assert found.status == "error"
    assert "nothing" in found.error_message
    assert (found.resources[0].status, "nothing" in found.resources[0].reason) == ("error", True)


def test_what_a_failed_checkpoint_has_stored_is_not_to_be_found(site, source, tmp_path):
    """Not with restic either: of two resources one is saved, and the checkpoint is none."""
    checkpoint = site.checkpoint(site.plan(source, tmp_path / "nothing"))
    site.work()
    assert site.found(checkpoint).status == "error"
    assert site.snapshots() == []


def test_of_several_resources_each_tells_its_own_end(site, source, tmp_path):
    checkpoint = site.checkpoint(site.plan(source, tmp_path / "nothing"))
    site.work()
    found = site.found(checkpoint)
    assert [found.status, *(resource.status for resource in found.resources)] == ["error"] * 3
    assert "nothing" in found.resources[1].reason
    assert found.resources[0].reason != found.resources[1].reason


def test_a_place_that_is_not_allowed_any_more_is_refused_in_the_task_too(site):
    checkpoint = site.checkpoint(site.plan(Path("/etc")))
    site.work()
    assert (site.found(checkpoint).status, site.found(checkpoint).error_code) == ("error", "path.not_allowed")


def test_a_socket_is_told_and_takes_nothing_from_a_checkpoint(site, source):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(source / "sock"))
        checkpoint = site.checkpoint(site.plan(source))
        site.work()
    found = site.found(checkpoint)
    assert (found.status, found.partial) == ("available", False)
    assert [issue["kind"] for issue in found.resources[0].issues] == ["socket"]


@pytest.mark.parametrize(
    ("issues", "count", "partial"),
    [
        ([], 0, False),
        (["socket"], 1, False),
        (["socket", "vanished"], 2, True),
        (["changed"], 1, True),
        (["unreadable"], 1, True),
        (["socket"], 2000, True),
    ],
)
def test_what_may_be_missing_makes_a_checkpoint_partial(issues, count, partial):
    named = tuple(Issue("path", kind, "reason") for kind in issues)
    report = SaveReport("s", "t", 1, 1, 0, 0, 1, 1, 1, 1, issues=named, issue_count=count)
    assert is_partial(report) is partial


def test_a_bank_that_is_away_for_a_while_costs_an_attempt_and_no_more(chosen_database, tmp_path, source):
    site = Protected(chosen_database, ManualClock(), (str(tmp_path),), FlakyBank.from_options({}))
    checkpoint = site.checkpoint(site.plan(source))
    FlakyBank.away = True
    try:
        site.work()
        assert site.found(checkpoint).status in ("PENDING", "protecting")
    finally:
        FlakyBank.away = False
    site.clock.advance(5)
    site.work()
    assert (site.found(checkpoint).status, site.tasks("protect")[0].attempts) == ("available", 2)


def test_a_repeated_run_leaves_one_snapshot(site, source, protected):
    """As after a worker that was killed between its last snapshot and its last word."""
    resource = protected.resources[0]
    with site.database.write() as uow:
        found = uow.checkpoints.get(protected.id)
        found.status = "protecting"
        found.resources[0].status = "protecting"
        site.submission(uow).process_checkpoint(found)
    site.work()
    (tags,) = site.snapshots()
    assert tags[:2] == (f"protectd:checkpoint={protected.id}", f"protectd:resource={resource.resource_id}")
    assert site.found(protected).status == "available"


def test_a_run_that_is_late_takes_away_what_it_has_stored(site, source):
    """As a worker that was frozen after its last byte, while another did the whole task."""
    checkpoint = site.checkpoint(site.plan(source))
    (ref,) = site.due()

    class Late(ProtectCheckpoint):
        def handle_processing(self, run):
            super().handle_processing(run)
            with site.database.write() as uow:
                assert uow.tasks.release_lost(uow.tasks.get(run.task_id), site.clock.now())
            with replaced_hands(site):
                site.run(ref)
            assert len(site.snapshots()) == 2

    Late(site.env).process_and_suppress_exceptions(ref.context, ref.task_id)
    found = site.found(checkpoint)
    assert (found.status, site.task_state(ref)) == ("available", ("done", 2))
    with site.open_vault() as vault:
        assert {each.id for each in vault.snapshots()} == snapshot_ids(found)
        assert len(snapshot_ids(found)) == 2


@contextmanager
def replaced_hands(site):
    """Another process: what this one has in hand is unknown to it."""
    mine, site.env.hands = site.env.hands, Hands()
    yield
    site.env.hands = mine


# --- restore ---


def test_a_destroyed_directory_comes_back_as_it_was(site, source, protected):
    before = tree(source)
    for path in sorted(source.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    restore = site.restore(protected)
    site.work()
    found = site.restored(restore)
    assert (found.status, found.error_message) == ("success", None)
    assert differences(before, tree(source)) == []
    assert found.resources_status == {protected.resources[0].key: "available"}
    assert found.files == 2


def test_a_restore_goes_where_it_is_told(site, source, protected, tmp_path):
    restore = site.restore(protected, path=str(tmp_path / "elsewhere"))
    site.work()
    assert site.restored(restore).status == "success"
    assert differences(tree(source), tree(tmp_path / "elsewhere")) == []


def test_several_resources_under_one_path_get_a_directory_each(site, source, tmp_path):
    second = tmp_path / "second"
    second.mkdir()
    (second / "file").write_text("second")
    checkpoint = site.checkpoint(site.plan(source, second))
    site.work()
    restore = site.restore(checkpoint, path=str(tmp_path / "all"))
    site.work()
    assert site.restored(restore).status == "success"
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["second", "source"]


def test_a_target_with_content_is_refused_with_a_reason(site, protected):
    restore = site.restore(protected)
    site.work()
    found = site.restored(restore)
    assert (found.status, found.error_code) == ("fail", "vault.target_unusable")
    key = protected.resources[0].key
    assert found.resources_status == {key: "error"}
    assert found.resources_reason[key] == found.error_message


def test_a_damaged_vault_fails_the_restore_and_names_what_is_missing(site, protected, tmp_path):
    damage(site)
    restore = site.restore(protected, path=str(tmp_path / "elsewhere"))
    site.work()
    found = site.restored(restore)
    assert (found.status, found.error_code) == ("fail", "restore.incomplete")
    assert "two.bin" in found.error_message
    assert [issue["kind"] for issue in found.issues] == ["damaged"]
    assert not (tmp_path / "elsewhere" / "deep" / "two.bin").exists()


def test_a_restore_of_a_checkpoint_that_is_gone_fails_with_a_reason(site, protected, tmp_path):
    restore = site.restore(protected, path=str(tmp_path / "elsewhere"))
    with site.database.write() as uow:
        uow.checkpoints.get(protected.id).status = "deleting"
    site.work()
    found = site.restored(restore)
    assert (found.status, found.error_code) == ("fail", "task.entity_not_ready")
    assert not (tmp_path / "elsewhere").exists()


def test_a_member_may_not_write_where_only_an_administrator_may(site, protected, tmp_path_factory):
    target = tmp_path_factory.mktemp("foreign") / "target"
    restore = site.restore(protected, path=str(target))
    site.work()
    assert (site.restored(restore).status, site.restored(restore).error_code) == ("fail", "path.not_allowed")
    site.as_admin()
    restore = site.restore(protected, path=str(target))
    site.work()
    assert site.restored(restore).status == "success"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes")
def test_device_nodes_come_back_for_administrators_only_and_a_member_is_told(site, source, tmp_path):
    os.mknod(source / "null", 0o020666, os.makedev(1, 3))
    checkpoint = site.checkpoint(site.plan(source))
    site.work()
    restore = site.restore(checkpoint, path=str(tmp_path / "member"))
    site.work()
    assert site.restored(restore).status == "success"
    assert [issue["kind"] for issue in site.restored(restore).issues] == ["withheld"]
    site.as_admin()
    restore = site.restore(checkpoint, path=str(tmp_path / "admin"))
    site.work()
    assert site.restored(restore).issues == []
    assert (tmp_path / "admin" / "null").is_char_device()


def begin_and_vanish(site, restore, *targets):
    """What a worker leaves that is killed in the middle of its first writes: a half of a file."""
    with site.database.write() as uow:
        uow.restores.get(restore.id).status = "in_progress"
        task = uow.tasks.live("restore", restore.id)[0]
        resources = uow.checkpoints.get(restore.checkpoint_id).resources[: len(targets)]
        begun = zip(resources, targets, strict=True)
        task.marks = [f"{resource.resource_id} began in {target}" for resource, target in begun]
    for target in targets:
        target.mkdir(parents=True)
        (target / "one.txt").write_text("half")


def test_a_restore_that_broke_off_while_writing_may_go_on_in_its_own_remains(
    site, source, protected, tmp_path
):
    target = tmp_path / "elsewhere"
    restore = site.restore(protected, path=str(target))
    begin_and_vanish(site, restore, target)
    site.work()
    assert site.restored(restore).status == "success"
    assert (target / "one.txt").read_text() == "one"


def test_a_restore_that_broke_off_in_one_target_does_not_replace_what_is_in_another(site, source, tmp_path):
    second = tmp_path / "second"
    second.mkdir()
    (second / "file").write_text("saved")
    checkpoint = site.checkpoint(site.plan(source, second))
    site.work()
    restore = site.restore(checkpoint, path=str(tmp_path / "all"))
    begin_and_vanish(site, restore, tmp_path / "all" / "source")
    (tmp_path / "all" / "second").mkdir()
    (tmp_path / "all" / "second" / "file").write_text("of somebody else")
    site.work()
    assert site.restored(restore).error_code == "vault.target_unusable"
    assert (tmp_path / "all" / "source" / "one.txt").read_text() == "one"
    assert (tmp_path / "all" / "second" / "file").read_text() == "of somebody else"


def test_who_lost_the_lease_does_not_begin_to_write(site, protected, tmp_path):
    target = tmp_path / "elsewhere"
    restore = site.restore(protected, path=str(target))
    with site.database.write() as uow:
        ref = reference(uow.tasks.live("restore", restore.id)[0])
        claimed = uow.tasks.claim(ref.task_id, "worker:1", "a" * 36, 60, site.clock.now(), None)
        marks = TaskMarks(site.database, site.clock, claimed)
        claimed.lease_token = "b" * 36
    with pytest.raises(LeaseLost):
        marks.add("began")
    with site.database.read() as uow:
        assert uow.tasks.get(ref.task_id).marks is None


# --- verify ---


@pytest.mark.parametrize("depth", ["data", "restore"])
def test_one_that_a_message_about_another_task_brings_on_proves_all_the_same(site, protected, source, depth):
    """It is begun by whoever has heard the message, and worked on and ended by one of its own kind."""
    site.env = replace(site.env, in_turn=True)
    site.operations = site.env.operations = makers(site.env)
    verification = site.verification(protected, depth)
    site.clock.advance(1)
    site.checkpoint(site.plan(source))
    (message,) = (ref for ref in site.due() if ref.operation == "protect")
    site.run(message)
    assert site.verified(verification).status == "success"
    assert site.found(protected).verified_depth == depth
    assert site.due() == []


@pytest.mark.parametrize("depth", ["structure", "data"])
def test_a_good_checkpoint_is_found_good(site, protected, depth):
    verification = site.verification(protected, depth)
    site.work()
    found = site.verified(verification)
    assert (found.status, found.errors) == ("success", [])
    assert (found.read_bytes > 300_000) == (depth == "data")


def test_one_changed_byte_is_found_where_every_byte_is_read(site, protected):
    damage(site)
    verification = site.verification(protected, "data")
    site.work()
    found = site.verified(verification)
    assert (found.status, found.error_code) == ("fail", "resource.damaged")
    assert found.errors
    assert found.resources_status == {protected.resources[0].key: "error"}


def largest(site: Protected, count: int) -> list[str]:
    return sorted(packs(site), key=vault_bank(site).size)[-count:]


@pytest.fixture
def partly_away(chosen_database, tmp_path, source, monkeypatch):
    """A checkpoint of two directories, and the largest pack of each."""
    site = Protected(chosen_database, SystemClock(), (str(tmp_path),), PartlyAwayBank.from_options({}))
    other = tmp_path / "other"
    other.mkdir()
    (other / "three.bin").write_bytes(os.urandom(400_000))
    checkpoint = site.checkpoint(site.plan(source, other))
    site.work()
    small, large = largest(site, 2)
    yield site, checkpoint, small, large
    PartlyAwayBank.away = ""
    site.engine.close()


def newest_good(site, checkpoint):
    """As retention is told."""
    with site.database.read() as uow:
        (ended,) = uow.expiry.ended_of(uow.checkpoints.get(checkpoint.id).plan_id)
    return not ended.damaged


def test_damage_is_the_word_of_a_verification_whatever_else_it_met(partly_away):
    site, checkpoint, small, large = partly_away
    damage(site)
    PartlyAwayBank.away = small
    verification = site.verification(checkpoint, "data")
    site.work()
    found = site.verified(verification)
    assert (found.status, found.error_code) == ("fail", "resource.damaged")
    assert not newest_good(site, checkpoint)
    reasons = sorted(found.resources_reason.values(), key=lambda reason: "could not be read" in reason)
    assert large in reasons[0] and "damaged" in reasons[0]
    assert small in reasons[1] and "told so" in reasons[1]


def test_what_could_not_be_read_is_not_said_to_be_damaged(partly_away):
    """And is not what to go back to, until it is read."""
    site, checkpoint, small, _ = partly_away
    PartlyAwayBank.away = small
    verification = site.verification(checkpoint, "data")
    site.work()
    found = site.verified(verification)
    assert (found.error_code, newest_good(site, checkpoint)) == ("resource.unread", False)
    assert [small in error for error in found.errors] == [True]
    PartlyAwayBank.away = ""
    site.verification(checkpoint, "data")
    site.work()
    assert newest_good(site, checkpoint)


@pytest.mark.parametrize("depth", ["data", "restore"])
def test_a_vault_that_does_not_open_is_damage_of_all_that_is_in_it(partly_away, depth):
    site, checkpoint, _, _ = partly_away
    bank = vault_bank(site)
    bank.put("config", bank.get("config")[:-1] + b"x")
    verification = site.verification(checkpoint, depth)
    site.work()
    found = site.verified(verification)
    assert (found.error_code, newest_good(site, checkpoint)) == ("resource.damaged", False)
    assert set(found.resources_status.values()) == {"error"} and len(found.resources_reason) == 2


# --- delete and prune ---


def test_a_deleted_checkpoint_is_gone_and_its_bytes_come_back(site, source, protected):
    (source / "deep" / "two.bin").write_bytes(b"")
    kept = site.checkpoint(site.plan(source))
    site.work()
    site.delete(protected)
    site.work()
    found = site.found(protected)
    assert [found.status, found.resources[0].status] == ["deleted", "deleted"]
    assert [task.state for task in site.tasks("prune")] == ["done"]
    bank = vault_bank(site)
    assert sum(bank.size(key) for key in packs(site)) < 100_000
    verification = site.verification(kept, "data")
    site.work()
    assert site.verified(verification).status == "success"


def test_who_lost_the_lease_of_a_deletion_forgets_nothing(site, protected, monkeypatch):
    """As one that was stopped with the vault open, and goes on when the checkpoint is somebody's again."""
    session = site.env.vaults.session

    @contextmanager
    def slow(*args, **options):
        with session(*args, **options) as vault, monkeypatch.context() as patch:
            snapshots = vault.snapshots

            def found():
                with site.database.write() as uow:
                    uow.tasks.live("checkpoint", protected.id)[0].lease_token = "b" * 36
                return snapshots()

            patch.setattr(vault, "snapshots", found)
            yield vault

    before = site.snapshots()
    site.delete(protected)
    monkeypatch.setattr(site.env.vaults, "session", slow)
    site.work()
    monkeypatch.undo()
    assert site.snapshots() == before != []
    assert site.found(protected).status == "deleting"


def test_a_checkpoint_whose_snapshots_are_damaged_can_be_deleted_and_made_anew(site, source, protected):
    keys = {f"snapshots/{each}" for each in snapshot_ids(site.found(protected))}
    for key in keys:
        vault_bank(site).put(key, vault_bank(site).get(key)[:-1])
    again = site.checkpoint(site.plan(source))
    site.work()
    assert site.found(again).status == "available"
    site.delete(protected)
    site.work()
    assert site.found(protected).status == "deleted"
    assert not keys & {each.key for each in vault_bank(site).list("snapshots")}
    with site.open_vault() as vault:
        report = vault.check(None, read_data=True)
    assert (report.errors, report.hints) == ((), ())


def test_a_checkpoint_in_error_leaves_nothing_when_it_is_deleted(site, source, tmp_path):
    checkpoint = site.checkpoint(site.plan(source, tmp_path / "nothing"))
    site.work()
    site.delete(checkpoint)
    site.work()
    assert site.found(checkpoint).status == "deleted"
    assert site.snapshots() == []
    assert packs(site) == []


def test_many_deletions_wait_for_one_prune(site, source, protected):
    other = site.checkpoint(site.plan(source))
    site.work()
    for checkpoint in (protected, other):
        site.delete(checkpoint)
    for ref in site.due():
        site.run(ref)
    assert [task.state for task in site.tasks("prune")] == ["pending"]
    site.work()
    assert packs(site) == []


def test_a_prune_waits_for_who_uses_the_vault_without_failing(site, protected):
    site.delete(protected)
    with site.open_vault() as vault:
        repository = Repository.with_key(vault._bank, vault._key)
        identity = site.engine.options.identity()
        with shared_lock(repository, identity, SystemClock(), 1.0):
            for _ in range(5):
                site.work()
                site.clock.advance(2 * site.env.options.wait_limit_s)
            waiting = site.tasks("prune")[0]
            assert (waiting.state, waiting.attempts) == ("pending", 0)
            assert waiting.error_code == "vault.packs_in_use"
    site.clock.advance(60)
    site.work()
    assert site.tasks("prune")[0].state == "done"


def test_a_deletion_that_fails_can_be_asked_for_again(chosen_database, tmp_path, source):
    class StuckBank(MemoryBank):
        def delete(self, key):
            if stuck.is_set():
                raise Unavailable(what="bank", reason="told so")
            super().delete(key)

    stuck = threading.Event()
    site = Protected(chosen_database, ManualClock(), (str(tmp_path),), StuckBank.from_options({}))
    checkpoint = site.checkpoint(site.plan(source))
    site.work()
    stuck.set()
    site.delete(checkpoint)
    for _ in range(2):
        site.work()
        site.clock.advance(5)
    assert site.found(checkpoint).status == "error-deleting"
    stuck.clear()
    site.delete(checkpoint)
    site.work()
    assert site.found(checkpoint).status == "deleted"
