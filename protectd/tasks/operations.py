"""Who does which operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from protectd.plugin.base import HandlerPlugin
from protectd.tasks.base import BaseTask
from protectd.tasks.copy import CopyCheckpoint
from protectd.tasks.delete import DeleteCheckpoint
from protectd.tasks.env import TaskEnv
from protectd.tasks.note import NoteHold
from protectd.tasks.order import BeginTypeOrder
from protectd.tasks.preview import PreviewRestore
from protectd.tasks.protect import ProtectCheckpoint
from protectd.tasks.prune import PruneVault
from protectd.tasks.reset import ResetCheckpoint
from protectd.tasks.restore import RestoreCheckpoint
from protectd.tasks.retain import RetainCheckpoints
from protectd.tasks.verify import VerifyCheckpoint

TASKS: tuple[type[BaseTask[Any]], ...] = (
    ProtectCheckpoint,
    RestoreCheckpoint,
    VerifyCheckpoint,
    DeleteCheckpoint,
    PruneVault,
    CopyCheckpoint,
    ResetCheckpoint,
    PreviewRestore,
    RetainCheckpoints,
    BeginTypeOrder,
    NoteHold,
)


def makers(
    env: TaskEnv, tasks: Sequence[type[BaseTask[Any]]] = TASKS
) -> Mapping[str, Callable[[], BaseTask[Any]]]:
    """For `Tasks`, `TaskEnv` and the reconciler: a maker for each operation. A task object serves one
    message."""
    return {task.operation: partial(task, env) for task in tasks}


class DefaultHandler(HandlerPlugin):
    """Does all of them, for real."""

    def operations(self, env: Any) -> Mapping[str, Callable[[], BaseTask[Any]]]:
        return makers(env)
