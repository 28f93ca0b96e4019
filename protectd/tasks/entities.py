"""What tasks read of entities and write back into them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from protectd.common.reports import Issue
from protectd.domain.providers import Provider
from protectd.model.models import CheckpointResource
from protectd.model.states import ResourceStatus, move
from protectd.model.unit_of_work import UnitOfWork
from protectd.plugin.base import Access, ProtectionPlugin, Resource
from protectd.plugin.graph import Graph
from protectd.plugin.outcomes import Outcome
from protectd.tasks.env import TaskEnv
from protectd.tasks.errors import TypeNotSupported
from protectd.tasks.run import Run

NOT_REACHED = "not reached"


def plugin_resource(row: CheckpointResource) -> Resource:
    return Resource(row.resource_id, row.resource_type, row.resource_name, row.extra_info)


def provider_of(env: TaskEnv, run: Run) -> Provider:
    """:raises ProviderNotFound: it was taken out of the configuration."""
    return env.providers.get(run.provider_id)


def access_of(provider: Provider, run: Run) -> Access:
    """What the one who asked may touch: checked again where it counts."""
    return provider.access(run.context.project_id, run.context.is_admin)


def protection_of(provider: Provider, resource: Resource) -> ProtectionPlugin:
    """:raises TypeNotSupported: no plug-in of the provider protects such a thing."""
    plugin = provider.protections.get(resource.type)
    if plugin is None:
        raise TypeNotSupported(resource=resource.key, provider_id=provider.id)
    return plugin


def flat_graph(resources: Iterable[Resource]) -> Graph:
    """Resources each for itself: what was saved has no order any more."""
    return Graph.build(resources, lambda _: ())


def issue_rows(issues: Iterable[Issue]) -> list[dict[str, str]]:
    return [{"path": issue.path, "kind": issue.kind, "reason": issue.reason} for issue in issues]


def statuses(outcomes: Iterable[Outcome]) -> dict[str, str]:
    """By `type#id`, in the contract's words."""
    words = {True: ResourceStatus.AVAILABLE, False: ResourceStatus.ERROR}
    return {outcome.resource.key: words[outcome.ok] for outcome in outcomes}


def reasons(outcomes: Iterable[Outcome]) -> dict[str, str]:
    return {outcome.resource.key: outcome.reason for outcome in outcomes if not outcome.ok}


def move_resources(
    uow: UnitOfWork, rows: Iterable[CheckpointResource], sources: Iterable[str], target: str, **values: Any
) -> None:
    """Move those that are in one of `sources`; others have gone their own way."""
    for row in rows:
        if row.status in sources:
            move(uow.session, CheckpointResource, row.id, row.status, target, **values)


def fail_resources(
    uow: UnitOfWork, rows: Iterable[CheckpointResource], sources: Iterable[str], why: Mapping[str, str]
) -> None:
    """To error, each with its own reason; those that were not reached say so."""
    for row in rows:
        move_resources(uow, [row], sources, ResourceStatus.ERROR, reason=why.get(row.key, NOT_REACHED))
