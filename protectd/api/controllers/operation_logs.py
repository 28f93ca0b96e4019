"""Operation logs: what was asked for, and what came of it."""

from __future__ import annotations

from typing import ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.controllers.lists import listed
from protectd.api.links import path_id
from protectd.api.policies import operation_logs as policies
from protectd.api.schemas import operation_logs as schemas
from protectd.api.terms import OF_ANYONE, Listing, Terms
from protectd.api.views import operation_logs as views
from protectd.domain import operations
from protectd.model.models import Task
from protectd.model.repositories.tasks import TaskRepository

SORT_KEYS = tuple(key for key in TaskRepository.sort_keys if key != "status")

LISTING = Listing(
    SORT_KEYS,
    ("checkpoint_id", "plan_id", "restore_id", "status", "provider_id", "verification_id", "operation_type"),
)


class OperationLogsController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/operation_logs"
    terms = {"GET": Terms({200: schemas.PAGE}, query=LISTING.query())}

    def child(self, segment: str, call: Call) -> Controller | None:
        return OperationLogController(segment)

    def on_get(self, call: Call) -> Answer:
        call.can(policies.GET_ALL)
        filters = call.filters()
        return listed(
            call,
            "operation_logs",
            ["operation_logs"],
            lambda page: call.uow.tasks.history(page, call.scope, filters),
            views.detail,
            SORT_KEYS,
        )


class OperationLogController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/operation_logs/{operation_log_id}"
    terms = {
        "GET": Terms({200: schemas.ONE}, query=OF_ANYONE),
        "DELETE": Terms({202: schemas.ONE}, query=OF_ANYONE, refusals=(409,)),
    }

    def __init__(self, operation_log_id: str) -> None:
        self.operation_log_id = operation_log_id

    def on_get(self, call: Call) -> Answer:
        task = self._task(call)
        call.can(policies.GET, task)
        return Answer({schemas.KEY: views.detail(task)})

    def on_delete(self, call: Call) -> Answer:
        """Ask it to end: 202, or 409 when it has."""
        task = self._task(call)
        call.can(policies.CANCEL, task)
        operations.cancel(call.uow, task, call.runtime.clock.now())
        return cancelled(call, task)

    def _task(self, call: Call) -> Task:
        return call.uow.tasks.get_logged(path_id(self.operation_log_id, "operation_log_id"), call.scope)


def cancelled(call: Call, task: Task) -> Answer:
    """It was asked to end; where to see that it has."""
    return Answer(
        {schemas.KEY: views.detail(task)}, status=202, location=call.location("operation_logs", task.id)
    )
