"""The reading end of the task queue."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import oslo_messaging

from protectd.common.context import RequestContext
from protectd.queue.contract import (
    EXCHANGE,
    METHODS,
    NO_HINT,
    PING,
    TOPIC,
    VERSION,
    ContractMismatch,
    Hint,
    check_contract,
    context_from_message,
    hint_of,
)
from protectd.queue.publisher import BROKER_ERRORS

LOG = logging.getLogger(__name__)

LISTEN_AGAIN_S = 5.0


class Processor(Protocol):
    """What does one kind of task. See `protectd.tasks.base.BaseTask`."""

    def process_and_suppress_exceptions(
        self, context: RequestContext, task_id: str, *, hint: Hint = NO_HINT
    ) -> None: ...


class Tasks:
    """One method for each operation; messages and direct dispatch both end here."""

    target = oslo_messaging.Target(version=VERSION)
    """Messages up to this version are understood."""

    def __init__(self, operations: Mapping[str, Callable[[], Processor]], host: str = "") -> None:
        """:raises ContractMismatch: an operation has nobody who does it."""
        missing = sorted(METHODS.keys() - operations.keys())
        if missing:
            raise ContractMismatch(where="tasks", reason=f"nothing does {', '.join(missing)}")
        self._operations = dict(operations)
        self._host = host
        self._lock = threading.Lock()
        self._busy = 0

    @property
    def is_idle(self) -> bool:
        with self._lock:
            return self._busy == 0

    def process_checkpoint(self, context: Mapping[str, Any], task_id: str) -> None:
        self._process("protect", context, task_id)

    def process_restore(self, context: Mapping[str, Any], task_id: str) -> None:
        self._process("restore", context, task_id)

    def process_verify(self, context: Mapping[str, Any], task_id: str) -> None:
        self._process("verify", context, task_id)

    def process_delete(self, context: Mapping[str, Any], task_id: str) -> None:
        self._process("delete", context, task_id)

    def process_prune(self, context: Mapping[str, Any], task_id: str) -> None:
        self._process("prune", context, task_id)

    def process_copy(self, context: Mapping[str, Any], task_id: str) -> None:
        self._process("copy", context, task_id)

    def process_reset(self, context: Mapping[str, Any], task_id: str) -> None:
        self._process("reset", context, task_id)

    def process_preview(self, context: Mapping[str, Any], task_id: str) -> None:
        self._process("preview", context, task_id)

    def process_retain(self, context: Mapping[str, Any], task_id: str) -> None:
        self._process("retain", context, task_id)

    def process_type_order(self, context: Mapping[str, Any], task_id: str) -> None:
        self._process("order", context, task_id)

    def process_note(self, context: Mapping[str, Any], task_id: str) -> None:
        self._process("note", context, task_id)

    def ping(self, context: Mapping[str, Any]) -> dict[str, str]:
        """A sign of life: who answers, and which messages it understands."""
        return {"host": self._host, "version": VERSION}

    def _process(self, operation: str, context: Mapping[str, Any], task_id: str) -> None:
        processor = self._operations[operation]()
        with self._at_work():
            processor.process_and_suppress_exceptions(
                context_from_message(context), task_id, hint=hint_of(context)
            )

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1


class TaskAccessPolicy(oslo_messaging.RPCAccessPolicyBase):  # type: ignore[misc]
    """A message may name the operations and the ping, and nothing else of the endpoint."""

    def is_allowed(self, endpoint: object, method: str) -> bool:
        return method == PING or method in METHODS.values()


class TaskServer:
    """Listens for tasks that any worker may do and for those of its own host.

    :param stopping: set by `stop`; running tasks see it at their next progress check and hand themselves
        back.
    """

    def __init__(
        self,
        transport: oslo_messaging.Transport,
        tasks: Tasks,
        *,
        host: str,
        stopping: threading.Event,
        topic: str = TOPIC,
        exchange: str = EXCHANGE,
        concurrency: int = 2,
        client: type | None = None,
    ) -> None:
        """:param client: the class of the sending end; given, it must agree with `tasks`.
        :raises ContractMismatch: it does not.
        """
        if client is not None:
            check_contract(client, type(tasks))
        self._stopping = stopping
        self._concurrency = concurrency
        self._transport = transport
        self._target = oslo_messaging.Target(exchange=exchange, topic=topic, server=host)
        self._tasks = tasks
        self._lock = threading.Lock()
        self._rests = False
        self._listener: threading.Thread | None = None
        self._server: oslo_messaging.RPCServer | None = None
        self._closing: list[threading.Thread] = []
        self._listening = threading.Event()

    def start(self) -> None:
        """Begin to listen, in the background: a broker that is down is waited for, however long it takes."""
        with self._lock:
            self._rests = False
            if self._listener is None:
                self._listener = threading.Thread(target=self._listen, name="task-listener", daemon=True)
                self._listener.start()

    def wait_until_listening(self, timeout_s: float) -> bool:
        return self._listening.wait(timeout_s)

    def stop(self, grace_s: float) -> bool:
        """Take nothing more, tell what runs to hand itself back, and wait for it.

        :returns: whether all tasks have ended within `grace_s`; what has not is lost to this process, not to
            the service. A broker that does not let go of its listener is no task.
        """
        self._stopping.set()
        self.rest()
        deadline = time.monotonic() + grace_s
        for closing in self._closing:
            closing.join(max(0.0, deadline - time.monotonic()))
        return self._tasks.is_idle

    def wait(self) -> None:
        """Return when `stop` has been called."""
        self._stopping.wait()

    def rest(self) -> None:
        """Take no more messages until `start` is called again; what runs goes on. Safe to repeat.

        A driver that has lost its broker may hang in this, so nobody waits for it without a limit.
        """
        with self._lock:
            self._rests = True
            server, self._server = self._server, None
            if server is not None:
                self._listening.clear()
                self._close(server)

    def _close(self, server: oslo_messaging.RPCServer) -> None:
        self._closing = [each for each in self._closing if each.is_alive()]
        closing = threading.Thread(target=_close, args=(server,), name="task-server-end", daemon=True)
        self._closing.append(closing)
        closing.start()

    def _listen(self) -> None:
        while self._is_wanted():
            server = oslo_messaging.get_rpc_server(
                self._transport, self._target, [self._tasks], access_policy=TaskAccessPolicy
            )
            try:
                server.start(override_pool_size=self._concurrency)
            except BROKER_ERRORS as error:
                LOG.error("cannot listen on %s: %s", self._target.topic, type(error).__name__)
                self._stopping.wait(LISTEN_AGAIN_S)
            else:
                self._keep(server)
                return

    def _is_wanted(self) -> bool:
        with self._lock:
            if self._rests or self._stopping.is_set():
                self._listener = None
                return False
            return True

    def _keep(self, server: oslo_messaging.RPCServer) -> None:
        """It listens, unless it was asked to rest meanwhile."""
        with self._lock:
            self._listener = None
            if self._rests:
                self._close(server)
                return
            self._server = server
            self._listening.set()
        LOG.info("listening on %s, host %s", self._target.topic, self._target.server)


def _close(server: oslo_messaging.RPCServer) -> None:
    server.stop()
    server.wait()
