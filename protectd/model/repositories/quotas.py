"""Limits of projects and of classes of projects, and what each project has in use."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CursorResult,
    String,
    Update,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from protectd.model.models import Quota, QuotaClass, QuotaUsage

CHECKPOINTS = "checkpoints"
PLANS = "plans"
STORED_BYTES = "stored_bytes"
OPERATIONS = "operations"
SECRETS = "secrets"
ORDERS = "orders"
CONTAINERS = "containers"
CONSUMERS = "consumers"
SECRET_CONSUMERS = "secret_consumers"
CONTAINER_CONSUMERS = "container_consumers"
CAS = "cas"
RESOURCES = (
    CHECKPOINTS,
    PLANS,
    STORED_BYTES,
    SECRETS,
    ORDERS,
    CONTAINERS,
    SECRET_CONSUMERS,
    CONTAINER_CONSUMERS,
    OPERATIONS,
)
"""What is counted, in the order in which its rows are locked."""

PROTECTION = (CHECKPOINTS, PLANS, STORED_BYTES, OPERATIONS)
"""What the contract of data protection has limits of."""

KEY_MANAGER = (SECRETS, ORDERS, CONTAINERS, CONSUMERS, CAS)
"""What the key manager's has limits of. Authorities for certificates are no more: theirs limits nothing."""

LIMITED_BY: Mapping[str, str] = {SECRET_CONSUMERS: CONSUMERS, CONTAINER_CONSUMERS: CONSUMERS}
"""Each kind of consumer is counted of its own, against one limit."""

UNBOUNDED = 2**63 - 1
DEFAULT_CLASS = "default"
"""Its limits are those of every project that has no other."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where the limit of a project is looked for when it has none of its own.

    :ivar class_name: the class it belongs to; `default` is asked next, and then it is `limit`.
    """

    class_name: str
    limit: int

    @property
    def most(self) -> int:
        """`limit` as a number that nothing exceeds where there is none."""
        return self.limit if self.limit >= 0 else UNBOUNDED

    @property
    def is_default(self) -> bool:
        return self.class_name == DEFAULT_CLASS


class QuotaRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    # --- limits ---

    def limits(self, project_id: str) -> dict[str, int]:
        """Those that are the project's own, by resource."""
        return self._limits(Quota.project_id, project_id)

    def limits_of(self, project_ids: Collection[str]) -> dict[str, dict[str, int]]:
        """As `limits`, of several projects."""
        found: dict[str, dict[str, int]] = {}
        query = select(Quota.project_id, Quota.resource, Quota.hard_limit)
        for row in self.session.execute(query.where(Quota.project_id.in_(project_ids))):
            found.setdefault(row.project_id, {})[row.resource] = row.hard_limit
        return found

    def class_limits(self, class_name: str) -> dict[str, int]:
        return self._limits(QuotaClass.class_name, class_name)

    def set_limits(self, project_id: str, limits: Mapping[str, int]) -> None:
        for resource, limit in sorted(limits.items()):
            self._set(Quota.project_id, project_id, resource, limit)

    def set_class_limits(self, class_name: str, limits: Mapping[str, int]) -> None:
        for resource, limit in sorted(limits.items()):
            self._set(QuotaClass.class_name, class_name, resource, limit)

    def remove_limits(self, project_id: str, resources: Collection[str]) -> int:
        """What is in use stays in use. :returns: how many there were."""
        return self._execute(
            delete(Quota).where(Quota.project_id == project_id, Quota.resource.in_(resources))
        )

    def limited(self, resources: Collection[str], limit: int, offset: int) -> tuple[list[str], int]:
        """Projects that have limits of their own of some of these, a page by id, and how many there are."""
        its = Quota.resource.in_(resources)
        total = self.session.scalar(select(func.count(Quota.project_id.distinct())).where(its)) or 0
        query = select(Quota.project_id).where(its).distinct().order_by(Quota.project_id)
        return list(self.session.scalars(query.limit(limit).offset(offset))), total

    # --- what is in use ---

    def usages(self, project_id: str) -> dict[str, int]:
        query = select(QuotaUsage.resource, QuotaUsage.in_use).where(QuotaUsage.project_id == project_id)
        return {row.resource: row.in_use for row in self.session.execute(query)}

    def take(
        self,
        project_id: str,
        resource: str,
        amount: int,
        bounds: Bounds | None = None,
        beside: tuple[str, Bounds] | None = None,
    ) -> bool:
        """Add to what is in use: one UPDATE that says the limit itself, so of any number at once as many win
        as there is room for. Others wait for the end of this unit of work.

        :param bounds: None: whatever the limit is.
        :param beside: with `bounds`: another resource that has to have some room, of which nothing is taken.
        :returns: whether there was room.
        """
        if self._add(project_id, resource, amount, bounds, beside):
            return True
        self._begin(project_id)
        return self._add(project_id, resource, amount, bounds, beside)

    def give(self, project_id: str, resource: str, amount: int) -> None:
        """Take from what is in use, which is never less than nothing."""
        values = {"of_project": project_id, "of_resource": resource, "amount": amount}
        self.session.flush()
        self.session.connection().execute(_giving(), values)

    def lock(self, project_id: str, resource: str) -> int | None:
        """What is in use; nobody changes it until the unit of work ends. None: there is no such row."""
        query = select(QuotaUsage.in_use).where(*_row(project_id, resource))
        return self.session.scalar(query.with_for_update())

    def set_usage(self, project_id: str, resource: str, in_use: int) -> None:
        """To be called by who has it locked, or has found that there is none."""
        self._begin(project_id)
        self._execute(update(QuotaUsage).where(*_row(project_id, resource)).values(in_use=in_use))

    # --- statements ---

    def _limits(self, owner: InstrumentedAttribute[str], name: str) -> dict[str, int]:
        model: Any = owner.class_
        query = select(model.resource, model.hard_limit).where(owner == name)
        return {row.resource: row.hard_limit for row in self.session.execute(query)}

    def _set(self, owner: InstrumentedAttribute[str], name: str, resource: str, limit: int) -> None:
        model: Any = owner.class_
        change = update(model).where(owner == name, model.resource == resource).values(hard_limit=limit)
        if not self._execute(change):
            values = {owner.key: name, "resource": resource, "hard_limit": limit}
            if not self._insert(model, [values]):
                self._execute(change)

    def _add(
        self,
        project_id: str,
        resource: str,
        amount: int,
        bounds: Bounds | None,
        beside: tuple[str, Bounds] | None,
    ) -> bool:
        """One statement that each request sends is made once."""
        values = {"of_project": project_id, "of_resource": resource, "amount": amount}
        if bounds is not None:
            values |= {"limited_by": limit_of(resource), "limit": bounds.most}
            values |= {} if bounds.is_default else {"of_class": bounds.class_name}
        if beside is not None:
            values |= {"beside": beside[0], "beside_limit": beside[1].most}
        self.session.flush()
        is_default = bounds is None or bounds.is_default
        statement = _taking(bounds is not None, beside is not None, is_default)
        result = self.session.connection().execute(statement, values)
        return result.rowcount == 1

    def _begin(self, project_id: str) -> None:
        """Let there be a row for each resource."""
        known = self.usages(project_id)
        missing = [resource for resource in RESOURCES if resource not in known]
        if missing:
            rows = [{"project_id": project_id, "resource": resource, "in_use": 0} for resource in missing]
            self._insert(QuotaUsage, rows)

    def _insert(self, model: type[Any], rows: list[dict[str, Any]]) -> bool:
        """False: another was first."""
        try:
            with self.session.begin_nested():
                self.session.execute(insert(model), rows)
        except IntegrityError:
            return False
        return True

    def _execute(self, statement: Any) -> int:
        self.session.flush()
        options = {"synchronize_session": False}
        result = self.session.execute(statement, execution_options=options)
        return cast("CursorResult[Any]", result).rowcount


