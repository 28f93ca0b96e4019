"""An environment for tasks on a real database, and an operation that does what a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from protectd.common.clock import Clock
from protectd.common.context import RequestContext
from protectd.domain.providers import Protectables, Provider, Providers
from protectd.domain.submission import Submission, SubmitOptions, reference
from protectd.model.models import Checkpoint, Task
from protectd.model.unit_of_work import Database
from protectd.queue.contract import METHODS, TaskRef
from protectd.queue.server import Tasks
from protectd.tasks.env import OpenVault, TaskEnv, TaskOptions
from protectd.tasks.protect import ProtectCheckpoint
from protectd.tasks.run import Run
from tests.fakes import rows

CONTEXT = RequestContext("req-1", rows.PROJECT, "someone", ("member",))
Work = Callable[[Run], None]


class NoVaults:
    """For operations that never open one."""

    def session(self, provider: Provider, project_id: str) -> AbstractContextManager[OpenVault]:
        raise AssertionError("no vault was to be opened")


def env_of(database: Database, clock: Clock, *, owner: str = "worker:1", host: str = "here") -> TaskEnv:
    return TaskEnv(
        database=database,
        clock=clock,
        providers=Providers([]),
        protectables=Protectables([]),
        vaults=NoVaults(),
        owner=owner,
        host=host,
        options=TaskOptions(lease_s=60, max_attempts=3, retry_base_s=10, retry_cap_s=15),
        stopping=threading.Event(),
    )


class Scripted(ProtectCheckpoint):
    """Protects nothing: does `work` between the begin and the end of a real checkpoint."""

    def __init__(self, env: TaskEnv, work: Work) -> None:
        super().__init__(env)
        self._work = work

    def handle_processing(self, run: Run) -> None:
        self._work(run)

    def handle_lost(self, run: Run) -> None:
        """There is no vault to take anything from."""


def new_checkpoint(database: Database, clock: Clock, **values: object) -> tuple[Checkpoint, TaskRef]:
    """A PENDING checkpoint of a new plan, with its task, as a request leaves them."""
    with database.write() as uow:
        plan = uow.plans.add(rows.plan(resources=[rows.resource()]))
        checkpoint = uow.checkpoints.add(rows.checkpoint(plan, **values))
        submission = Submission(uow, CONTEXT, clock, SubmitOptions(max_attempts=3))
        submission.process_checkpoint(checkpoint)
    return checkpoint, submission.submitted[0]


def run_task(env: TaskEnv, ref: TaskRef, work: Work = lambda run: None) -> None:
    Scripted(env, work).process_and_suppress_exceptions(ref.context, ref.task_id)


def tasks_of(env: TaskEnv, work: Work) -> Tasks:
    """Every operation does `work`."""
    return Tasks(dict.fromkeys(METHODS, lambda: Scripted(env, work)))


def task_of(database: Database, ref: TaskRef) -> Task:
    with database.read() as uow:
        return uow.tasks.get(ref.task_id)


def checkpoint_of(database: Database, checkpoint: Checkpoint) -> Checkpoint:
    with database.read() as uow:
        return uow.checkpoints.get(checkpoint.id)


def claim_and_vanish(env: TaskEnv, ref: TaskRef) -> str:
    """What a worker leaves that is killed right after its claim. :returns: its token."""
    token = "a" * 36
    with env.database.write() as uow:
        claimed = uow.tasks.claim(ref.task_id, env.owner, token, 60, env.clock.now(), env.host)
    assert claimed is not None
    assert reference(claimed) == ref
    return token
