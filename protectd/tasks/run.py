"""One attempt at one task, as plain values: no row, no session, nothing that expires."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from protectd.common.context import RequestContext
from protectd.common.errors import Cancelled
from protectd.domain.submission import reference
from protectd.model.models import Task
from protectd.queue.contract import TaskRef
from protectd.tasks.env import TaskEnv
from protectd.tasks.lease import LeaseKeeper
from protectd.tasks.marks import TaskMarks
from protectd.tasks.progress import TaskProgress

_ATTEMPTS = uuid.UUID("0d3e5c0f-1d7e-4b57-9a38-5d5b7a4d8c21")


@dataclass
class Run:
    """:ivar waited_s: from when it might have been claimed to its claim.
    :ivar marks: what this attempt or an earlier one has begun.
    :ivar brief: it takes no longer than its rows.
    :ivar counted: it is in its project's quota of operations.
    :ivar facts: what `handle_begin` read and `handle_processing` needs.
    :ivar begun: `handle_begin` is committed with the claim.
    :ivar entity: as that has left it, until an end has made use of it.
    :ivar follow_ons: tasks that the terminal transaction submitted; announced after its commit.
    :ivar next: the tasks that the terminal transaction has claimed.
    :ivar goes_on: whether it may claim any.
    """

    task_id: str
    operation: str
    token: str
    entity_id: str
    provider_id: str
    attempt: int
    max_attempts: int
    first_begun_at: datetime
    waited_s: float
    context: RequestContext
    progress: TaskProgress
    keeper: LeaseKeeper
    marks: TaskMarks
    brief: bool = False
    counted: bool = False
    facts: Any = None
    begun: bool = False
    entity: Any = None
    follow_ons: list[TaskRef] = field(default_factory=list)
    next: list[Run] = field(default_factory=list)
    goes_on: bool = True

    @property
    def attempt_id(self) -> str:
        """Names this attempt without telling the token, which tasks that were claimed together share."""
        return str(uuid.uuid5(_ATTEMPTS, f"{self.task_id} {self.token}"))

    @classmethod
    def of(cls, task: Task, env: TaskEnv) -> Self:
        """:param task: as its claim left it."""
        progress = TaskProgress(env.clock, env.stopping)
        if task.cancel_requested_at is not None:
            progress.end_with(Cancelled())
        token = task.lease_token or ""
        return cls(
            task_id=task.id,
            operation=task.operation,
            token=token,
            entity_id=task.entity_id,
            provider_id=task.provider_id or "",
            attempt=task.attempts,
            max_attempts=task.max_attempts,
            first_begun_at=task.started_at or env.clock.now(),
            waited_s=(env.clock.now() - (task.not_before or task.created_at)).total_seconds(),
            context=reference(task).context,
            progress=progress,
            marks=TaskMarks(env.database, env.clock, task),
            brief=task.brief,
            counted=task.counted,
            keeper=LeaseKeeper(env.database, env.clock, task.id, token, env.options, progress, env.watch),
        )
