"""Getting messages out: one thread talks to the broker, so that nobody else waits for it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError

import oslo_messaging
from amqp.exceptions import AMQPError  # type: ignore[import-untyped]
from kombu.exceptions import KombuError

from protectd.common.errors import Unavailable

LOG = logging.getLogger(__name__)

Send = Callable[[], None]
BROKER_ERRORS = (
    oslo_messaging.MessagingException,
    KombuError,
    AMQPError,
    OSError,
)


class QueueUnavailable(Unavailable):
    """The message did not get out in time. Its task stays in the database and is sent later."""

    code = "queue.unavailable"
    message = "the task queue is not available: {reason}"


class NobodyListens(QueueUnavailable):
    """The broker is there, but has no queue for this message: no such worker has ever listened."""

    code = "queue.nobody_listens"
    message = "no worker listens: {reason}"


class Publisher:
    """Sends one message after the other; its callers wait `budget_s` seconds at most.

    A driver may block for as long as the network pleases. While one message hangs for longer than the budget,
    the next callers are refused at once instead of waiting behind it.
    """

    def __init__(self, budget_s: float) -> None:
        self._budget_s = budget_s
        self._jobs: queue.SimpleQueue[tuple[Future[None], Send] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._busy_since: float | None = None

    def publish(self, send: Send) -> None:
        """Run `send` in the publishing thread.

        :raises QueueUnavailable: it failed or took too long. It may get out nevertheless.
        """
        if self._is_stuck():
            raise QueueUnavailable(reason="the broker does not answer")
        job: Future[None] = Future()
        self._ensure_thread()
        self._jobs.put((job, send))
        try:
            job.result(timeout=self._budget_s)
        except TimeoutError:
            job.cancel()
            raise QueueUnavailable(reason=f"no answer within {self._budget_s:g} s") from None

    def close(self) -> None:
        """Let the thread end after what it is at. Does not wait for it."""
        self._jobs.put(None)

    def _is_stuck(self) -> bool:
        since = self._busy_since
        return since is not None and time.monotonic() - since > self._budget_s

    def _ensure_thread(self) -> None:
        """Start at the first message: a forked server process gets a thread of its own."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._busy_since = None
                self._thread = threading.Thread(target=self._run, name="task-publisher", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, send = item
            if job.set_running_or_notify_cancel():
                self._settle(job, send)

    def _settle(self, job: Future[None], send: Send) -> None:
        self._busy_since = time.monotonic()
        try:
            _settle(job, send)
        finally:
            self._busy_since = None


class Inline:
    """Sends in the thread of its caller: for messages that stay in this process, which nothing holds up. On
    busy cores, waiting for a thread to do it takes longer than doing it."""

    def publish(self, send: Send) -> None:
        """:raises QueueUnavailable: it failed."""
        job: Future[None] = Future()
        _settle(job, send)
        job.result()

    def close(self) -> None:
        """There is nothing to end."""


def _settle(job: Future[None], send: Send) -> None:
    try:
        _send_twice(send)
    except oslo_messaging.MessageUndeliverable as error:
        _fail(job, NobodyListens(reason=f"nothing takes {error.routing_key}"))
    except BROKER_ERRORS as error:
        # The text of a driver's error may name the broker's URL: its type says enough.
        LOG.warning("a message could not be sent: %s", type(error).__name__)
        _fail(job, QueueUnavailable(reason=type(error).__name__))
    else:
        job.set_result(None)
    finally:
        _fail(job, QueueUnavailable(reason="the publisher failed"))


def _send_twice(send: Send) -> None:
    """A pooled connection may have died unseen; the second attempt opens a new one."""
    try:
        send()
    except oslo_messaging.MessageDeliveryFailure:
        send()


def _fail(job: Future[None], error: QueueUnavailable) -> None:
    try:
        job.set_exception(error)
    except InvalidStateError:
        return
