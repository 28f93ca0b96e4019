"""Getting messages out: one thread talks to the broker, so that nobody else waits for it."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import oslo_messaging
from amqp.exceptions import AMQPError  # type: ignore[import-untyped]
from kombu.exceptions import KombuError

from protectd.common.errors import Unavailable

LOG = logging.getLogger(__name__)

Send = Callable[[], None]
SendFor = Callable[[bool], None]
"""Is told whether it stands for others."""

GATHER_S = 0.025
"""Long enough that under load several are told of by one message, and too short for anybody to notice."""

WAITING = 1000
"""As many may wait for the thread. Who finds no place loses nothing: the relay sends it."""

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


class HeldBack(QueueUnavailable):
    """Older workers are still about that would not understand it."""

    code = "queue.held_back"
    message = "messages are held at version {version}, which has no {method}"


@dataclass(frozen=True, slots=True)
class Job:
    """:ivar is_wanted: asked once, when its turn comes."""

    work: Send
    is_wanted: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Gathered:
    """The last of those that have come since the former was done.

    :ivar others: it is not the only one.
    """

    work: SendFor
    handed_s: float
    others: bool


NOTHING = Job(lambda: None, lambda: False)


class Publisher:
    """Sends one message after the other; nobody waits longer than `budget_s` seconds.

    A driver may block for as long as the network pleases. While one message hangs for longer than the budget,
    the next callers are refused at once instead of waiting behind it.
    """

    def __init__(self, budget_s: float, gather_s: float = GATHER_S) -> None:
        self._budget_s = budget_s
        self._gather_s = gather_s
        self._jobs: queue.Queue[Job | None] = queue.Queue(WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._busy_since: float | None = None
        self._failed_at = -math.inf
        self._gathered: dict[Hashable, Gathered] = {}
        self._due_s: dict[Hashable, float] = {}
        self._done_s: dict[Hashable, float] = {}

    def publish(self, send: Send) -> None:
        """Run `send` in the publishing thread, and wait for it.

        :raises QueueUnavailable: it failed or took too long. It may get out nevertheless.
        """
        if threading.current_thread() is self._thread:
            self._send_here(send)
        else:
            self._wait_for(send)

    def hand_over(self, work: Send) -> None:
        """Have `work`, which may call `publish`, done in the publishing thread; wait for nothing.

        It is left undone when its turn does not come within the budget, or when one that came before it has
        found no broker.

        :raises QueueUnavailable: nothing is taken now.
        """
        handed_s = time.monotonic()
        self._put(Job(work, lambda: self._is_fresh(handed_s)))

    def gather(self, key: Hashable, work: SendFor) -> None:
        """As `hand_over`, of what one message may stand for: at once, or `gather_s` after the last of this
        key. Of those that come meanwhile, the last one is done.

        :raises QueueUnavailable: nothing is taken now.
        """
        with self._lock:
            waits = key in self._gathered
            self._gathered[key] = Gathered(work, time.monotonic(), waits)
        if waits:
            self._ensure_thread()  # one that broke leaves others waiting, for whom nobody puts a job anew
        else:
            self._begin_to_gather(key)

    def close(self, grace_s: float = 0.0) -> None:
        """Let the thread end after what was handed over, and wait for that at most `grace_s`."""
        with suppress(queue.Full):
            self._jobs.put_nowait(None)
        if self._thread is not None:
            self._thread.join(grace_s)

    def _begin_to_gather(self, key: Hashable) -> None:
        try:
            self._put(Job(lambda: self._await(key), lambda: True))
        except QueueUnavailable:
            with self._lock:
                self._gathered.pop(key, None)
            raise

    def _wait_for(self, send: Send) -> None:
        done: Future[None] = Future()
        self._put(Job(lambda: _settle(done, send), done.set_running_or_notify_cancel))
        try:
            done.result(timeout=self._budget_s)
        except TimeoutError:
            done.cancel()
            raise QueueUnavailable(reason=f"no answer within {self._budget_s:g} s") from None

    def _put(self, job: Job) -> None:
        if self._is_stuck():
            raise QueueUnavailable(reason="the broker does not answer")
        self._ensure_thread()
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise QueueUnavailable(reason="too much waits for the broker") from None

    def _is_stuck(self) -> bool:
        since = self._busy_since
        return since is not None and time.monotonic() - since > self._budget_s

    def _is_fresh(self, handed_s: float) -> bool:
        return handed_s > max(self._failed_at, time.monotonic() - self._budget_s)

    def _ensure_thread(self) -> None:
        """Start at the first message: a forked server process gets a thread of its own."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._busy_since = None
                self._thread = threading.Thread(target=self._run, name="task-publisher", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            if job.is_wanted():
                self._do(job.work)
            self._do_gathered(time.monotonic())
        self._do_gathered(math.inf)

    def _next(self) -> Job | None:
        """None: there are no more to come."""
        due_s = min(self._due_s.values(), default=None)
        try:
            return self._jobs.get(timeout=None if due_s is None else max(0.0, due_s - time.monotonic()))
        except queue.Empty:
            return NOTHING

    def _await(self, key: Hashable) -> None:
        self._due_s[key] = self._done_s.get(key, -math.inf) + self._gather_s

    def _do_gathered(self, until_s: float) -> None:
        for key in [key for key, due_s in self._due_s.items() if due_s <= until_s]:
            del self._due_s[key]
            self._done_s[key] = time.monotonic()
            with self._lock:
                last = self._gathered.pop(key)
            if self._is_fresh(last.handed_s):
                self._do(partial(last.work, last.others))

    def _do(self, work: Send) -> None:
        self._busy_since = time.monotonic()
        try:
            work()
        finally:
            self._busy_since = None

    def _send_here(self, send: Send) -> None:
        self._busy_since = time.monotonic()
        try:
            Inline().publish(send)
        except NobodyListens:
            raise
        except QueueUnavailable:
            self._failed_at = time.monotonic()
            raise


class Inline:
    """Sends in the thread of its caller: for messages that stay in this process, which nothing holds up. On
    busy cores, waiting for a thread to do it takes longer than doing it."""

    def publish(self, send: Send) -> None:
        """:raises QueueUnavailable: it failed."""
        job: Future[None] = Future()
        _settle(job, send)
        job.result()

    def hand_over(self, work: Send) -> None:
        """Do `work` now."""
        work()

    def gather(self, key: Hashable, work: SendFor) -> None:
        """Do `work` now."""
        work(False)

    def close(self, grace_s: float = 0.0) -> None:
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
