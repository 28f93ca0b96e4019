"""Checkpoints back in a database that has lost them: the bank describes itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from protectd.cmd.manage import parser
from protectd.common.errors import ProtectdError
from protectd.common.progress import Progress
from protectd.domain import describing, hold_notes
from protectd.domain.imports import Importer
from protectd.domain.manifests import Manifest
from protectd.domain.vaults import OtherVault
from protectd.model.models import Checkpoint, CheckpointResource, QuotaUsage, Task
from protectd.model.repositories.vaults import VaultRowNotFound
from protectd.vault.errors import VaultNotFound, WrongPassword
from protectd.vault.tags import HOLD_TAG, hold_of, manifest_of
from tests.fakes.service import FILES_ID, MEMORY_ID, Client, Service, running
from tests.fakes.tree import differences, tree
from tests.functional.test_retention import settle

LOST = ("updated_at", "progress")
"""What a database cannot tell of a checkpoint that it has learned anew."""


def url(checkpoint: dict[str, Any]) -> str:
    return f"providers/{FILES_ID}/checkpoints/{checkpoint['id']}"


def listed(client: Client) -> list[dict[str, Any]]:
    return list(client.get(f"providers/{FILES_ID}/checkpoints")["checkpoints"])


def shown(client: Client, checkpoint: dict[str, Any]) -> dict[str, Any]:
    found = client.get(url(checkpoint))["checkpoint"]
    return {key: value for key, value in found.items() if key not in LOST}


@dataclass
class Manager:
    """The operator's command, on the parts of a service."""

    service: Service
    capsys: pytest.CaptureFixture[str]

    def imports(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        args = parser().parse_args(["vault", "import", "--provider", "files", *arguments])
        self.capsys.readouterr()
        assert args.action(self.service.parts, args) == code
        return list(json.loads(self.capsys.readouterr().out))

    def of(self, client: Client, *arguments: str, code: int = 0) -> dict[str, Any]:
        (found,) = self.imports("--project", client.project_id, *arguments, code=code)
        assert found["project_id"] == client.project_id
        return found

    def lose_rows(self, client: Client) -> None:
        with self.service.parts.database.write() as uow:
            ids = [row.id for row in uow.session.query(Checkpoint).filter_by(project_id=client.project_id)]
            uow.session.execute(delete(CheckpointResource).where(CheckpointResource.checkpoint_id.in_(ids)))
            uow.session.execute(delete(Checkpoint).where(Checkpoint.id.in_(ids)))
            uow.session.execute(delete(Task).where(Task.project_id == client.project_id))

    def vault(self, client: Client) -> Any:
        provider = self.service.parts.providers.get(FILES_ID)
        return self.service.parts.vaults.session(provider, client.project_id)


@pytest.fixture
def manager(direct: Service, capsys: pytest.CaptureFixture[str]) -> Manager:
    return Manager(direct, capsys)


@pytest.fixture
def source(direct: Service) -> Path:
    return direct.directory(uuid.uuid4().hex)


@pytest.fixture
def owner(direct: Service) -> Client:
    return direct.client()


@pytest.fixture
def made(owner: Client, source: Path) -> list[dict[str, Any]]:
    """Two checkpoints of a plan with parameters, the newest first."""
    plan = owner.plan(source, FILES_ID, parameters={"directory": {"excludes": ["skipped"]}})
    extra = {"k": "v", "none": None}
    first = owner.checkpoint(plan, extra_info=extra)
    (source / "more").write_text("more")
    second = owner.checkpoint(plan)
    assert [first["status"], second["status"]] == ["available"] * 2
    return [second, first]


def restored(service: Service, client: Client, checkpoint: dict[str, Any]) -> Path:
    target = service.allowed / uuid.uuid4().hex
    restore = client.restore(checkpoint, parameters={"directory": {"path": str(target)}})["restore"]
    assert restore["status"] == "success", restore["error"]
    return target


# --- holds ---


def hold(client: Client, checkpoint: dict[str, Any], reason: str = "court") -> dict[str, Any]:
    answer = client.call("PUT", f"{url(checkpoint)}/hold", {"hold": {"reason": reason}})
    assert answer.status_int == 200, answer
    return dict(answer.json["hold"])


def lift(service: Service, client: Client, checkpoint: dict[str, Any]) -> None:
    admin = service.client(client.project_id, role="admin")
    assert admin.call("DELETE", f"{url(checkpoint)}/hold").status_int == 204


def notes(manager: Manager, client: Client) -> list[Any]:
    with manager.vault(client) as vault:
        return [each for each in vault.snapshots() if hold_of(each) is not None]


def test_a_hold_outlives_the_database(
    direct: Service, manager: Manager, owner: Client, made: list[dict[str, Any]]
) -> None:
    held, free = made
    hold(owner, held)
    placed = hold(owner, held, "appeal \u2696")
    manager.lose_rows(owner)
    assert manager.of(owner, "--dry-run")["held"] == [held["id"]]
    assert manager.of(owner)["held"] == [held["id"]]
    assert owner.get(f"{url(held)}/hold")["hold"] == placed
    assert owner.refused("DELETE", url(held), 409)["error"] == "checkpoint.held"
    assert owner.get(f"{url(free)}/hold")["hold"] is None
    assert manager.of(owner)["held"] == []
    lift(direct, owner, held)
    assert notes(manager, owner) == []
    manager.lose_rows(owner)
    assert manager.of(owner)["held"] == []


def test_a_database_that_is_older_than_a_hold_learns_of_it(
    manager: Manager, owner: Client, made: list[dict[str, Any]]
) -> None:
    placed = hold(owner, made[0])
    with manager.service.parts.database.write() as uow:
        row = uow.checkpoints.get(made[0]["id"])
        row.held_at = row.held_by = row.hold_reason = None
    assert manager.of(owner, "--dry-run")["held"] == [made[0]["id"]]
    assert owner.get(f"{url(made[0])}/hold")["hold"] is None
    assert manager.of(owner)["held"] == [made[0]["id"]]
    assert owner.get(f"{url(made[0])}/hold")["hold"] == placed


def test_what_the_vault_says_of_a_hold_is_as_late_as_it_likes(
    direct: Service, manager: Manager, owner: Client, made: list[dict[str, Any]], monkeypatch: Any
) -> None:
    """It was lifted, and the checkpoint deleted, while the hold was being written."""
    checkpoint, write = made[0], hold_notes.write

    def slow(*arguments: Any) -> str:
        monkeypatch.setattr(hold_notes, "write", write)
        lift(direct, owner, checkpoint)
        assert owner.call("DELETE", url(checkpoint)).status_int == 202
        return write(*arguments)

    monkeypatch.setattr(hold_notes, "write", slow)
    hold(owner, checkpoint)
    settle(direct)
    assert notes(manager, owner) == []


@pytest.mark.parametrize("listing", [1, 2])
def test_what_is_lifted_while_others_are_imported_stays_so(
    direct: Service,
    manager: Manager,
    owner: Client,
    made: list[dict[str, Any]],
    monkeypatch: Any,
    listing: int,
) -> None:
    """The import has seen what the vault does not say any more."""
    hold(owner, made[0])
    noted, count = hold_notes.noted, iter(range(1, 9))

    def late(snapshots: Any) -> Any:
        if next(count) == listing:
            monkeypatch.setattr(hold_notes, "noted", noted)
            lift(direct, owner, made[0])
            settle(direct)
        return noted(snapshots)

    monkeypatch.setattr(hold_notes, "noted", late)
    done = manager.of(owner, code=listing - 1)
    told = {"checkpoint_id": made[0]["id"], "reason": "its hold is being changed; run it again"}
    assert (done["held"], done["left_out"]) == ([], [told] if listing == 2 else [])
    assert notes(manager, owner) == []
    assert owner.get(f"{url(made[0])}/hold")["hold"] is None


def test_a_note_of_a_hold_that_does_not_read_keeps_its_checkpoint(
    manager: Manager, owner: Client, made: list[dict[str, Any]]
) -> None:
    with manager.vault(owner) as vault, vault.notes() as saving:
        saving.save("hold.json", b"{}", (HOLD_TAG + made[0]["id"],))
    manager.lose_rows(owner)
    assert manager.of(owner)["held"] == [made[0]["id"]]
    assert owner.get(f"{url(made[0])}/hold")["hold"]["held_by"] == "vault import"
    hold(manager.service.client(owner.project_id, role="admin"), made[0], "known again")
    assert len(notes(manager, owner)) == 1
    manager.lose_rows(owner)
    manager.of(owner)
    assert owner.get(f"{url(made[0])}/hold")["hold"]["reason"] == "known again"


# --- rows that were lost ---


def test_what_was_lost_is_as_it_was(
    direct: Service, manager: Manager, owner: Client, made: list[dict[str, Any]], source: Path
) -> None:
    before = [shown(owner, each) for each in made]
    manager.lose_rows(owner)
    assert listed(owner) == []
    owner.refused("GET", url(made[0]), 404)
    done = manager.of(owner)
    assert set(done["imported"]) == {each["id"] for each in made}
    assert (done["known"], done["left_out"]) == ([], [])
    assert [each["id"] for each in listed(owner)] == [each["id"] for each in made]
    assert [shown(owner, each) for each in made] == before
    body = {"provider_id": FILES_ID, "checkpoint_id": made[0]["id"]}
    checked = owner.post("verifications", {"verification": body}, 202)["verification"]
    assert checked["status"] == "success", checked["error"]
    assert differences(tree(source), tree(restored(direct, owner, made[0]))) == []


def test_to_import_again_changes_nothing(manager: Manager, owner: Client, made: list[dict[str, Any]]) -> None:
    manager.lose_rows(owner)
    assert len(manager.of(owner)["imported"]) == 2
    before = [owner.get(url(each)) for each in made]
    again = manager.of(owner)
    assert (again["imported"], len(again["known"])) == ([], 2)
    assert [owner.get(url(each)) for each in made] == before


def test_what_is_imported_counts_in_the_quota_once(
    manager: Manager, owner: Client, made: list[dict[str, Any]]
) -> None:
    manager.lose_rows(owner)
    with manager.service.parts.database.write() as uow:
        uow.session.execute(delete(QuotaUsage).where(QuotaUsage.project_id == owner.project_id))
    manager.of(owner)
    manager.of(owner)
    quota = owner.get(f"quotas/{owner.project_id}/detail")["quota"]
    assert quota["checkpoints"]["in_use"] == 2
    assert quota["stored_bytes"]["in_use"] == sum(each["stored_bytes"] for each in made)


def test_a_dry_run_only_tells(manager: Manager, owner: Client, made: list[dict[str, Any]]) -> None:
    manager.lose_rows(owner)
    assert len(manager.of(owner, "--dry-run")["imported"]) == 2
    assert listed(owner) == []


def test_an_imported_checkpoint_can_be_deleted(
    manager: Manager, owner: Client, made: list[dict[str, Any]]
) -> None:
    manager.lose_rows(owner)
    manager.of(owner)
    for each in made:
        assert owner.call("DELETE", url(each)).status_int == 202
        assert owner.ended(url(each), "checkpoint")["status"] == "deleted"
    with manager.vault(owner) as vault:
        assert vault.snapshots() == []
    manager.lose_rows(owner)
    assert manager.of(owner)["imported"] == []


def test_what_was_deleted_does_not_come_back(
    manager: Manager, owner: Client, made: list[dict[str, Any]]
) -> None:
    gone, kept = made
    owner.call("DELETE", url(gone))
    assert owner.ended(url(gone), "checkpoint")["status"] == "deleted"
    assert manager.of(owner) == {
        "project_id": owner.project_id,
        "imported": [],
        "known": [kept["id"]],
        "held": [],
        "left_out": [],
        "error": None,
    }
    manager.lose_rows(owner)
    assert manager.of(owner)["imported"] == [kept["id"]]


def test_a_deletion_that_broke_off_is_not_undone(
    manager: Manager, owner: Client, made: list[dict[str, Any]]
) -> None:
    with manager.vault(owner) as vault:
        manifest = next(each for each in vault.snapshots() if manifest_of(each) == made[0]["id"])
        vault.forget([manifest.id])
    manager.lose_rows(owner)
    assert manager.of(owner)["imported"] == [made[1]["id"]]


def test_a_failed_checkpoint_is_not_in_the_vault(
    direct: Service, manager: Manager, owner: Client, source: Path
) -> None:
    """One of its two directories was saved before the other failed."""
    resources = [
        {"type": "directory", "name": name, "extra_info": {"path": str(path)}}
        for name, path in (("there", source), ("absent", direct.allowed / "absent"))
    ]
    failed = owner.checkpoint(owner.plan(source, FILES_ID, resources=resources))
    assert failed["status"] == "error"
    manager.lose_rows(owner)
    assert manager.of(owner)["imported"] == []


def test_one_whose_data_is_gone_is_named(manager: Manager, owner: Client, made: list[dict[str, Any]]) -> None:
    gone, kept = made
    with manager.vault(owner) as vault:
        vault.forget([gone["resources"][0]["snapshot_id"]])
    manager.lose_rows(owner)
    done = manager.of(owner, code=1)
    assert done["imported"] == [kept["id"]]
    (left_out,) = done["left_out"]
    assert left_out["checkpoint_id"] == gone["id"]
    assert gone["resources"][0]["id"] in left_out["reason"]


def rewrite(manager: Manager, owner: Client, checkpoint: dict[str, Any], said: dict[str, Any]) -> None:
    """As whoever has the password of the vault can."""
    with manager.vault(owner) as vault, vault.notes(Progress()) as notes:
        with vault.reading(Progress()) as looking:
            [snapshot] = describing.described(looking.snapshots())[checkpoint["id"]]
            manifest = describing.read(looking, snapshot)
        describing.write(notes, Manifest({**manifest.checkpoint, **said}, manifest.resources))
        vault.forget([snapshot.id])


def test_what_names_things_of_another_project_is_left_out(
    direct: Service, manager: Manager, owner: Client, made: list[dict[str, Any]]
) -> None:
    """It would count in that project's retention, and its own checkpoints would go instead."""
    stranger = direct.client()
    foreign, kept = stranger.checkpoint(stranger.plan(direct.directory("foreign"), FILES_ID)), made[1]
    plan = kept["protection_plan"] | {"id": foreign["protection_plan"]["id"]}
    for forged in ({"plan": plan}, {"source_id": foreign["id"]}):
        rewrite(manager, owner, kept, {"plan": kept["protection_plan"], **forged})
        manager.lose_rows(owner)
        for dry in (["--dry-run"], []):
            done = manager.of(owner, *dry, code=1)
            assert (kept["id"] in done["imported"], len(done["left_out"])) == (False, 1)
            assert "of another project" in str(done["left_out"])


def test_imports_at_once_make_one_row_each(
    manager: Manager, owner: Client, made: list[dict[str, Any]]
) -> None:
    manager.lose_rows(owner)
    importer = Importer(manager.service.parts.database, FILES_ID, owner.project_id)
    barrier = threading.Barrier(4)

    def run(number: int) -> list[str]:
        with manager.vault(owner) as vault, vault.reading() as looking:
            barrier.wait()
            return importer.run(looking).imported

    with ThreadPoolExecutor(4) as pool:
        imported = [id for found in pool.map(run, range(4)) for id in found]
    assert sorted(imported) == sorted(each["id"] for each in made)
    assert [each["id"] for each in listed(owner)] == [each["id"] for each in made]
    assert [len(shown(owner, each)["resources"]) for each in made] == [1, 1]


def test_the_host_that_restores_go_to_can_be_named(
    manager: Manager, owner: Client, made: list[dict[str, Any]]
) -> None:
    manager.lose_rows(owner)
    manager.of(owner, "--host", "elsewhere")
    with manager.service.parts.database.read() as uow:
        assert uow.checkpoints.get(made[0]["id"]).host == "elsewhere"


# --- restic ---


def restic_of(manager: Manager, owner: Client, restic: str, home: Path) -> Any:
    provider = manager.service.parts.providers.get(FILES_ID)
    repository, password = manager.service.parts.vaults.credentials(provider, owner.project_id)
    environ = {"RESTIC_REPOSITORY": repository, "RESTIC_PASSWORD": password, "HOME": str(home)}

    def run(*words: str) -> str:
        command = [restic, "--no-cache", *words]
        done = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
        return done.stdout

    return run


def test_restic_reads_what_describes_a_checkpoint(
    manager: Manager, owner: Client, made: list[dict[str, Any]], restic: str, tmp_path: Path
) -> None:
    run = restic_of(manager, owner, restic, tmp_path)
    text = run("dump", "--tag", f"protectd:manifest={made[1]['id']}", "latest", "manifest.json")
    manifest = json.loads(text)
    assert manifest["format"] == 1
    said = manifest["checkpoint"]
    assert (said["id"], said["project_id"], said["provider_id"]) == (
        made[1]["id"],
        owner.project_id,
        FILES_ID,
    )
    assert said["extra_info"] == {"k": "v", "none": None}
    assert said["parameters"] == {"directory": {"excludes": ["skipped"]}}
    assert said["resource_graph"] == made[1]["resource_graph"]
    (resource,) = manifest["resources"]
    assert resource["snapshot_id"] == made[1]["resources"][0]["snapshot_id"]
    assert resource["files"] == 2
    (newest,) = json.loads(run("snapshots", "--json", "latest"))[-1:]
    assert newest["id"] == made[0]["resources"][0]["snapshot_id"]
    run("check", "--read-data")


def test_restic_minds_a_hold_as_little(
    manager: Manager, owner: Client, made: list[dict[str, Any]], restic: str, tmp_path: Path
) -> None:
    placed, run = hold(owner, made[0]), restic_of(manager, owner, restic, tmp_path)
    said = json.loads(run("dump", "--tag", HOLD_TAG + made[0]["id"], "latest", "hold.json"))
    assert (said["reason"], said["held_by"]) == (placed["reason"], placed["held_by"])
    (newest,) = json.loads(run("snapshots", "--json", "latest"))
    assert any(each.startswith("protectd:checkpoint=") for each in newest["tags"])
    assert "no errors were found" in run("check", "--read-data")


def test_data_is_found_after_restic_has_changed_its_tags(
    direct: Service,
    manager: Manager,
    owner: Client,
    made: list[dict[str, Any]],
    source: Path,
    restic: str,
    tmp_path: Path,
) -> None:
    restic_of(manager, owner, restic, tmp_path)("tag", "--add", "seen")
    manager.lose_rows(owner)
    assert len(manager.of(owner)["imported"]) == 2
    found = shown(owner, made[0])
    assert found["resources"][0]["snapshot_id"] != made[0]["resources"][0]["snapshot_id"]
    assert differences(tree(source), tree(restored(direct, owner, made[0]))) == []


# --- the whole database was lost ---


@pytest.fixture
def rebuilt(
    direct: Service, manager: Manager, made: list[dict[str, Any]], tmp_path: Path
) -> Iterator[Service]:
    """A new installation, with another master key and an empty database, on a copy of the bank."""
    top = tmp_path / "rebuilt"
    top.mkdir()
    with running(top, mode="direct") as service:
        shutil.copytree(direct.allowed.parent / "bank", service.allowed.parent / "bank")
        yield service


@pytest.fixture
def password(manager: Manager, owner: Client, made: list[dict[str, Any]], tmp_path: Path) -> Path:
    provider = manager.service.parts.providers.get(FILES_ID)
    file = tmp_path / "password"
    file.write_text(manager.service.parts.vaults.password(provider, owner.project_id) + "\n")
    return file


def test_all_comes_back_with_the_vaults_password(
    rebuilt: Service,
    capsys: pytest.CaptureFixture[str],
    owner: Client,
    made: list[dict[str, Any]],
    source: Path,
    password: Path,
    restic: str,
    tmp_path: Path,
) -> None:
    manager = Manager(rebuilt, capsys)
    again = rebuilt.client(owner.project_id)
    with pytest.raises(VaultRowNotFound):
        manager.of(again)
    done = manager.of(again, "--password-file", str(password))
    assert set(done["imported"]) == {each["id"] for each in made}
    assert [shown(again, each) for each in made] == [shown(owner, each) for each in made]
    assert differences(tree(source), tree(restored(rebuilt, again, made[0]))) == []
    assert manager.of(again)["known"] == done["imported"]
    new = again.checkpoint(again.plan(rebuilt.directory("new"), FILES_ID))
    assert new["status"] == "available"
    run = restic_of(manager, again, restic, tmp_path)
    run("check", "--read-data")
    assert len(json.loads(run("snapshots", "--json"))) == 6


def test_a_vault_that_was_begun_anew_by_mistake_is_found_again(
    rebuilt: Service, capsys: pytest.CaptureFixture[str], owner: Client, password: Path, made: Any
) -> None:
    """Somebody has asked for a checkpoint before the import: it fails, and the vault is not hurt."""
    manager, again = Manager(rebuilt, capsys), rebuilt.client(owner.project_id)
    plan = again.plan(rebuilt.directory("early"), FILES_ID)
    assert again.checkpoint(plan)["status"] == "error"
    done = manager.of(again, "--password-file", str(password))
    assert set(done["imported"]) == {each["id"] for each in made}
    assert again.checkpoint(plan)["status"] == "available"


def test_the_right_password_of_the_right_vault_is_needed(
    rebuilt: Service,
    capsys: pytest.CaptureFixture[str],
    owner: Client,
    password: Path,
    tmp_path: Path,
    made: Any,
) -> None:
    manager = Manager(rebuilt, capsys)
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    with pytest.raises(WrongPassword):
        manager.of(rebuilt.client(owner.project_id), "--password-file", str(wrong))
    with pytest.raises(VaultNotFound):
        manager.of(rebuilt.client(), "--password-file", str(password))
    other = rebuilt.client()
    other.checkpoint(other.plan(rebuilt.directory("other"), FILES_ID))
    bank = rebuilt.allowed.parent / "bank" / FILES_ID
    shutil.rmtree(bank / other.project_id)
    shutil.copytree(bank / owner.project_id, bank / other.project_id)
    with pytest.raises(OtherVault):
        manager.of(other, "--password-file", str(password))


def test_the_vaults_of_all_projects_are_imported_that_can_be_opened(
    rebuilt: Service, capsys: pytest.CaptureFixture[str], owner: Client, password: Path, made: Any
) -> None:
    manager, other = Manager(rebuilt, capsys), rebuilt.client()
    mine = other.checkpoint(other.plan(rebuilt.directory("all"), FILES_ID))
    manager.lose_rows(other)
    found = {each["project_id"]: each for each in manager.imports("--all", code=1)}
    assert found[other.project_id]["imported"] == [mine["id"]]
    assert "is not there" in found[owner.project_id]["error"]
    manager.of(rebuilt.client(owner.project_id), "--password-file", str(password))
    found = {each["project_id"]: each for each in manager.imports("--all", code=1)}
    assert found[owner.project_id]["error"] is None


def test_one_vault_or_all_are_named(manager: Manager, password: Path) -> None:
    for words in ((), ("--all", "--project", "x"), ("--all", "--password-file", str(password))):
        with pytest.raises(ProtectdError) as caught:
            manager.imports(*words)
        assert caught.value.code == "manage.one_vault"


def test_nothing_is_imported_from_another_provider(
    manager: Manager, owner: Client, made: list[dict[str, Any]]
) -> None:
    manager.lose_rows(owner)
    args = parser().parse_args(["vault", "import", "--provider", MEMORY_ID, "--project", owner.project_id])
    with pytest.raises(VaultRowNotFound):
        args.action(manager.service.parts, args)