def limit_of(resource: str) -> str:
    """What the limit of a resource is called."""
    return LIMITED_BY.get(resource, resource)


def _row(project_id: str, resource: str) -> tuple[ColumnElement[bool], ...]:
    return QuotaUsage.project_id == project_id, QuotaUsage.resource == resource


@cache
def _taking(bounded: bool, beside: bool, is_default: bool) -> Update:
    """What is not asked for costs nothing to parse and to look for, at each request.

    :param bounded: if there is room; `beside`: of another resource, too.
    :param is_default: the project belongs to no other class.
    """
    table: Any = QuotaUsage.__table__
    row = table.c
    its = row.project_id == bindparam("of_project"), row.resource == bindparam("of_resource")
    amount: Any = bindparam("amount", type_=BigInteger)
    room = []
    if bounded:
        room.append(row.in_use + amount <= _limit("limited_by", "limit", is_default))
    if beside:
        room.append(_has_room("beside", _limit("beside", "beside_limit", is_default)))
    return update(table).where(*its, *room).values(in_use=row.in_use + amount)


def _has_room(resource: str, limit: ColumnElement[int]) -> ColumnElement[bool]:
    other = aliased(QuotaUsage)
    its = other.project_id == bindparam("of_project"), other.resource == bindparam(resource)
    # MySQL reads the table that it changes only from behind a table of its own, which DISTINCT makes it keep.
    found = select(other.in_use).where(*its).distinct().subquery()
    return func.coalesce(select(found.c.in_use).scalar_subquery(), 0) < limit


@cache
def _giving() -> Update:
    table: Any = QuotaUsage.__table__
    row = table.c
    its = row.project_id == bindparam("of_project"), row.resource == bindparam("of_resource")
    amount: Any = bindparam("amount", type_=BigInteger)
    return update(table).where(*its).values(in_use=case((row.in_use > amount, row.in_use - amount), else_=0))


def _limit(resource: str, given: str, is_default: bool) -> ColumnElement[int]:
    """The project's own, else its class's, else that of the class `default`, else the one that is given."""
    own, ours = Quota.project_id == bindparam("of_project"), bindparam(resource, type_=String)
    limits = [select(_most(Quota.hard_limit)).where(own, Quota.resource == ours)]
    classes: list[ColumnElement[str]] = [literal_column(f"'{DEFAULT_CLASS}'")]
    for name in classes if is_default else [bindparam("of_class", type_=String), *classes]:
        of_class = QuotaClass.class_name == name, QuotaClass.resource == ours
        limits.append(select(_most(QuotaClass.hard_limit)).where(*of_class))
    default: Any = bindparam(given, type_=BigInteger)
    return func.coalesce(*(each.scalar_subquery() for each in limits), default)


def _most(limit: Any) -> ColumnElement[int]:
    """See `Bounds.most`."""
    return case((limit < literal_column("0"), literal_column(str(UNBOUNDED))), else_=limit)
