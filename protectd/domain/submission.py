"""Turning a changed entity into a task, in the transaction that changed it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from protectd.common.clock import Clock
from protectd.common.context import RequestContext
from protectd.common.ids import new_id
from protectd.domain.key_manager.generation import KEY
from protectd.domain.quota import COUNTED_OPERATIONS, QuotaOptions, Quotas
from protectd.model.models import Checkpoint, Order, Restore, ScheduledOperation, Task, Verification
from protectd.model.repositories.quotas import OPERATIONS
from protectd.model.states import TaskState
from protectd.model.unit_of_work import UnitOfWork
from protectd.queue.contract import METHODS, TaskRef

_VAULTS = uuid.UUID("6a8f7a57-3d0c-4f6b-9a53-0f1c2f6f3a11")


def vault_entity_id(provider_id: str, project_id: str) -> str:
    """The id under which tasks know the vault of a provider and project, whether or not it has a row."""
    return str(uuid.uuid5(_VAULTS, f"{provider_id}/{project_id}"))


def reference(task: Task) -> TaskRef:
    """How a task is announced."""
    context = RequestContext(task.request_id, task.project_id, task.user_id, tuple(task.roles))
    return TaskRef(task.operation, task.method, task.id, task.host, context, task.brief)


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """
    :ivar max_attempts: how often a task is begun.
    :ivar deadline_s: seconds until it has to be at its end; None: it may take what it takes.
    :ivar weights: of projects in the order of turns; 1 for those that are not named.
    :ivar quotas: where the limits of projects come from.
    """

    max_attempts: int = 5
    deadline_s: float | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    quotas: QuotaOptions = QuotaOptions()

    def deadline(self, now: datetime) -> datetime | None:
        return None if self.deadline_s is None else now + timedelta(seconds=self.deadline_s)


class Submission:
    """Adds a task row beside the entity it is about. One for each unit of work.

    `submitted` is announced by the caller after the commit, and only then; what is never announced is found
    by the relay. What a project runs counts: its quota may refuse more.
    """

    def __init__(
        self,
        uow: UnitOfWork,
        context: RequestContext,
        clock: Clock,
        options: SubmitOptions = SubmitOptions(),
        scheduled_operation_id: str | None = None,
    ) -> None:
        """:param scheduled_operation_id: what asks for the tasks; None: a request, or another task."""
        self._uow = uow
        self._context = context
        self._clock = clock
        self._options = options
        self.quotas = Quotas(uow, options.quotas)
        self._scheduled_operation_id = scheduled_operation_id
        self.submitted: list[TaskRef] = []

    def process_checkpoint(self, checkpoint: Checkpoint) -> Task:
        """Protect what was made in this unit of work, on the host that has the resources.

        :raises QuotaExceeded: the project may have no more checkpoints, or no more bytes.
        """
        self.quotas.take_new(checkpoint.project_id)
        return self._submit("protect", "checkpoint", checkpoint, host=checkpoint.host, **_subject(checkpoint))

    def process_delete(self, checkpoint: Checkpoint) -> Task:
        """Forget a checkpoint, on any host."""
        return self._submit("delete", "checkpoint", checkpoint, **_subject(checkpoint))

    def process_retain(self, operation: ScheduledOperation) -> Task:
        """Let go of what the retention of a scheduled operation does not want, on any host. One that waits
        already does it."""
        waiting = self._waiting("retain", operation.kind, operation.id)
        if waiting is not None:
            return waiting
        return self._add(
            "retain",
            operation.kind,
            operation.id,
            operation.project_id,
            host=None,
            plan_id=operation.plan_id,
            provider_id=operation.provider_id,
            scheduled_operation_id=operation.id,
        )

    def process_reset(self, checkpoint: Checkpoint) -> Task:
        """Look whether a checkpoint is whole, on any host.

        :raises QuotaExceeded: as above.
        """
        self.quotas.take_checkpoints(checkpoint)
        return self._submit("reset", "checkpoint", checkpoint, **_subject(checkpoint))

    def process_restore(self, restore: Restore, host: str | None = None) -> Task:
        """Write, or for a dry run look.

        :param host: where to; without it, the host that had the resources.
        """
        checkpoint = self._uow.checkpoints.get(restore.checkpoint_id)
        subject = _subject(checkpoint) | {"restore_id": restore.id}
        operation = "preview" if restore.dry_run else "restore"
        return self._submit(operation, "restore", restore, host=host or checkpoint.host, **subject)

    def process_verify(self, verification: Verification) -> Task:
        """Check a checkpoint, on any host."""
        checkpoint = self._uow.checkpoints.get(verification.checkpoint_id)
        subject = _subject(checkpoint) | {"verification_id": verification.id}
        return self._submit("verify", "verification", verification, **subject)

    def process_copy(self, *copies: Checkpoint) -> list[Task]:
        """Bring the data of the checkpoints that these are copies of to where it belongs, on any host. All
        are of one project; many need no more statements than one.

        :raises QuotaExceeded: as above.
        """
        self.quotas.take_checkpoints(*copies)
        subjects = [{"entity_id": copy.id, **_subject(copy)} for copy in copies]
        return self._add_all("copy", "checkpoint", copies[0].project_id, subjects)

    def process_type_order(self, order: Order) -> Task:
        """Make the key that is ordered, on any host. Whoever orders has counted it, and so has a row of the
        project locked that all who order lock. Random bytes are there at once; pairs of keys have to be
        looked for."""
        brief = order.type == KEY
        subject = {"entity_id": order.id, "brief": brief}
        return self._add_all("order", "order", order.project_id, [subject], is_locked=True)[0]

    def process_note(self, checkpoint: Checkpoint) -> Task:
        """Have the vault say whether a checkpoint is held, on any host. One that waits already does it."""
        waiting = self._waiting("note", "hold", checkpoint.id)
        if waiting is not None:
            return waiting
        return self._submit("note", "hold", checkpoint, provider_id=checkpoint.provider_id)

    def process_prune(self, provider_id: str, project_id: str) -> Task:
        """Give unused bytes of a vault back. One that waits already does it for all that came before it."""
        entity_id = vault_entity_id(provider_id, project_id)
        waiting = self._waiting("prune", "vault", entity_id)
        if waiting is not None:
            return waiting
        return self._add("prune", "vault", entity_id, project_id, host=None, provider_id=provider_id)

    def _waiting(self, operation: str, entity_type: str, entity_id: str) -> Task | None:
        live = self._uow.tasks.live(entity_type, entity_id)
        found = (task for task in live if task.operation == operation and task.state == TaskState.PENDING)
        return next(found, None)

    def _submit(
        self,
        operation: str,
        entity_type: str,
        entity: Checkpoint | Restore | Verification,
        host: str | None = None,
        **subject: str,
    ) -> Task:
        return self._add(operation, entity_type, entity.id, entity.project_id, host=host, **subject)

    def _add(self, operation: str, entity_type: str, entity_id: str, project_id: str, **values: Any) -> Task:
        return self._add_all(operation, entity_type, project_id, [{"entity_id": entity_id, **values}])[0]

    def _add_all(
        self,
        operation: str,
        entity_type: str,
        project_id: str,
        subjects: Sequence[dict[str, Any]],
        *,
        is_locked: bool = False,
    ) -> list[Task]:
        """Of one project, in the order of their turns.

        :param subjects: what each task is about.
        :param is_locked: nobody else submits the like for this project now.
        """
        now, counted = self._clock.now(), operation in COUNTED_OPERATIONS
        # Whoever asks for a turn of this project has its row of operations locked until the commit.
        if counted:
            self.quotas.take(project_id, operations=len(subjects))
        elif not is_locked:
            self._uow.quotas.take(project_id, OPERATIONS, 0)
        weight = self._options.weights.get(project_id, 1.0)
        turn = self._uow.tasks.give_turn(project_id, weight, is_alone=True)
        tasks = [
            Task(
                id=new_id(),
                operation=operation,
                method=METHODS[operation],
                state=TaskState.PENDING,
                project_id=project_id,
                user_id=self._context.user_id,
                request_id=self._context.request_id,
                roles=list(self._context.roles),
                entity_type=entity_type,
                turn=turn + number / weight,
                counted=counted,
                max_attempts=self._options.max_attempts,
                deadline_at=self._options.deadline(now),
                created_at=now,
                updated_at=now,
                **({"scheduled_operation_id": self._scheduled_operation_id} | subject),
            )
            for number, subject in enumerate(subjects)
        ]
        self._uow.tasks.insert_all(tasks)
        self.submitted += map(reference, tasks)
        return tasks


def _subject(checkpoint: Checkpoint) -> dict[str, str]:
    return {
        "checkpoint_id": checkpoint.id,
        "plan_id": checkpoint.plan_id,
        "provider_id": checkpoint.provider_id,
    }
