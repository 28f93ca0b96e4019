"""What plug-ins find by themselves, asked so that one that is slow or broken costs nobody else anything."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing.pool import ThreadPool
from typing import Any, TypeVar

from protectd.common.clock import Clock
from protectd.common.context import RequestContext
from protectd.common.errors import ProtectdError, Unavailable
from protectd.domain.providers import Protectables
from protectd.plugin.base import ProtectablePlugin, Resource

T = TypeVar("T")

KEPT_ANSWERS = 256


class ProtectableUnavailable(Unavailable):
    code = "protectable.unavailable"
    message = "the plug-in for {type} {reason}"


@dataclass(frozen=True)
class DiscoveryOptions:
    """
    :ivar deadline_s: after which a plug-in is not waited for any longer.
    :ivar keep_s: how long what was found is told again without asking.
    :ivar threads: questions that one plug-in may have open; what is more is refused at once.
    """

    deadline_s: float = 5.0
    keep_s: float = 10.0
    threads: int = 4


class Discovery:
    """Asks each plug-in in threads of its own. A plug-in that hangs keeps these, and nothing else."""

    def __init__(
        self, protectables: Protectables, clock: Clock, options: DiscoveryOptions = DiscoveryOptions()
    ) -> None:
        self._protectables = protectables
        self._clock = clock
        self._options = options
        self._desks = {type_: _Desk(type_, options) for type_ in protectables.types()}
        self._kept = _Kept(timedelta(seconds=options.keep_s))

    def instances(self, type_: str, context: RequestContext, parameters: Mapping[str, Any]) -> list[Resource]:
        """Those that were never registered, as they were found within the last seconds.

        :raises ProtectableUnavailable: the plug-in failed, or did not answer in time.
        """
        plugin = self._protectables.get(type_)
        if not _has_own(plugin, "list_instances"):
            return []
        key = json.dumps([type_, context.project_id, context.is_admin, parameters], sort_keys=True)
        return self._kept.get(
            key,
            self._clock.now(),
            lambda: self._desks[type_].ask(lambda: list(plugin.list_instances(context, parameters))),
        )

    def dependents(self, type_: str, resources: Sequence[Resource]) -> tuple[list[list[Resource]], list[str]]:
        """Direct children of each of some resources of one type, and the types that could not be asked for
        theirs.

        :raises ProtectableUnavailable: the type's own plug-in could not.
        """
        found: list[list[Resource]] = [[] for _ in resources]
        plugin = self._protectables.get(type_)
        if resources and _has_own(plugin, "dependents"):
            self._add(found, type_, lambda: [list(plugin.dependents(each)) for each in resources])
        failed = [
            child.resource_type()
            for child in (self._protectables.children(type_) if resources else ())
            if not self._added(found, child, resources)
        ]
        return found, failed

    def _added(
        self, found: list[list[Resource]], child: ProtectablePlugin, resources: Sequence[Resource]
    ) -> bool:
        try:
            self._add(
                found,
                child.resource_type(),
                lambda: [list(child.dependents_of(parent)) for parent in resources],
            )
        except ProtectableUnavailable:
            return False
        return True

    def _add(self, found: list[list[Resource]], type_: str, work: Callable[[], list[list[Resource]]]) -> None:
        for place, children in zip(found, self._desks[type_].ask(work), strict=True):
            place.extend(children)


class _Desk:
    """Where one plug-in is asked. Its threads end with the process, whatever they do."""

    def __init__(self, type_: str, options: DiscoveryOptions) -> None:
        self._type = type_
        self._options = options
        self._free = threading.BoundedSemaphore(options.threads)
        self._lock = threading.Lock()
        self._pool: ThreadPool | None = None

    def ask(self, work: Callable[[], T]) -> T:
        """:raises ProtectableUnavailable: no answer in time, too many questions open, or whatever the plug-in
        raised that is no error of the contract about what it was asked."""
        if not self._free.acquire(blocking=False):
            raise ProtectableUnavailable(type=self._type, reason="is still busy with earlier questions")
        answer: Future[T] = Future()
        self._threads().apply_async(
            work, callback=self._then(answer.set_result), error_callback=self._then(answer.set_exception)
        )
        return self._result(answer)

    def _threads(self) -> ThreadPool:
        """Made when it is first needed: a process that is forked later has its own."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPool(self._options.threads)
            return self._pool

    def _then(self, tell: Callable[[Any], None]) -> Callable[[Any], None]:
        def done(value: Any) -> None:
            self._free.release()
            tell(value)

        return done

    def _result(self, answer: Future[T]) -> T:
        limit = self._options.deadline_s
        try:
            error = answer.exception(limit)
        except TimeoutError:
            reason = f"did not answer within {limit:g} s"
            raise ProtectableUnavailable(type=self._type, reason=reason) from None
        if error is None:
            return answer.result()
        if isinstance(error, ProtectdError) and error.status < 500:
            raise error
        reason = str(error) if isinstance(error, ProtectdError) else f"failed with {type(error).__name__}"
        raise ProtectableUnavailable(type=self._type, reason=reason) from error


class _Kept:
    """The newest answers, for a while."""

    def __init__(self, age: timedelta) -> None:
        self._age = age
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, tuple[datetime, list[Resource]]] = OrderedDict()

    def get(self, key: str, now: datetime, find: Callable[[], Iterable[Resource]]) -> list[Resource]:
        with self._lock:
            made, found = self._answers.get(key, (None, []))
        if made is not None and now - made < self._age:
            return list(found)
        fresh = list(find())
        with self._lock:
            self._answers[key] = (now, fresh)
            self._answers.move_to_end(key)
            while len(self._answers) > KEPT_ANSWERS:
                self._answers.popitem(last=False)
        return list(fresh)


def _has_own(plugin: ProtectablePlugin, method: str) -> bool:
    """Whether there is anything to ask."""
    return getattr(type(plugin), method) is not getattr(ProtectablePlugin, method)
