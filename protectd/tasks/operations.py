"""Who does which operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from protectd.tasks.base import BaseTask
from protectd.tasks.delete import DeleteCheckpoint
from protectd.tasks.env import TaskEnv
from protectd.tasks.protect import ProtectCheckpoint
from protectd.tasks.prune import PruneVault
from protectd.tasks.restore import RestoreCheckpoint
from protectd.tasks.verify import VerifyCheckpoint

TASKS: tuple[type[BaseTask[Any]], ...] = (
    ProtectCheckpoint,
    RestoreCheckpoint,
    VerifyCheckpoint,
    DeleteCheckpoint,
    PruneVault,
)


def operations(env: TaskEnv) -> Mapping[str, Callable[[], BaseTask[Any]]]:
    """For `Tasks` and `Reconciler`: a maker for each operation. A task object serves one message."""
    return {task.operation: partial(task, env) for task in TASKS}
