"""The sending end of the task queue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import oslo_messaging

from protectd.common.errors import Conflict, Unavailable
from protectd.queue.contract import (
    COPY_VERSION,
    EXCHANGE,
    NOTE_VERSION,
    OLDEST,
    ORDER_VERSION,
    PING,
    PING_VERSION,
    PREVIEW_VERSION,
    RESET_VERSION,
    RETAIN_VERSION,
    TOPIC,
    VERSION,
)
from protectd.queue.publisher import GATHER_S, HeldBack, Inline, Publisher, QueueUnavailable, SendFor


class WorkerSilent(Unavailable):
    code = "worker.silent"
    message = "worker {host} has not answered within {timeout_s} s ({reason})"


class WorkerTooOld(Conflict):
    code = "worker.too_old"
    message = "messages are held at version {version}, which has no ping"


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
        gather_s: float = GATHER_S,
    ) -> None:
        """:param publish_budget_s: None: messages stay in this process, so there is nothing to wait for."""
        target = oslo_messaging.Target(exchange=exchange, topic=topic, version=OLDEST)
        # A queue that nobody has made yet is an error here: else the message would vanish and count as sent.
        options = oslo_messaging.TransportOptions(at_least_once=True)
        self._rpc = oslo_messaging.get_rpc_client(transport, target, retry=0, transport_options=options)
        self._ping = oslo_messaging.get_rpc_client(transport, target, retry=0)
        self._cap = VERSION
        self._publisher = Inline() if publish_budget_s is None else Publisher(publish_budget_s, gather_s)

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

    def process_copy(self, context: Mapping[str, Any], task_id: str, *, host: str | None = None) -> None:
        """Bring a checkpoint that waits for it into another vault.

        :raises HeldBack: not all workers know how yet.
        """
        self._cast("process_copy", context, task_id, host, version=COPY_VERSION)

    def process_reset(self, context: Mapping[str, Any], task_id: str, *, host: str | None = None) -> None:
        """Look whether a checkpoint is whole, and call it available if it is.

        :raises HeldBack: not all workers know how yet.
        """
        self._cast("process_reset", context, task_id, host, version=RESET_VERSION)

    def process_preview(self, context: Mapping[str, Any], task_id: str, *, host: str | None = None) -> None:
        """Find out what a restore would do.

        :raises HeldBack: not all workers know how yet.
        """
        self._cast("process_preview", context, task_id, host, version=PREVIEW_VERSION)

    def process_retain(self, context: Mapping[str, Any], task_id: str, *, host: str | None = None) -> None:
        """Let go of checkpoints that have served their time.

        :raises HeldBack: not all workers know how yet.
        """
        self._cast("process_retain", context, task_id, host, version=RETAIN_VERSION)

    def process_type_order(
        self, context: Mapping[str, Any], task_id: str, *, host: str | None = None
    ) -> None:
        """Make the key that is ordered.

        :raises HeldBack: not all workers know how yet.
        """
        self._cast("process_type_order", context, task_id, host, version=ORDER_VERSION)

    def process_note(self, context: Mapping[str, Any], task_id: str, *, host: str | None = None) -> None:
        """Have the vault say whether a checkpoint is held.

        :raises HeldBack: not all workers know how yet.
        """
        self._cast("process_note", context, task_id, host, version=NOTE_VERSION)

    def ping(self, host: str | None = None, timeout_s: float = 10.0) -> dict[str, str]:
        """Ask the worker on `host`, or whichever answers first, for a sign of life.

        :returns: its host and the version of messages that it understands.
        :raises WorkerSilent: nobody has answered within `timeout_s`.
        :raises WorkerTooOld: the installation is held at a version that has no ping.
        """
        where = {} if host is None else {"server": host}
        rpc = self._ping.prepare(version=PING_VERSION, version_cap=self._cap, timeout=timeout_s, **where)
        if not rpc.can_send_version():
            raise WorkerTooOld(version=self._cap)
        # The driver waits for a broker that is away for as long as that takes: the thread may, nobody else.
        asking = Publisher(timeout_s)
        answers: list[dict[str, str]] = []
        try:
            asking.publish(lambda: answers.append(rpc.call({}, PING)))
        except QueueUnavailable as error:
            name = host or "any"
            raise WorkerSilent(host=name, timeout_s=f"{timeout_s:g}", reason=str(error)) from error
        finally:
            asking.close()
        return answers[0]

    def hold_at(self, version: str) -> None:
        """Send nothing that is newer than `version`, for the sake of workers that know no more."""
        self._cap = version

    def hand_over(self, work: Callable[[], None]) -> None:
        """Have `work`, which casts, done beside the caller, in the order in which it came. It is left undone
        while the broker does not answer. Messages that stay in this process are cast at once.

        :raises QueueUnavailable: nothing is taken now.
        """
        self._publisher.hand_over(work)

    def gather(self, host: str | None, work: SendFor) -> None:
        """As `hand_over`, for workers of one host or any: of what comes within a moment, the last is done.

        :raises QueueUnavailable: as above.
        """
        self._publisher.gather(host, work)

    def close(self, grace_s: float = 0.0) -> None:
        """Cast what was handed over, for `grace_s` at most."""
        self._publisher.close(grace_s)

    def _cast(
        self,
        method: str,
        context: Mapping[str, Any],
        task_id: str,
        host: str | None,
        version: str = OLDEST,
    ) -> None:
        where = {"server": host} if host else {}
        rpc = self._rpc.prepare(version=version, version_cap=self._cap, **where)
        if not rpc.can_send_version():
            raise HeldBack(method=method, version=self._cap)
        self._publisher.publish(lambda: rpc.cast(dict(context), method, task_id=task_id))
