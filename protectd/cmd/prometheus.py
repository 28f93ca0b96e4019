"""What is counted, as Prometheus knows it. No label has more values than the code has words for it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from protectd.common.metrics import Agenda, Backlog, Metrics

REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
CLAIM_S = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 300, 900, 3600, 14400)
TASK_S = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 300, 900, 3600, 14400, 43200, 86400)
LATE_S = (0.1, 0.3, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)

VERBS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"

Mode = Literal["livesum", "livemax"]


class PrometheusMetrics(Metrics):
    """One for a process. Of several processes that are shown together, gauges are added up."""

    def __init__(self, registry: CollectorRegistry, service: str, version: str) -> None:
        self._registry = registry
        about = self._gauge("protectd_info", "What is running; always 1.", ["service", "version"], "livemax")
        about.labels(service, version).set(1)
        self._claims = self._histogram(
            "protectd_task_claim_latency_seconds",
            "From the moment when a task was due until a worker claimed it.",
            ["operation"],
            CLAIM_S,
        )
        self._ends = self._histogram(
            "protectd_task_duration_seconds",
            "From the begin of a task's first attempt until its end.",
            ["operation", "outcome"],
            TASK_S,
        )
        self._put_off = self._counter(
            "protectd_task_put_off",
            "Attempts that another follows: after a fault (retry), for others' sake (wait), at the end of a "
            "process (stop).",
            ["operation", "reason"],
        )
        self._lost = self._counter(
            "protectd_task_lease_losses", "Tasks that a worker lost while it ran them.", ["operation"]
        )
        self._handed_over = self._counter(
            "protectd_task_hand_overs", "Tasks that were taken from a silent worker.", ["operation"]
        )
        self._resent = self._counter("protectd_relay_resends", "Tasks that the engine announced again.")
        self._occurrences = self._counter(
            "protectd_occurrences",
            "Times and events of scheduled operations that were decided, by what came of them.",
            ["outcome"],
        )
        self._late = self._histogram(
            "protectd_occurrence_lateness_seconds",
            "From the moment when a scheduled operation was to run until that was begun or refused.",
            ["outcome"],
            LATE_S,
        )
        self._requests = self._histogram(
            "protectd_request_duration_seconds",
            "From a request's first filter until its answer.",
            ["method", "route", "status"],
            REQUEST_S,
        )
        self._connections = self._gauge(
            "protectd_database_connections", "Connections to the database that are in use."
        )
        self._limit = self._gauge(
            "protectd_database_connections_limit", "Connections that may be in use at the same time."
        )

    def task_claimed(self, operation: str, waited_s: float) -> None:
        self._claims.labels(operation).observe(max(0.0, waited_s))

    def task_ended(self, operation: str, outcome: str, taken_s: float) -> None:
        self._ends.labels(operation, outcome).observe(max(0.0, taken_s))

    def task_put_off(self, operation: str, reason: str) -> None:
        self._put_off.labels(operation, reason).inc()

    def lease_lost(self, operation: str) -> None:
        self._lost.labels(operation).inc()

    def task_handed_over(self, operation: str) -> None:
        self._handed_over.labels(operation).inc()

    def tasks_resent(self, count: int) -> None:
        self._resent.inc(count)

    def occurrence_decided(self, outcome: str, late_s: float | None) -> None:
        self._occurrences.labels(outcome).inc()
        if late_s is not None:
            self._late.labels(outcome).observe(max(0.0, late_s))

    def request(self, verb: str, route: str, status: int, taken_s: float) -> None:
        method = verb if verb in VERBS else OTHER
        self._requests.labels(method, route or OTHER, f"{status // 100}xx").observe(taken_s)

    def connections_limit(self, count: int) -> None:
        self._limit.set(count)

    def connection_taken(self) -> None:
        self._connections.inc()

    def connection_given_back(self) -> None:
        self._connections.dec()

    # --- what engines alone count, so that nobody else shows a nought that means nothing ---

    def agenda(self, agenda: Agenda) -> None:
        self._due.set(agenda.due)
        self._oldest_due.set(agenda.oldest_s)

    @cached_property
    def _due(self) -> Gauge:
        return self._gauge("protectd_triggers_due", "Triggers that are due and not decided.")

    @cached_property
    def _oldest_due(self) -> Gauge:
        return self._gauge(
            "protectd_oldest_due_trigger_seconds",
            "For how long the first trigger that is not decided has been due; 0 when none is.",
        )

    def backlog(self, backlog: Backlog) -> None:
        for state in ("waiting", "delayed", "running"):
            self._tasks.labels(state).set(getattr(backlog, state))
        self._oldest.set(backlog.oldest_s)
        self._seen.set(time.time())

    @cached_property
    def _tasks(self) -> Gauge:
        return self._gauge("protectd_tasks", "Tasks that are not at their end, by state.", ["state"])

    @cached_property
    def _oldest(self) -> Gauge:
        return self._gauge(
            "protectd_oldest_waiting_task_seconds",
            "For how long the first task that waits for a worker has been due; 0 when none waits.",
        )

    @cached_property
    def _seen(self) -> Gauge:
        return self._gauge("protectd_tasks_seen_timestamp_seconds", "When the tasks were counted last.")

    # --- kinds ---

    def _counter(self, name: str, about: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(name, about, labels, registry=self._registry)

    def _gauge(self, name: str, about: str, labels: Sequence[str] = (), mode: Mode = "livesum") -> Gauge:
        return Gauge(name, about, labels, registry=self._registry, multiprocess_mode=mode)

    def _histogram(self, name: str, about: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
        return Histogram(name, about, labels, buckets=buckets, registry=self._registry)
