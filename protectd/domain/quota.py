"""Quotas: what a project may have of a resource, and what it has.

What is taken and given back changes in the transaction that makes or ends the thing itself: it is done once
or not at all. Rows are always locked in the order of `RESOURCES`, after those of the things and before the
gates: nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from protectd.common.errors import Forbidden, ProtectdError
from protectd.model.models import Checkpoint
from protectd.model.repositories.quotas import (
    CAS,
    CHECKPOINTS,
    CONSUMERS,
    CONTAINERS,
    DEFAULT_CLASS,
    OPERATIONS,
    ORDERS,
    PLANS,
    PROTECTION,
    RESOURCES,
    SECRET_CONSUMERS,
    SECRETS,
    STORED_BYTES,
    Bounds,
    limit_of,
)
from protectd.model.unit_of_work import UnitOfWork

UNLIMITED = -1
DEFAULTS: Mapping[str, int] = {
    PLANS: 50,
    CHECKPOINTS: UNLIMITED,
    STORED_BYTES: UNLIMITED,
    OPERATIONS: UNLIMITED,
    SECRETS: UNLIMITED,
    ORDERS: UNLIMITED,
    CONTAINERS: UNLIMITED,
    CONSUMERS: UNLIMITED,
    CAS: UNLIMITED,
}
EXPIRING = frozenset({SECRETS, SECRET_CONSUMERS})
"""What ends of itself with time: nobody gives it back."""

COUNTED_OPERATIONS = frozenset({"protect", "restore", "verify", "copy"})
"""What counts as an operation that runs. A deletion frees what is scarce: it is never refused."""


class QuotaExceeded(ProtectdError):
    """The contract answers 413 here."""

    status = 413
    code = "quota.exceeded"
    message = "the project's quota of {resource} is used up: {in_use} of {limit} in use"


class QuotaReached(Forbidden):
    """The key manager's contract answers 403, in these words."""

    code = "quota.reached"
    message = (
        "Creation not allowed because a quota has been reached: {in_use} of {limit} {resource} are in use"
    )


@dataclass(frozen=True, slots=True)
class QuotaOptions:
    """
    :ivar limits: where neither a project nor its class has one; -1: none.
    :ivar classes: of projects that belong to another class than `default`.
    """

    limits: Mapping[str, int] = field(default_factory=lambda: DEFAULTS)
    classes: Mapping[str, str] = field(default_factory=dict)

    def bounds(self, project_id: str, resource: str) -> Bounds:
        return Bounds(self.class_of(project_id), self.limits[limit_of(resource)])

    def class_of(self, project_id: str) -> str:
        return self.classes.get(project_id, DEFAULT_CLASS)


