"""The vault is told what a hold's row says in the end, on each database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from protectd.domain import holds
from protectd.domain.submission import Submission, SubmitOptions
from protectd.model.models import Checkpoint
from protectd.model.states import CheckpointStatus, TaskState
from protectd.model.unit_of_work import Database, UnitOfWork
from protectd.queue.contract import TaskRef
from protectd.tasks.env import TaskEnv
from protectd.tasks.note import NoteHold
from protectd.tasks.run import Run
from tests.fakes.clock import ManualClock
from tests.fakes.tasks import CONTEXT, env_of, new_checkpoint, task_of

pytest_plugins = ["tests.fakes.databases"]

A_WHILE_S = 1.0
PATIENCE_S = 60.0


class Saying(NoteHold):
    """Takes down what it would have the vault say."""

    said: list[str | None]
    begins: Callable[[], object]

    def handle_processing(self, run: Run) -> None:
        hold, _ = self._said(run)
        type(self).said.append(hold and hold.reason)
        type(self).begins()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def env(any_database: Database, clock: ManualClock) -> TaskEnv:
    return replace(env_of(any_database, clock), in_turn=True)


@pytest.fixture
def saying() -> type[Saying]:
    class Own(Saying):
        said: list[str | None] = []
        begins = staticmethod(lambda: None)

    return Own


@pytest.fixture
def checkpoint(any_database: Database, clock: ManualClock) -> Checkpoint:
    made, ref = new_checkpoint(any_database, clock, status=CheckpointStatus.AVAILABLE)
    with any_database.write() as uow:
        uow.session.delete(uow.tasks.get(ref.task_id))
    return made


def hold(env: TaskEnv, uow: UnitOfWork, checkpoint: Checkpoint, reason: str) -> list[TaskRef]:
    """As a request does it. :returns: what it has submitted."""
    row = uow.checkpoints.get(checkpoint.id, lock=True)
    holds.place(row, reason, CONTEXT, env.clock.now())
    uow.flush()
    submission = Submission(uow, CONTEXT, env.clock, SubmitOptions(max_attempts=3))
    submission.process_note(row)
    return submission.submitted


def test_who_relies_on_a_note_that_waits_is_waited_for(
    env: TaskEnv, checkpoint: Checkpoint, saying: type[Saying]
) -> None:
    with env.database.write() as uow:
        (ref,) = hold(env, uow, checkpoint, "court")
    worker = threading.Thread(
        target=saying(env).process_and_suppress_exceptions, args=(ref.context, ref.task_id)
    )
    with env.database.write() as uow:
        assert hold(env, uow, checkpoint, "appeal") == []
        worker.start()
        worker.join(A_WHILE_S)  # it has the time to be wrong
    worker.join(PATIENCE_S)
    assert task_of(env.database, ref).state == TaskState.DONE
    assert saying.said == ["appeal"]


def test_one_that_has_begun_is_followed_by_another(
    env: TaskEnv, checkpoint: Checkpoint, saying: type[Saying]
) -> None:
    followed: list[TaskRef] = []

    def place() -> None:
        with env.database.write() as uow:
            followed.extend(hold(env, uow, checkpoint, "appeal"))

    saying.begins = staticmethod(place)
    with env.database.write() as uow:
        (ref,) = hold(env, uow, checkpoint, "court")
    alone = replace(env, in_turn=False)
    saying(alone).process_and_suppress_exceptions(ref.context, ref.task_id)
    saying.begins = staticmethod(lambda: None)
    assert len(followed) == 1
    saying(alone).process_and_suppress_exceptions(followed[0].context, followed[0].task_id)
    assert saying.said == ["court", "appeal"]
