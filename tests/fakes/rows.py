"""Rows with every needed column filled, for tests that care for one or two."""

from __future__ import annotations

from typing import Any

from protectd.common.ids import new_id
from protectd.model.models import Checkpoint, Plan, PlanResource, Restore, Task, Verification

PROJECT = "project-a"
OTHER_PROJECT = "project-b"


def plan(**values: Any) -> Plan:
    defaults = {"id": new_id(), "name": "nightly", "provider_id": new_id(), "project_id": PROJECT}
    return Plan(**(defaults | values))


def resource(name: str = "home", **values: Any) -> PlanResource:
    defaults = {"resource_id": new_id(), "resource_type": "directory", "resource_name": name}
    return PlanResource(**(defaults | values))


def checkpoint(of: Plan, **values: Any) -> Checkpoint:
    made = Checkpoint.of(of)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def restore(**values: Any) -> Restore:
    return Restore(**(_run() | values))


def verification(**values: Any) -> Verification:
    return Verification(**(_run() | values))


def _run() -> dict[str, Any]:
    return {"id": new_id(), "project_id": PROJECT, "provider_id": new_id(), "checkpoint_id": new_id()}


def task(**values: Any) -> Task:
    defaults = {
        "id": new_id(),
        "operation": "protect",
        "method": "process_checkpoint",
        "project_id": PROJECT,
        "user_id": "someone",
        "request_id": "req-1",
        "entity_type": "checkpoint",
        "entity_id": new_id(),
    }
    return Task(**(defaults | values))
