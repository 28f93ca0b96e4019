"""What a scheduled operation does when its time has come: what a request does, with the rights of now."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from protectd.common.clock import Clock
from protectd.common.context import RequestContext
from protectd.common.errors import Conflict, Forbidden, ProtectdError, Unavailable
from protectd.domain import checkpoints, copies, parameters, quota
from protectd.domain.instances import Registry
from protectd.domain.providers import Protectables, Provider, Providers
from protectd.domain.resources import Resolver
from protectd.domain.scheduled_operations import (
    COPY,
    PROTECT,
    PRUNE,
    RETENTION_PROTECT,
    VERIFY,
    check_definition,
    type_of,
)
from protectd.domain.submission import Submission, SubmitOptions
from protectd.domain.verifications import new_verification
from protectd.model.models import Plan, ScheduledOperation
from protectd.model.repositories.plans import PlanNotFound
from protectd.model.states import CheckpointStatus
from protectd.model.unit_of_work import Database, UnitOfWork
from protectd.plugin.base import Identity
from protectd.queue.contract import TaskRef

CREATED_BY = "operation-engine"


class NotNow(Conflict):
    """It is left out this time, and nothing is wrong."""


class PlanHeld(NotNow):
    code = "plan.held"
    message = "plan {plan_id} was suspended; it waits until the plan is started again"


class StillRunning(NotNow):
    code = "running"
    message = "its former run still waits or runs: {entity_type} {entity_id}"


class NothingThere(NotNow):
    code = "nothing_there"
    message = "there is nothing to work on: {reason}"


class RightsGone(Forbidden):
    code = "rights.gone"
    message = "{user_id} may not act in project {project_id} any more"


class Rights(Protocol):
    """Who may do what at this moment."""

    @property
    def remote(self) -> bool:
        """Another server is asked who stands: `look_ahead` goes before `standing`, outside a unit of work."""

    def look_ahead(self, identity: Identity) -> None: ...

    def standing(self, identity: Identity) -> Identity | None:
        """Whoever was let in before, as they may act now; None: not any more."""

    def may(self, rule: str, context: RequestContext, project_id: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Made:
    """What a run has begun, and the tasks to be announced after the commit."""

    entity_type: str | None
    entity_id: str | None
    tasks: tuple[TaskRef, ...]


Start = Callable[[Submission], tuple[str | None, str | None]]
Standing = Callable[[Identity], Identity | None]


@dataclass(frozen=True, slots=True)
class Ready:
    """An operation that may be done now: what it is about is locked, and nothing is made yet.

    :ivar start: makes it, as often as it is to be done, and says what.
    """

    operation: ScheduledOperation
    context: RequestContext
    start: Start


@dataclass(frozen=True, slots=True)
class Run:
    """One operation while it is made ready.

    :ivar plans: by id, those that are there and locked.
    """

    uow: UnitOfWork
    operation: ScheduledOperation
    context: RequestContext
    plans: Mapping[str, Plan]

    @property
    def definition(self) -> Mapping[str, Any]:
        return self.operation.operation_definition

    def plan(self) -> Plan:
        """Locked, so that nobody deletes it meanwhile. :raises PlanHeld: its schedules wait."""
        plan = self.plans.get(str(self.operation.plan_id))
        if plan is None or plan.project_id != self.operation.project_id:
            raise PlanNotFound(id=self.operation.plan_id)
        if plan.held:
            raise PlanHeld(plan_id=plan.id)
        return plan


class Runs:
    """Begins runs. Thread safe."""

    def __init__(
        self,
        providers: Providers,
        protectables: Protectables,
        clock: Clock,
        host: str,
        rights: Rights,
        options: SubmitOptions,
    ) -> None:
        self._providers = providers
        self._protectables = protectables
        self._clock = clock
        self._host = host
        self._rights = rights
        self._options = options
        self._prepares: Mapping[str, Callable[[Run], Start]] = {
            PROTECT: self._protect,
            RETENTION_PROTECT: self._protect,
            VERIFY: self._verify,
            COPY: self._copy,
            PRUNE: self._prune,
        }

    def look_ahead(self, database: Database, trigger_ids: Sequence[str]) -> None:
        """Ask who stands of those whose operations triggers will begin, where that takes another server: no
        unit of work waits for one.

        :raises Unavailable: it does not answer.
        """
        if not self._rights.remote:
            return
        with database.read() as uow:
            identities = {
                _maker(operation) for operation in uow.scheduled_operations.enabled_of(*trigger_ids)
            }
        for identity in identities:
            self._rights.look_ahead(identity)

    def prepare(
        self, uow: UnitOfWork, operations: Sequence[ScheduledOperation]
    ) -> dict[str, Ready | ProtectdError]:
        """What of these may be done now, by id of the operation; and why the others may not:

        NotNow: it is left out this time; RightsGone: whoever made it is not let in any more; Forbidden: the
        policy does not allow it to them any more; else what the request would be refused with.

        All that is to be locked for them is locked here, in the order that everyone keeps: plans by their
        ids, then their checkpoints in that order, then what the projects have in use. Nobody waits in a
        circle, however many are done in one unit of work.
        """
        standing = cache(self._rights.standing)
        named = {each.plan_id for each in operations if each.plan_id is not None}
        plans = {plan.id: plan for plan in uow.plans.lock_all(named)}
        found = {
            each.id: self._ready(uow, each, plans, standing)
            for each in sorted(operations, key=lambda each: (each.plan_id or "", each.id))
        }
        ready = [each.operation.project_id for each in found.values() if isinstance(each, Ready)]
        if len(ready) > 1:
            for project_id in sorted(set(ready)):
                quota.hold(uow, project_id)
        return found

    def begin(self, uow: UnitOfWork, ready: Ready) -> Made:
        """Make what is to be done, and its tasks.

        :raises ProtectdError: as the request would be refused.
        """
        id = ready.operation.id
        submission = Submission(uow, ready.context, self._clock, self._options, scheduled_operation_id=id)
        entity_type, entity_id = ready.start(submission)
        return Made(entity_type, entity_id, tuple(submission.submitted))

    def check_free(self, uow: UnitOfWork, operation: ScheduledOperation) -> None:
        """:raises StillRunning: something that it made lately has a task that has not ended."""
        lately = uow.occurrences.made_lately(operation.id)
        running = uow.tasks.live_of([made.entity_id for made in lately if made.entity_id])
        for made in lately:
            if (made.entity_type, made.entity_id) in running:
                raise StillRunning(entity_type=made.entity_type, entity_id=made.entity_id)

    def _ready(
        self,
        uow: UnitOfWork,
        operation: ScheduledOperation,
        plans: Mapping[str, Plan],
        standing: Standing,
    ) -> Ready | ProtectdError:
        try:
            self.check_free(uow, operation)
            context = self._context(operation, standing)
            check_definition(operation.operation_type, operation.operation_definition, "operation_definition")
            start = self._prepares[operation.operation_type](Run(uow, operation, context, plans))
        except Unavailable:
            raise
        except ProtectdError as error:
            return error
        return Ready(operation, context, start)

    def _context(self, operation: ScheduledOperation, standing: Standing) -> RequestContext:
        user_id, project_id = operation.user_id, operation.project_id
        identity = standing(_maker(operation))
        if identity is None:
            raise RightsGone(user_id=user_id, project_id=project_id)
        context = RequestContext(f"req-{uuid.uuid4()}", project_id, user_id, identity.roles)
        rule = type_of(operation.operation_type, "operation_type").rule
        if not self._rights.may(rule, context, project_id):
            raise Forbidden(action=rule)
        return context

    # --- by type: first what is locked, then what is made ---

    def _protect(self, run: Run) -> Start:
        plan, operation = run.plan(), run.operation
        provider = self._provider(run)
        registry = Registry(run.uow, self._protectables, plan.project_id, self._host)
        access = provider.access(plan.project_id, run.context.is_admin)
        origin = {
            "created_by": CREATED_BY,
            "trigger_id": operation.trigger_id,
            "scheduled_operation_id": operation.id,
        }
        resolver = Resolver(registry, provider, access)

        def start(submission: Submission) -> tuple[str, str]:
            checkpoint = checkpoints.create(resolver, plan, provider.id, origin, operation.id)
            submission.process_checkpoint(checkpoint)
            return "checkpoint", checkpoint.id

        return start

    def _verify(self, run: Run) -> Start:
        """The newest checkpoint of the plan that there is."""
        plan, provider = run.plan(), self._provider(run)
        newest = run.uow.checkpoints.newest_of(plan.id, provider.id, CheckpointStatus.AVAILABLE)
        if newest is None:
            raise NothingThere(reason=f"plan {plan.id} has no available checkpoint")
        checkpoint = checkpoints.usable(run.uow, newest, provider.id, plan.project_id, "checkpoint")
        wanted = run.definition.get("parameters") or {}
        keys = {resource.key for resource in checkpoint.resources}
        parameters.check(wanted, provider.verify_schemas, "parameters", keys)

        def start(submission: Submission) -> tuple[str, str]:
            verification = run.uow.verifications.add(new_verification(checkpoint, run.definition))
            submission.process_verify(verification)
            return "verification", verification.id

        return start

    def _copy(self, run: Run) -> Start:
        """All that is not copied yet. Done again at once, what there was no room for."""
        plan, provider = run.plan(), self._provider(run)
        wanted = run.definition.get("parameters") or {}
        target = copies.target_of(self._providers, provider, wanted, "parameters")
        sources = copies.sources(run.uow, plan, provider, target)

        def start(submission: Submission) -> tuple[str | None, str | None]:
            pairs = copies.start(run.uow, submission, plan, sources, target, run.operation.id)
            del sources[: len(pairs)]
            return ("checkpoint", pairs[-1][1].id) if pairs else (None, None)

        return start

    def _prune(self, run: Run) -> Start:
        provider, project_id = self._provider(run), run.operation.project_id
        if run.uow.vaults.of(provider.id, project_id) is None:
            raise NothingThere(reason=f"the project has nothing with provider {provider.id}")

        def start(submission: Submission) -> tuple[str, str]:
            task = submission.process_prune(provider.id, project_id)
            return task.entity_type, task.entity_id

        return start

    def _provider(self, run: Run) -> Provider:
        return self._providers.get(str(run.operation.provider_id))


def _maker(operation: ScheduledOperation) -> Identity:
    """Whoever made it, as they were then."""
    return Identity(operation.user_id, operation.project_id, tuple(operation.roles))
