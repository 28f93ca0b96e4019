"""How resources fare in a run: their jobs before it, their outcomes after it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from protectd.common.errors import ProtectdError, Unavailable
from protectd.common.reports import DAMAGED, UNREAD, CheckReport, RestoreReport, SaveReport
from protectd.plugin.base import HookContext, Operation, ProtectContext, Resource, VerifyContext


class PluginFailed(ProtectdError):
    """A plug-in raised what the contract does not know. Its text is in the log only: it may hold anything."""

    code = "plugin.failed"
    message = "{resource}: {hook} of its plug-in failed with {error}"


class NothingReported(ProtectdError):
    code = "plugin.nothing_reported"
    message = "{resource}: its plug-in did not report what it did"


class DataDamaged(ProtectdError):
    code = DAMAGED
    message = "{resource}: {count} errors; the first: {first}"


class DataUnread(ProtectdError):
    """No damage is known, and not everything could be looked at."""

    code = UNREAD
    message = "{resource}: {count} objects could not be read; the first: {first}"


class NotRun(ProtectdError):
    code = "resource.not_run"
    message = "{resource}: not run to its end because another resource failed"


@dataclass(frozen=True, slots=True)
class Job:
    """A plug-in's operation on one resource, and the context it was made with."""

    operation: Operation
    context: HookContext


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one resource fared.

    :ivar context: None where the plug-in could not even make its operation.
    :ivar error: None: every hook was done. A resource whose own hooks went well but whose run failed has
        `NotRun` when its main did not come to its end, else no error.
    """

    resource: Resource
    context: HookContext | None
    error: ProtectdError | None

    @property
    def ok(self) -> bool:
        return self.error is None

    @property
    def code(self) -> str:
        return "" if self.error is None else self.error.code

    @property
    def reason(self) -> str:
        return "" if self.error is None else str(self.error)

    @property
    def report(self) -> SaveReport | RestoreReport | CheckReport | None:
        return getattr(self.context, "report", None)


def first_error(outcomes: Iterable[Outcome]) -> ProtectdError | None:
    """The error that decides the run: None when all is well. Damage comes before all else, and what no
    repetition heals before what is away."""
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    return min(errors, key=_rank, default=None)


def _rank(error: ProtectdError) -> int:
    if isinstance(error, DataDamaged):
        return 0
    if isinstance(error, NotRun):
        return 3
    return 2 if isinstance(error, Unavailable) else 1


def check_report(resource: Resource, context: HookContext) -> None:
    """A plug-in that says nothing has done nothing, and damage that was found is a failure."""
    if isinstance(context, ProtectContext | VerifyContext) and context.report is None:
        raise NothingReported(resource=resource.key)
    if isinstance(context, VerifyContext) and context.report is not None:
        refuse_bad(resource.key, context.report)


def refuse_bad(name: str, report: CheckReport) -> None:
    """:param name: of what was checked. :raises DataDamaged: there is damage, whatever else there is. :raises
    DataUnread: there is something that nobody has seen."""
    if report.errors:
        raise DataDamaged(resource=name, count=len(report.errors), first=report.errors[0])
    if report.unread:
        raise DataUnread(resource=name, count=len(report.unread), first=report.unread[0])
