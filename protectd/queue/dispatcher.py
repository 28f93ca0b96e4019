"""From a committed task to whoever does it: a message, or a thread of this process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime
from functools import partial

from protectd.common.clock import Clock
from protectd.common.errors import ConfigurationError
from protectd.model.unit_of_work import Database
from protectd.queue.client import TaskClient
from protectd.queue.contract import METHODS, TaskRef, message_of
from protectd.queue.publisher import HeldBack, NobodyListens, QueueUnavailable
from protectd.queue.sent import SentMarks
from protectd.queue.server import Tasks

LOG = logging.getLogger(__name__)

QUEUE = "queue"
DIRECT = "direct"


def operation_modes(mode: str, exceptions: Mapping[str, str]) -> dict[str, str]:
    """The way of each operation: `mode`, save where `exceptions` say otherwise.

    :raises ConfigurationError: an operation or a way that does not exist.
    """
    modes = dict.fromkeys(METHODS, mode) | dict(exceptions)
    for operation, way in modes.items():
        if operation not in METHODS or way not in (QUEUE, DIRECT):
            raise ConfigurationError(where="dispatch", reason=f"{operation}:{way} is not known")
    return modes


class Dispatcher:
    """Announces tasks whose rows are committed. What cannot be announced now is left to the relay.

    Never raises for a broker or a database that is away. Thread safe.
    """

    def __init__(
        self,
        modes: Mapping[str, str],
        *,
        database: Database,
        clock: Clock,
        client: TaskClient | None,
        tasks: Tasks | None,
        host: str,
        direct_timeout_s: float = 60.0,
        direct_threads: int = 4,
        all_brief: bool = False,
    ) -> None:
        """
        :param all_brief: whatever a task says, those who do it do many at a time.
        :raises ConfigurationError: a mode has no means: a queue without client, direct without tasks."""
        if (client is None and QUEUE in modes.values()) or (tasks is None and DIRECT in modes.values()):
            raise ConfigurationError(where="dispatch", reason="a mode is set that this process cannot serve")
        self._modes = dict(modes)
        self._marks = SentMarks(database)
        self._clock = clock
        self._client = client
        self._tasks = tasks
        self._host = host
        self._all_brief = all_brief
        self._direct_timeout_s = direct_timeout_s
        self._pool = ThreadPoolExecutor(direct_threads, thread_name_prefix="direct-task")
        self._lock = threading.Lock()
        self._running: dict[str, Future[None]] = {}
        self._closed = False
        self.is_cut = False
        """Whether the last message found no broker."""

    def dispatch(self, submitted: Sequence[TaskRef], *, wait_for_direct: bool = True) -> bool:
        """Run each of them, or have it sent: nobody waits for the broker.

        :returns: whether all were run here and have come back, so that their entities may be read anew.
        """
        direct = [ref for ref in submitted if self._is_direct(ref)]
        futures = [future for ref in direct if (future := self._run(ref)) is not None]
        self._hand_over([ref for ref in submitted if ref not in direct])
        if not wait_for_direct or len(futures) < len(submitted):
            return False
        return not wait(futures, timeout=self._direct_timeout_s).not_done

    def announce(self, refs: Sequence[TaskRef]) -> list[TaskRef]:
        """Send or run tasks that are marked as sent already, and wait for none.

        :returns: those that could not be: their marks are wrong.
        """
        direct = [ref for ref in refs if self._is_direct(ref)]
        missed = [ref for ref in direct if self._run(ref) is None]
        return missed + self._send([ref for ref in refs if ref not in direct])

    def close(self, grace_s: float) -> None:
        """Wait for what runs and is being sent here, at most `grace_s`; the rest is left to the relay."""
        deadline_s = time.monotonic() + grace_s
        with self._lock:
            self._closed = True
            running = list(self._running.values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        wait(running, timeout=grace_s)
        if self._client is not None:
            self._client.close(max(0.0, deadline_s - time.monotonic()))
        self._marks.close()

    def flush(self) -> None:
        """Note in the rows what was sent so far; otherwise that is done a moment later."""
        self._marks.flush()

    def way(self, ref: TaskRef) -> str:
        """`direct` or `queue`: how this one is announced."""
        return DIRECT if self._is_direct(ref) else QUEUE

    def _is_direct(self, ref: TaskRef) -> bool:
        return self._modes[ref.operation] == DIRECT and ref.host in (None, self._host)

    def _run(self, ref: TaskRef) -> Future[None] | None:
        """Run the same method of `Tasks` that a message would reach. A task that is under way is joined."""
        with self._lock:
            if self._closed or self._tasks is None:
                return None
            if (future := self._running.get(ref.task_id)) is None:
                method = getattr(self._tasks, ref.method)
                future = self._pool.submit(method, message_of(ref), ref.task_id)
                self._running[ref.task_id] = future
                future.add_done_callback(lambda _: self._forget(ref.task_id))
            return future

    def _forget(self, task_id: str) -> None:
        self._running.pop(task_id, None)

    def _hand_over(self, refs: Sequence[TaskRef]) -> None:
        """Whoever hears of a brief task does all of them that wait, so of several the last is told of. The
        others have no mark: should that message be lost, the relay finds them when it looks next."""
        if not refs:
            return
        sent_at = self._clock.now()
        brief = [ref for ref in refs if ref.brief or self._all_brief]
        rest = [ref for ref in refs if ref not in brief]
        try:
            for ref in brief:
                self._means().gather(ref.host, partial(self._send_and_mark, [ref], sent_at))
            if rest:
                self._means().hand_over(lambda: self._send_and_mark(rest, sent_at))
        except QueueUnavailable as error:
            LOG.warning("task %s and later ones wait: %s", refs[0].task_id, error)

    def _send_and_mark(self, refs: Sequence[TaskRef], sent_at: datetime, others: bool = False) -> None:
        missed = self._send(refs, others)
        for ref in refs:
            if ref not in missed:
                self._marks.add(ref.task_id, sent_at)

    def _send(self, refs: Sequence[TaskRef], others: bool = False) -> list[TaskRef]:
        """A broker that fails once ends it for all: the next message would only wait as long again. A host
        without a worker ends it for the tasks of that host, and a message that older workers would not know
        for none.

        :returns: those that were not sent.
        """
        missed: list[TaskRef] = []
        deaf: set[str | None] = set()
        for number, ref in enumerate(refs):
            if ref.host in deaf:
                missed.append(ref)
                continue
            try:
                self._cast(ref, others)
                self.is_cut = False
            except NobodyListens as error:
                self.is_cut = False
                deaf.add(ref.host)
                missed.append(ref)
                LOG.warning("task %s waits: %s", ref.task_id, error)
            except HeldBack as error:
                missed.append(ref)
                LOG.warning("task %s waits: %s", ref.task_id, error)
            except QueueUnavailable as error:
                self.is_cut = True
                LOG.warning("task %s and later ones wait: %s", ref.task_id, error)
                return missed + list(refs[number:])
        return missed

    def _cast(self, ref: TaskRef, others: bool) -> None:
        """:raises QueueUnavailable: there is no queue, or it does not answer."""
        method = getattr(self._means(), ref.method)
        method(message_of(ref, others=others), ref.task_id, host=ref.host)

    def _means(self) -> TaskClient:
        if self._client is None:
            raise QueueUnavailable(reason="this process has none")
        return self._client
