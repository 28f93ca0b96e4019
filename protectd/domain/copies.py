"""Copies: which checkpoints of a plan are brought to another provider, and to which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from protectd.common.errors import BadRequest, InvalidField, NotFound
from protectd.common.fields import join
from protectd.common.ids import new_id
from protectd.domain import validation
from protectd.domain.checkpoints import PlanOfOtherProvider
from protectd.domain.providers import Provider, Providers
from protectd.domain.submission import Submission
from protectd.model.models import Checkpoint, CheckpointResource, Plan
from protectd.model.repositories.quotas import CHECKPOINTS, OPERATIONS
from protectd.model.states import CheckpointStatus
from protectd.model.unit_of_work import UnitOfWork

OWN = "copy"
"""Under this key of the parameters stands what concerns the copy itself, where others name a type."""

PARAMETERS: validation.Schema = {
    "type": "object",
    "properties": {
        OWN: {
            "type": "object",
            "properties": {"provider_id": {"type": "string", "format": "uuid"}},
            "additionalProperties": False,
        }
    },
    "additionalProperties": False,
}

Pair = tuple[Checkpoint, Checkpoint]


class NothingToCopy(BadRequest):
    """The contract answers 400 here."""

    code = "copy.no_checkpoint"
    message = "plan {plan_id} has no checkpoint"


def target_of(
    providers: Providers, provider: Provider, parameters: Mapping[str, Any], field: str
) -> Provider:
    """Where copies of this provider's checkpoints go: what the parameters say, else what its file says, else
    to itself.

    :raises InvalidField: a parameter is not known, or names no provider.
    """
    validation.check(parameters, PARAMETERS, field)
    wanted = parameters.get(OWN, {}).get("provider_id")
    if wanted is None:
        return providers.get(provider.copy_target or provider.id)
    try:
        return providers.get(wanted)
    except NotFound:
        raise InvalidField(field=join(join(field, OWN), "provider_id"), reason="is no provider") from None


def sources(uow: UnitOfWork, plan: Plan, provider: Provider, target: Provider) -> list[Checkpoint]:
    """Each available checkpoint of a plan that has no copy in `target` and gets none now; oldest first,
    locked. A copy that failed or was deleted is made again, a copy is not copied. The plan's row is locked by
    the caller.

    :raises PlanOfOtherProvider: `provider` is not the plan's.
    :raises NothingToCopy: the plan has no checkpoint, in whatever state.
    """
    if plan.provider_id != provider.id:
        raise PlanOfOtherProvider(plan_id=plan.id, provider_id=plan.provider_id)
    if not uow.checkpoints.any_of(plan.id):
        raise NothingToCopy(plan_id=plan.id)
    return uow.checkpoints.to_copy(plan.id, provider.id, target.id)


def start(
    uow: UnitOfWork,
    tasks: Submission,
    plan: Plan,
    found: Sequence[Checkpoint],
    target: Provider,
    scheduled_operation_id: str | None = None,
) -> list[Pair]:
    """A copy, with its task, of each of some `sources`, and no more than the project's quotas have room for
    now. Many need no more statements than one.

    :param scheduled_operation_id: what asks for it; None: a request.
    :returns: pairs of a checkpoint and its copy, the first ones of `found`.
    :raises QuotaExceeded: there is room for none.
    """
    room = tasks.quotas.room(plan.project_id, CHECKPOINTS, OPERATIONS)
    wanted = found if room is None else found[: max(1, room)]
    made = [new_copy(source, target.id, scheduled_operation_id) for source in wanted]
    if made:
        tasks.process_copy(*made)
        uow.checkpoints.insert_all(made)
    return list(zip(wanted, made, strict=True))


def new_copy(source: Checkpoint, provider_id: str, scheduled_operation_id: str | None = None) -> Checkpoint:
    """A copy that waits. It tells the plan, the graph and the resources of its source, and its age: both hold
    the data of the same moment."""
    return Checkpoint(
        id=new_id(),
        project_id=source.project_id,
        plan_id=source.plan_id,
        provider_id=provider_id,
        source_id=source.id,
        scheduled_operation_id=scheduled_operation_id,
        status=CheckpointStatus.WAIT_COPYING,
        extra_info=source.extra_info,
        plan_name=source.plan_name,
        plan_json={**source.plan_json, "provider_id": provider_id},
        resource_graph=source.resource_graph,
        host=source.host,
        partial=source.partial,
        files=source.files,
        logical_bytes=source.logical_bytes,
        created_at=source.created_at,
        resources=[_new_resource(resource) for resource in source.resources],
    )


def _new_resource(resource: CheckpointResource) -> CheckpointResource:
    """Without a snapshot: that is another one."""
    return CheckpointResource(
        resource_id=resource.resource_id,
        resource_type=resource.resource_type,
        resource_name=resource.resource_name,
        extra_info=resource.extra_info,
        tree_id=resource.tree_id,
        source_path=resource.source_path,
        saved_info=resource.saved_info,
        files=resource.files,
        directories=resource.directories,
        logical_bytes=resource.logical_bytes,
        issue_count=resource.issue_count,
        issues=resource.issues,
    )
