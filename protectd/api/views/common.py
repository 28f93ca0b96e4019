"""Shapes that views share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol


class Failable(Protocol):
    error_code: Any
    error_message: Any


def moment(value: datetime | None) -> str | None:
    """UTC with microseconds and without zone, as the contract writes it."""
    return (
        None
        if value is None
        else value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    )


def error(entity: Failable) -> dict[str, Any] | None:
    """Why it failed: a code to rely on, and a sentence."""
    if entity.error_code is None and entity.error_message is None:
        return None
    return {"code": entity.error_code, "message": entity.error_message}


def simulated(task: Any) -> dict[str, Any]:
    """Said only where it is so: the newest task of an entity ended without touching anything."""
    return {"simulated": True} if task is not None and task.simulated else {}


def progress(task: Any) -> dict[str, Any] | None:
    """Where the newest task of an entity is. None: there is no task."""
    if task is None:
        return None
    counts = task.progress or {"phase": "waiting" if task.state == "pending" else task.state}
    return {
        **counts,
        "operation": task.operation,
        "attempts": task.attempts,
        "updated_at": moment(task.updated_at),
    }
