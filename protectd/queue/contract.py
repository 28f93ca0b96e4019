"""What both ends of the queue agree on: the names, and what a message says."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protectd.common.context import RequestContext
from protectd.common.errors import ConfigurationError

METHODS: Mapping[str, str] = {
    "protect": "process_checkpoint",
    "restore": "process_restore",
    "verify": "process_verify",
    "delete": "process_delete",
    "prune": "process_prune",
    "copy": "process_copy",
    "reset": "process_reset",
    "preview": "process_preview",
    "retain": "process_retain",
    "order": "process_type_order",
    "note": "process_note",
}
"""Operation -> the name it has on both ends of the queue."""

TOPIC = "protectd-worker"
EXCHANGE = "protectd"
VERSION = "1.3"
"""Of the messages. A worker refuses a greater one that it does not know. 1.1 has brought `ping`, 1.2
`process_copy`, `process_reset`, `process_preview`, `process_retain` and `process_type_order`, 1.3
`process_note`."""

OLDEST = "1.0"
"""Each message is sent with the version that brought it, so that older workers understand what they can."""

BRIEF, OTHERS = "brief", "others"
PING = "ping"
PING_VERSION = "1.1"
COPY_VERSION = "1.2"
RESET_VERSION = "1.2"
PREVIEW_VERSION = "1.2"
RETAIN_VERSION = "1.2"
ORDER_VERSION = "1.2"
NOTE_VERSION = "1.3"


class ContractMismatch(ConfigurationError):
    """The two ends of the queue differ: a message would find no reader."""

    code = "queue.contract_mismatch"
    message = "{where}: {reason}"


@dataclass(frozen=True, slots=True)
class TaskRef:
    """All that is ever said about a task outside its row. Safe to repeat, to lose and to log."""

    operation: str
    method: str
    task_id: str
    host: str | None
    """Only a worker on this host may do it; None: any."""

    context: RequestContext
    brief: bool = False
    """It takes no longer than its rows."""


@dataclass(frozen=True, slots=True)
class Hint:
    """What a message says to spare a worker a look. Nothing depends on it.

    :ivar brief: the task takes no longer than its rows.
    :ivar others: it is told of in place of others that came a moment before it.
    """

    brief: bool = False
    others: bool = False


NO_HINT = Hint()


def message_of(task: TaskRef, *, others: bool = False) -> dict[str, Any]:
    """What is sent beside its id. Workers that do not know the words of the hint pass over them."""
    hint = {name: True for name, said in ((BRIEF, task.brief), (OTHERS, others)) if said}
    return context_to_message(task.context) | hint


def hint_of(message: Mapping[str, Any]) -> Hint:
    return Hint(brief=message.get(BRIEF) is True, others=message.get(OTHERS) is True)


def context_to_message(context: RequestContext) -> dict[str, Any]:
    return {
        "request_id": context.request_id,
        "project_id": context.project_id,
        "user_id": context.user_id,
        "roles": list(context.roles),
    }


def context_from_message(message: Mapping[str, Any]) -> RequestContext:
    """Never fails on a sparse or foreign message: who asks for nothing gets nothing (see `BaseTask`)."""
    roles = message.get("roles")
    return RequestContext(
        request_id=str(message.get("request_id") or ""),
        project_id=str(message.get("project_id") or ""),
        user_id=str(message.get("user_id") or ""),
        roles=tuple(str(role) for role in roles) if isinstance(roles, list) else (),
    )


def check_contract(client: type, tasks: type) -> None:
    """Refuse two ends whose `process_*` methods differ in name or in what a message carries.

    Keyword-only parameters are about the way, not the message, and are left out.

    :raises ContractMismatch: naming the methods.
    """
    sent, read = _messages(client), _messages(tasks)
    for name in sorted(sent.keys() | read.keys() | set(METHODS.values())):
        if name not in sent or name not in read:
            missing = client if name not in sent else tasks
            raise ContractMismatch(where="task queue", reason=f"{missing.__name__} has no {name}")
        if sent[name] != read[name]:
            raise ContractMismatch(
                where="task queue", reason=f"{name} is sent as {sent[name]} and read as {read[name]}"
            )


def _messages(end: type) -> dict[str, tuple[str, ...]]:
    methods = inspect.getmembers(end, inspect.isfunction)
    return {name: _carried(method) for name, method in methods if name.startswith("process_")}


def _carried(method: Any) -> tuple[str, ...]:
    parameters = inspect.signature(method).parameters.values()
    return tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)[1:]
