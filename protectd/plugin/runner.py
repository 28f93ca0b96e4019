"""Runs the hooks of an operation over a graph of resources. Knows no model, so that any host can."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from protectd.common.errors import ProtectdError
from protectd.common.progress import Progress
from protectd.common.trail import follow, names
from protectd.plugin.base import Operation, Resource
from protectd.plugin.graph import Graph
from protectd.plugin.merging import MergedProgress
from protectd.plugin.outcomes import Job, NotRun, Outcome, PluginFailed, check_report, first_error

__all__ = ["Job", "Outcome", "first_error", "run"]

LOG = logging.getLogger(__name__)

CHECK_INTERVAL_S = 0.3
"""How often the owner is asked whether to go on, also for plug-ins that never ask."""


def run(
    graph: Graph, start: Callable[[Resource, Progress], Job], progress: Progress, threads: int = 2
) -> list[Outcome]:
    """Run an operation on every resource of `graph`, hooks in the order that `Operation` promises.

    :param start: makes the job of a resource, with its share of `progress` for its context.
    :param threads: mains that run side by side.
    :returns: one outcome for each resource, children first. A failure of one is told here, not raised.
    :raises ProtectdError: whatever `progress.check` raised, after running hooks ended and were undone.
    """
    with ThreadPoolExecutor(threads, "resource", initializer=follow, initargs=(names(),)) as pool:
        return _Run(graph, start, MergedProgress(progress, graph.resources.keys()), pool).outcomes()


class _Run:
    """One run. Hooks are called in threads of the pool, so that what they raise is a value here."""

    def __init__(
        self,
        graph: Graph,
        start: Callable[[Resource, Progress], Job],
        progress: MergedProgress,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._graph = graph
        self._start = start
        self._progress = progress
        self._pool = pool
        self._jobs: dict[str, Job] = {}
        self._errors: dict[str, ProtectdError] = {}
        self._begun: list[Resource] = []
        self._ran: set[str] = set()

    def outcomes(self) -> list[Outcome]:
        self._run_hooks()
        if self._failed:
            self._undo()
        if self._progress.stopped is not None:
            raise self._progress.stopped
        return [self._outcome(resource) for resource in self._graph.children_first()]

    @property
    def _failed(self) -> bool:
        return bool(self._errors) or self._progress.stopped is not None

    def _run_hooks(self) -> None:
        """Each step is taken only when all before it went well."""
        top_down, bottom_up = list(self._graph.parents_first()), list(self._graph.children_first())
        self._in_turn(top_down, "start", self._open)
        self._in_turn(top_down, "prepare_begin", self._begin)
        self._in_turn(bottom_up, "prepare_finish", lambda each: self._operation(each).prepare_finish())
        if not self._failed:
            self._mains(bottom_up)
        self._in_turn(bottom_up, "complete", lambda each: self._operation(each).complete())

    def _open(self, resource: Resource) -> None:
        self._jobs[resource.key] = self._start(resource, self._progress.part(resource.key))

    def _begin(self, resource: Resource) -> None:
        self._begun.append(resource)
        self._operation(resource).prepare_begin()

    def _operation(self, resource: Resource) -> Operation:
        return self._jobs[resource.key].operation

    def _in_turn(self, resources: Sequence[Resource], hook: str, call: Callable[[Resource], None]) -> None:
        for resource in resources:
            if self._failed:
                return
            future = self._pool.submit(call, resource)
            self._attend([future])
            self._note(resource, hook, future)

    def _mains(self, resources: Sequence[Resource]) -> None:
        futures = {resource.key: self._pool.submit(self._main, resource) for resource in resources}
        self._attend(list(futures.values()))
        for resource in resources:
            if not futures[resource.key].cancelled():
                self._note(resource, "main", futures[resource.key])

    def _main(self, resource: Resource) -> None:
        try:
            self._progress.check()
            self._operation(resource).main()
            check_report(resource, self._jobs[resource.key].context)
            self._ran.add(resource.key)
        finally:
            self._progress.finish(resource.key)

    def _attend(self, futures: Sequence[Future[None]]) -> None:
        """Wait for all; when the owner says stop, those that have not begun never do."""
        pending = set(futures)
        while pending:
            _, pending = wait(pending, timeout=CHECK_INTERVAL_S)
            if self._stop_wanted():
                pending = {future for future in pending if not future.cancel()}

    def _stop_wanted(self) -> bool:
        try:
            self._progress.check()
        except ProtectdError:
            return True
        return False

    def _note(self, resource: Resource, hook: str, future: Future[None]) -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None and error is not self._progress.stopped:
            self._errors[resource.key] = _told(resource, hook, error)

    def _undo(self) -> None:
        for resource in reversed(self._begun):
            error = self._pool.submit(self._operation(resource).undo).exception()
            if error is not None:
                _told(resource, "undo", error)

    def _outcome(self, resource: Resource) -> Outcome:
        job = self._jobs.get(resource.key)
        error = self._errors.get(resource.key)
        if error is None and self._failed and resource.key not in self._ran:
            error = NotRun(resource=resource.key)
        return Outcome(resource, None if job is None else job.context, error)


def _told(resource: Resource, hook: str, error: BaseException) -> ProtectdError:
    """The contract's error; any other goes to the log."""
    if isinstance(error, ProtectdError):
        LOG.warning("resource %s: %s failed: %s", resource.key, hook, error)
        return error
    LOG.error("resource %s: %s failed", resource.key, hook, exc_info=error)
    failed = PluginFailed(resource=resource.key, hook=hook, error=type(error).__name__)
    failed.__cause__ = error
    return failed
