"""The sending end of the task queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import oslo_messaging

from protectd.queue.contract import EXCHANGE, TOPIC, VERSION
from protectd.queue.publisher import Inline, Publisher


class TaskClient:
    """Casts `process_<operation>` to whichever worker is free, or with `host` to the one on that host.

    Every method returns when the broker has taken the message over, and raises `QueueUnavailable` when that
    does not happen within the budget. Safe to repeat: a task runs once however often it is announced. Thread
    safe.
    """

    def __init__(
        self,
        transport: oslo_messaging.Transport,
        topic: str = TOPIC,
        publish_budget_s: float | None = 2.0,
        exchange: str = EXCHANGE,
    ) -> None:
        """:param publish_budget_s: None: messages stay in this process, so there is nothing to wait for."""
        target = oslo_messaging.Target(exchange=exchange, topic=topic, version=VERSION)
        # A queue that nobody has made yet is an error here: else the message would vanish and count as sent.
        options = oslo_messaging.TransportOptions(at_least_once=True)
        self._rpc = oslo_messaging.get_rpc_client(transport, target, retry=0, transport_options=options)
        self._publisher = Inline() if publish_budget_s is None else Publisher(publish_budget_s)

    def process_checkpoint(
        self, context: Mapping[str, Any], task_id: str, *, host: str | None = None
    ) -> None:
        """Protect: bring a PENDING checkpoint to its end."""
        self._cast("process_checkpoint", context, task_id, host)

    def process_restore(self, context: Mapping[str, Any], task_id: str, *, host: str | None = None) -> None:
        """Write a checkpoint back."""
        self._cast("process_restore", context, task_id, host)

    def process_verify(self, context: Mapping[str, Any], task_id: str, *, host: str | None = None) -> None:
        """Check a checkpoint against the bank."""
        self._cast("process_verify", context, task_id, host)

    def process_delete(self, context: Mapping[str, Any], task_id: str, *, host: str | None = None) -> None:
        """Forget a checkpoint."""
        self._cast("process_delete", context, task_id, host)

    def process_prune(self, context: Mapping[str, Any], task_id: str, *, host: str | None = None) -> None:
        """Give back the bytes that no checkpoint uses."""
        self._cast("process_prune", context, task_id, host)

    def close(self) -> None:
        self._publisher.close()

    def _cast(self, method: str, context: Mapping[str, Any], task_id: str, host: str | None) -> None:
        rpc = self._rpc.prepare(server=host) if host else self._rpc
        self._publisher.publish(lambda: rpc.cast(dict(context), method, task_id=task_id))
