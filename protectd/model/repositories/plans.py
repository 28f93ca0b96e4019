"""Plans and their resources."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Select, and_, bindparam, outerjoin, select

from protectd.common.errors import NotFound
from protectd.model.base import utc_now
from protectd.model.models import Plan, PlanResource
from protectd.model.repositories.base import Repository
from protectd.model.repositories.filters import contains, exact
from protectd.model.repositories.pictures import Children, Pictures, picture


class PlanNotFound(NotFound):
    code = "plan.not_found"
    message = "plan {id} is not there"


class PlanRepository(Repository[Plan]):
    model = Plan
    not_found = PlanNotFound
    sort_keys = ("id", "name", "status", "created_at", "updated_at")
    filters = {
        "name": contains(Plan.name),
        "description": contains(Plan.description),
        "status": exact(Plan.status),
        "provider_id": exact(Plan.provider_id),
    }
    pictures = Pictures(
        Plan,
        Children(
            "resources",
            PlanResource,
            PlanResource.plan_id,
            where=(PlanResource.deleted.is_(False),),
            order=(PlanResource.position, PlanResource.id),
        ),
    )

    def to_run(self, id: str, project_id: str | None = None) -> Plan:
        """A picture with what a checkpoint takes over. The plan stays as it is until the unit of work ends.

        :raises PlanNotFound: as `get`.
        """
        named = {"id": id, "project_id": project_id}
        rows = self.session.connection().execute(_to_run(project_id is not None), named).all()
        if not rows:
            raise self.not_found(id=id)
        own = len(_PLAN_NAMES)
        plan: Plan = picture(Plan, _PLAN_NAMES, rows[0][:own])
        resources = [picture(PlanResource, _RESOURCE_NAMES, row[own:]) for row in rows if row[own]]
        vars(plan)["resources"] = resources
        return plan

    def lock_all(self, ids: Collection[str]) -> list[Plan]:
        """Those of some plans that there are, read anew; nobody changes them until the unit of work ends.
        Locked in the order of their ids, which is that of the primary key, too: nobody waits in a circle."""
        query = select(Plan).where(Plan.id.in_(ids), Plan.deleted.is_(False)).order_by(Plan.id)
        locked = query.with_for_update().execution_options(populate_existing=True)
        return self.all(locked) if ids else []

    def parameters(self, plan_id: str) -> dict[str, Any]:
        """Also of a plan that is deleted; none of one that is gone."""
        found: dict[str, Any] | None = (
            self.session.connection().execute(_PARAMETERS, {"id": plan_id}).scalar()
        )
        return found or {}

    def delete(self, entity: Plan) -> None:
        for resource in entity.resources:
            _remove(resource)
        super().delete(entity)

    def replace_resources(self, plan: Plan, resources: Sequence[PlanResource]) -> None:
        """Make `resources` the plan's set, in this order. One that stays keeps its row; one that goes is kept
        as deleted. The plan's `updated_at` moves."""
        leaving = {resource.key: resource for resource in plan.resources}
        for position, wanted in enumerate(resources):
            kept = leaving.pop(wanted.key, None)
            _place(kept or wanted, wanted, position)
            if kept is None:
                wanted.plan_id = plan.id
                self.session.add(wanted)
        for resource in leaving.values():
            _remove(resource)
        plan.updated_at = utc_now()
        self.session.flush()
        self.session.refresh(plan, ["resources"])


def _place(row: PlanResource, wanted: PlanResource, position: int) -> None:
    row.resource_name = wanted.resource_name
    row.resource_extra_info = wanted.resource_extra_info
    row.position = position


def _remove(resource: PlanResource) -> None:
    resource.deleted = True
    resource.deleted_at = utc_now()


_PARAMETERS = select(Plan.__table__.c.parameters).where(Plan.__table__.c.id == bindparam("id"))
_PLAN_NAMES = ("id", "name", "provider_id", "project_id")
_RESOURCE_NAMES = ("resource_id", "resource_type", "resource_name", "resource_extra_info")


@cache
def _to_run(is_scoped: bool) -> Select[Any]:
    """Built once. With the plan, MariaDB locks its resources, which nobody changes but who has the plan."""
    of, each = Plan.__table__.c, PlanResource.__table__.c
    its = and_(each.plan_id == of.id, each.deleted.is_(False))
    query = (
        select(*(of[name] for name in _PLAN_NAMES), *(each[name] for name in _RESOURCE_NAMES))
        .select_from(outerjoin(Plan.__table__, PlanResource.__table__, its))
        .where(of.id == bindparam("id"), of.deleted.is_(False))
        .order_by(each.position, each.id)
        .with_for_update(of=Plan.__table__)
    )
    return query.where(of.project_id == bindparam("project_id")) if is_scoped else query
