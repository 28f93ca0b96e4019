"""An application whose triggers fire by a clock that tests move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from protectd.common.metrics import Metrics
from protectd.engine.deciding import Deciding
from protectd.engine.firing import Firing, FiringOptions
from protectd.queue.contract import TaskRef
from tests.fakes.clock import ManualClock
from tests.fakes.service import Client, Service, running

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Scene:
    """:ivar announced: tasks that engines have told of."""

    service: Service
    clock: ManualClock
    client: Client
    announced: list[TaskRef] = field(default_factory=list)

    def engine(self, name: str = "engine", metrics: Metrics | None = None, **options: Any) -> Firing:
        parts = self.service.parts
        deciding = Deciding(parts.scheduled_runs, parts.schedule_limits)
        return Firing(
            parts.database,
            self.clock,
            deciding,
            self._announce,
            host=name,
            binary="protectd-engine",
            options=FiringOptions(**options),
            metrics=metrics,
        )

    def _announce(self, refs: Sequence[TaskRef]) -> None:
        self.announced.extend(refs)

    def trigger(self, pattern: str = "0 * * * *", client: Client | None = None, **properties: Any) -> str:
        given = {"format": "crontab", "pattern": pattern, "start_time": f"{START:%Y-%m-%d %H:%M:%S}"}
        body = {"trigger_info": {"name": "t", "type": "time", "properties": given | properties}}
        return str((client or self.client).post("triggers", body, 201)["trigger_info"]["id"])

    def operation(
        self,
        trigger_id: str,
        plan: dict[str, Any],
        type: str = "protect",
        client: Client | None = None,
        **definition: Any,
    ) -> str:
        wanted = {"provider_id": plan["provider_id"], "plan_id": plan["id"], **definition}
        operation = {
            "name": "o",
            "operation_type": type,
            "trigger_id": trigger_id,
            "operation_definition": wanted,
        }
        body = {"scheduled_operation": operation}
        made = (client or self.client).post("scheduled_operations", body, 201)
        return str(made["scheduled_operation"]["id"])

    def plan(self, name: str = "data", client: Client | None = None) -> dict[str, Any]:
        path = self.service.allowed / name
        if not path.exists():
            self.service.directory(name)
        return (client or self.client).plan(path)

    def to(self, moment: datetime) -> None:
        """Let it be this late."""
        self.clock.advance((moment - self.clock.now()).total_seconds())

    def on(self, **time: float) -> None:
        self.clock.advance(timedelta(**time).total_seconds())

    def occurrences(self, operation_id: str, client: Client | None = None) -> list[dict[str, Any]]:
        """Oldest first."""
        path = f"scheduled_operations/{operation_id}/occurrences?limit=1000"
        return list(reversed((client or self.client).get(path)["occurrences"]))

    def outcomes(self, operation_id: str) -> list[tuple[str, str]]:
        """When each was expected, and what came of it."""
        return [(each["expected_at"][5:16], each["outcome"]) for each in self.occurrences(operation_id)]

    def end_tasks(self) -> None:
        """All that waits has ended: nothing of it runs any more."""
        with self.service.parts.database.write() as uow:
            for task in list(uow.tasks.unsent(self.clock.now() + timedelta(days=9999), 0, 10_000, young_s=0)):
                task.state = "done"


@contextmanager
def scene(directory: Path, database: str | None = None, **more: Any) -> Iterator[Scene]:
    clock = ManualClock(START)
    with running(directory, database=database, clock=clock, **more) as service:
        yield Scene(service, clock, service.client())
