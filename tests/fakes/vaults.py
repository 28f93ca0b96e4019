"""Tasks on a real vault: a bank in memory, the engine in this process, directories as resources."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from protectd.common.clock import Clock
from protectd.common.context import RequestContext
from protectd.common.ids import new_id
from protectd.domain.providers import Protectables, Provider, Providers
from protectd.domain.secrets import Secrets
from protectd.domain.submission import Submission, SubmitOptions
from protectd.domain.vaults import Vaults
from protectd.model.models import Checkpoint, Plan, Restore, Task, Verification
from protectd.model.unit_of_work import Database, UnitOfWork
from protectd.plugin.banks.memory import MemoryBank
from protectd.plugin.base import BankPlugin
from protectd.plugin.protectables.directory import DirectoryProtectable
from protectd.plugin.protections.directory import DirectoryProtection
from protectd.plugin.secret_stores.crypto import CryptoStore
from protectd.queue.contract import TaskRef
from protectd.tasks.env import OpenVault, TaskEnv, TaskOptions
from protectd.tasks.operations import makers
from protectd.tasks.scratch import Scratch
from protectd.vault.engine import VaultEngine
from protectd.vault.options import EngineOptions
from protectd.vault.tags import is_data, manifest_of
from tests.fakes import rows

PROVIDER_ID = "5d1c6f3e-0c3b-4f36-8b62-0a3f6a2d9c01"


class Protected:
    """One project with a provider of its own: acts as its requests would, and runs what they submit."""

    def __init__(
        self, database: Database, clock: Clock, roots: tuple[str, ...], bank: BankPlugin | None = None
    ) -> None:
        self.database = database
        self.clock = clock
        self.bank = bank or MemoryBank.from_options({})
        self.provider = Provider(
            id=PROVIDER_ID,
            name="test",
            description="",
            bank=self.bank,
            protections={"directory": DirectoryProtection.from_options({})},
            allowed_roots={rows.PROJECT: roots},
        )
        self.scratch = Path(tempfile.gettempdir()) / f"protectd-scratch-{new_id()}"
        self.engine = VaultEngine(EngineOptions(workers=1, in_process=True, lock_wait_s=0.2))
        self.context = RequestContext("req-1", rows.PROJECT, "someone", ("member",))
        self.env = self._env(self._vaults())
        self.operations = makers(self.env)

    def _vaults(self) -> Vaults:
        store = Secrets({"crypto": CryptoStore(os.urandom(32))}, "crypto")
        identity = self.engine.options.identity()
        return Vaults(self.database, store, self.engine, self.clock, "service", identity)

    def _env(self, vaults: Vaults) -> TaskEnv:
        return TaskEnv(
            database=self.database,
            clock=self.clock,
            providers=Providers([self.provider]),
            protectables=Protectables([DirectoryProtectable.from_options({})]),
            vaults=vaults,
            owner="worker:1",
            host="here",
            options=TaskOptions(lease_s=60, max_attempts=2, retry_base_s=5, retry_cap_s=5),
            scratch=Scratch(self.scratch),
        )

    def as_admin(self) -> None:
        self.context = RequestContext("req-2", rows.PROJECT, "root", ("admin",))

    def open_vault(self):
        return self.env.vaults.session(self.provider, rows.PROJECT)

    def snapshots(self) -> list[tuple[str, ...]]:
        """The tags of each that holds data."""
        vault: OpenVault
        with self.open_vault() as vault:
            return [each.tags for each in vault.snapshots() if is_data(each)]

    def manifests(self) -> list[str]:
        """Ids of the checkpoints that the vault describes."""
        vault: OpenVault
        with self.open_vault() as vault:
            return [found for each in vault.snapshots() if (found := manifest_of(each))]

    # --- requests ---

    def plan(self, *paths: Path, **values: object) -> Plan:
        resources = [rows.resource(path.name, resource_extra_info={"path": str(path)}) for path in paths]
        with self.database.write() as uow:
            return uow.plans.add(rows.plan(provider_id=PROVIDER_ID, resources=resources, **values))

    def checkpoint(self, plan: Plan) -> Checkpoint:
        with self.database.write() as uow:
            checkpoint = uow.checkpoints.add(rows.checkpoint(uow.plans.get(plan.id)))
            self.submission(uow).process_checkpoint(checkpoint)
        return checkpoint

    def restore(self, checkpoint: Checkpoint, **parameters: object) -> Restore:
        wanted = {"directory": parameters} if parameters else {}
        return self.restore_with(checkpoint, wanted)

    def restore_with(self, checkpoint: Checkpoint, parameters: dict) -> Restore:
        with self.database.write() as uow:
            restore = Restore(parameters=parameters, **_run_of(checkpoint))
            self.submission(uow).process_restore(uow.restores.add(restore))
        return restore

    def verification(self, checkpoint: Checkpoint, depth: str) -> Verification:
        with self.database.write() as uow:
            verification = Verification(depth=depth, **_run_of(checkpoint))
            self.submission(uow).process_verify(uow.verifications.add(verification))
        return verification

    def delete(self, checkpoint: Checkpoint) -> None:
        with self.database.write() as uow:
            found = uow.checkpoints.get(checkpoint.id)
            found.status = "deleting"
            self.submission(uow).process_delete(found)

    def submission(self, uow: UnitOfWork) -> Submission:
        return Submission(uow, self.context, self.clock, SubmitOptions(max_attempts=2))

    # --- work ---

    def work(self) -> None:
        """Run what is due, and what follows from it, until nothing is."""
        while refs := self.due():
            for ref in refs:
                self.run(ref)

    def due(self) -> list[TaskRef]:
        with self.database.read() as uow:
            tasks = uow.tasks.unsent(self.clock.now(), 0, 100, young_s=0)
        context = {task.id: RequestContext(task.request_id, task.project_id, "", ()) for task in tasks}
        return [TaskRef(t.operation, t.method, t.id, t.host, context[t.id]) for t in tasks]

    def task_state(self, ref: TaskRef) -> tuple[str, int]:
        """State and number of attempts."""
        with self.database.read() as uow:
            task = uow.tasks.get(ref.task_id)
        return task.state, task.attempts

    def run(self, ref: TaskRef) -> None:
        self.operations[ref.operation]().process_and_suppress_exceptions(ref.context, ref.task_id)

    # --- what came of it ---

    def found(self, entity: Checkpoint) -> Checkpoint:
        with self.database.read() as uow:
            return uow.checkpoints.get(entity.id)

    def restored(self, restore: Restore) -> Restore:
        with self.database.read() as uow:
            return uow.restores.get(restore.id)

    def verified(self, verification: Verification) -> Verification:
        with self.database.read() as uow:
            return uow.verifications.get(verification.id)

    def tasks(self, operation: str) -> list[Task]:
        with self.database.read() as uow:
            found = uow.session.query(Task).filter(Task.operation == operation).order_by(Task.created_at)
            return list(found)


def _run_of(checkpoint: Checkpoint) -> dict[str, str]:
    return {
        "id": new_id(),
        "project_id": checkpoint.project_id,
        "provider_id": checkpoint.provider_id,
        "checkpoint_id": checkpoint.id,
    }