class Quotas:
    """Of one unit of work."""

    def __init__(self, uow: UnitOfWork, options: QuotaOptions) -> None:
        self._uow = uow
        self._options = options

    def take(self, project_id: str, *, now: datetime | None = None, **amounts: int) -> None:
        """
        :param now: what has expired by then makes room, where there is no other; what is taken for is there.
        :raises QuotaExceeded: there is no room for so much; the unit of work must not go on.
        :raises QuotaReached: the same of what the key manager keeps.
        """
        for resource in RESOURCES:
            amount = amounts.get(resource, 0)
            if amount and not self._take(project_id, resource, amount, now):
                self._refuse(project_id, resource)

    def _take(self, project_id: str, resource: str, amount: int, now: datetime | None) -> bool:
        bounds = self._options.bounds(project_id, resource)
        if self._uow.quotas.take(project_id, resource, amount, bounds):
            return True
        if now is None or resource not in EXPIRING:
            return False
        self._uow.quotas.lock(project_id, resource)
        others = self._uow.balances.true(project_id, resource, now) - amount
        self._uow.quotas.set_usage(project_id, resource, others)
        return self._uow.quotas.take(project_id, resource, amount, bounds)

    def take_checkpoints(self, *checkpoints: Checkpoint) -> None:
        """For those of one project that are not counted, and are to be available. Taken once, however often.

        :raises QuotaExceeded: there is no room for all of them, or for any more bytes.
        """
        fresh = [each for each in checkpoints if not each.counted]
        if fresh:
            self.take_new(fresh[0].project_id, len(fresh))
        for each in fresh:
            each.counted = True

    def take_new(self, project_id: str, count: int = 1) -> None:
        """For checkpoints that are made in this unit of work and say already that they are counted.

        :raises QuotaExceeded: as above; how many bytes they need is not known before.
        """
        bounds = self._options.bounds(project_id, CHECKPOINTS)
        room = STORED_BYTES, self._options.bounds(project_id, STORED_BYTES)
        if not self._uow.quotas.take(project_id, CHECKPOINTS, count, bounds, room):
            self._refuse(project_id, STORED_BYTES if self._is_full(project_id) else CHECKPOINTS)

    def room(self, project_id: str, *resources: str) -> int | None:
        """How many there is room for now, if each takes one of these resources; None: any number."""
        limits, usages = self.limits(project_id), self.usages(project_id)
        bounded = [each for each in resources if limits[each] != UNLIMITED]
        return min((max(0, limits[each] - usages[each]) for each in bounded), default=None)

    def limits(self, project_id: str) -> dict[str, int]:
        return self.defaults(project_id) | self._uow.quotas.limits(project_id)

    def defaults(self, project_id: str) -> dict[str, int]:
        """What holds for a project that has no limits of its own."""
        return self.class_limits(self._options.class_of(project_id))

    def class_limits(self, name: str) -> dict[str, int]:
        """Those of a class; what it says nothing of, the class `default` does, and then the configuration."""
        known = dict(self._options.limits) | self._uow.quotas.class_limits(DEFAULT_CLASS)
        return known if name == DEFAULT_CLASS else known | self._uow.quotas.class_limits(name)

    def usages(self, project_id: str) -> dict[str, int]:
        return dict.fromkeys(RESOURCES, 0) | self._uow.quotas.usages(project_id)

    def _is_full(self, project_id: str) -> bool:
        limit = self.limits(project_id)[STORED_BYTES]
        return limit != UNLIMITED and self.usages(project_id)[STORED_BYTES] >= limit

    def _refuse(self, project_id: str, resource: str) -> None:
        error = QuotaExceeded if resource in PROTECTION else QuotaReached
        raise error(
            resource=limit_of(resource),
            limit=self.limits(project_id)[limit_of(resource)],
            in_use=self.usages(project_id)[resource],
        )


def hold(uow: UnitOfWork, project_id: str) -> None:
    """Lock all that a project has in use, in the order that everyone keeps: whoever takes for several things
    in one unit of work may do so in any order then."""
    for resource in RESOURCES:
        uow.quotas.lock(project_id, resource)


def give(uow: UnitOfWork, project_id: str, **amounts: int) -> None:
    """Back to the project. In the transaction in which the thing ends, which happens once."""
    for resource in RESOURCES:
        if amount := amounts.get(resource, 0):
            uow.quotas.give(project_id, resource, amount)


def count(uow: UnitOfWork, project_id: str, **amounts: int) -> None:
    """It is there, whether or not there was room."""
    _change(uow, project_id, amounts)


def keep(uow: UnitOfWork, checkpoint: Checkpoint, stored_bytes: int) -> None:
    """It is there, and has added so many bytes to the bank. They count whether or not there is room: they are
    stored. The checkpoint's row is locked by the caller."""
    fresh, more = not checkpoint.counted, stored_bytes - checkpoint.counted_bytes
    if (fresh or more) and uow.checkpoints.count(checkpoint, True, stored_bytes):
        _change(uow, checkpoint.project_id, {CHECKPOINTS: int(fresh), STORED_BYTES: more})


def settle(uow: UnitOfWork, checkpoint: Checkpoint) -> None:
    """It has come to a state in which it may or may not hold data: it counts if it does. The checkpoint's row
    is locked by the caller."""
    if uow.checkpoints.counts(checkpoint.id):
        keep(uow, checkpoint, checkpoint.stored_bytes)
    else:
        release(uow, checkpoint)


def release(uow: UnitOfWork, checkpoint: Checkpoint) -> None:
    """Nothing of it is there, or not any more. Given back once, however often. The checkpoint's row is locked
    by the caller."""
    had = checkpoint.counted_bytes
    if checkpoint.counted and uow.checkpoints.count(checkpoint, False, 0):
        _change(uow, checkpoint.project_id, {CHECKPOINTS: -1, STORED_BYTES: -had})


def _change(uow: UnitOfWork, project_id: str, amounts: Mapping[str, int]) -> None:
    for resource in RESOURCES:
        amount = amounts.get(resource, 0)
        if amount > 0:
            uow.quotas.take(project_id, resource, amount)
        elif amount < 0:
            uow.quotas.give(project_id, resource, -amount)
