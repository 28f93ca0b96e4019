"""The contract's word for a task that has not ended: what its subject would be called now."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, or_

from protectd.model.models import Task

WORDS: dict[tuple[str, str], str] = {
    ("protect", "pending"): "PENDING",
    ("protect", "running"): "protecting",
    ("copy", "pending"): "wait_copying",
    ("copy", "running"): "copying",
    ("delete", "pending"): "deleting",
    ("delete", "running"): "deleting",
    ("restore", "pending"): "PENDING",
    ("restore", "running"): "in_progress",
    ("verify", "pending"): "PENDING",
    ("verify", "running"): "in_progress",
}
"""By operation and state. A task that has ended says its word itself, in `outcome`, and none of these."""


def logged_status(task: Task) -> str:
    """The status of a line of the operation log."""
    return task.outcome or WORDS.get((task.operation, task.state), task.state)


def has_logged_status(word: str) -> ColumnElement[bool]:
    """As a filter, of one range of an index: a word is either of what has ended or of what has not."""
    meant = [
        and_(Task.operation == operation, Task.state == state)
        for (operation, state), said in WORDS.items()
        if said == word
    ]
    if not meant:
        return Task.outcome == word
    return and_(Task.outcome.is_(None), or_(*meant))
