"""Who has done what with secrets: a chain of events for each process, written in groups, anchored at times.

Whoever notes an event waits for nothing. A power cut loses what came within the last `group_s` seconds; a
kill loses no more. A chain that cannot be written refuses events, and with them what they are about.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from protectd.common.clock import Clock
from protectd.common.context import RequestContext
from protectd.common.errors import Unavailable
from protectd.common.files import sync_directory
from protectd.common.ids import new_id
from protectd.domain.audit_chain import BEGIN, END, ChainBroken, Head, link, walk
from protectd.model.models import AuditAnchor
from protectd.model.unit_of_work import Database

LOG = logging.getLogger(__name__)

SUFFIX = ".audit"


class AuditUnavailable(Unavailable):
    """Nothing is done that could not be told of."""

    code = "audit.unavailable"
    message = "the audit log cannot be written: {reason}"


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """Seconds. :ivar directory: None: nothing is noted."""

    directory: Path | None
    group_s: float = 0.2
    anchor_s: float = 10.0


class Audit:
    """Of one process; a forked one gets a chain of its own. Safe from many threads."""

    def __init__(self, database: Database, clock: Clock, host: str, options: AuditOptions) -> None:
        self._database = database
        self._clock = clock
        self._host = host
        self._options = options
        self._guard = threading.Lock()
        self._chain: _Chain | None = None
        self._pid = os.getpid()

    def note(self, event: str, context: RequestContext, address: str, **subject: str) -> None:
        """:param address: where the request came from.
        :raises AuditUnavailable: earlier events could not be written; this one would not be either."""
        if self._options.directory is None:
            return
        who = {"user_id": context.user_id, "project_id": context.project_id, "address": address}
        told = {"at": self._clock.now().isoformat(), "event": event, "request_id": context.request_id}
        self._begun().add(told | who | subject)

    def settle(self) -> None:
        """Wait until what was noted is on the disk.

        :raises AuditUnavailable: it cannot be written."""
        if self._options.directory is not None:
            self._begun().settle()

    def close(self) -> None:
        """Write what was noted, and the end."""
        with self._guard:
            if self._chain is not None and self._pid == os.getpid():
                self._chain.close()
            self._chain = None

    def _begun(self) -> _Chain:
        with self._guard:
            if self._chain is None or self._pid != os.getpid():
                self._pid = os.getpid()
                self._chain = _Chain(self._database, self._clock, self._host, self._options)
            return self._chain


class _Chain:
    def __init__(self, database: Database, clock: Clock, host: str, options: AuditOptions) -> None:
        self._database = database
        self._clock = clock
        self._options = options
        self._id = new_id()
        self._head = Head()
        self._anchored = Head()
        self._anchor_due_s = clock.monotonic()
        self._trouble: str | None = None
        self._written_bytes = 0
        self._waiting: deque[dict[str, Any]] = deque()
        self._writing = threading.Lock()
        self._told = threading.Event()
        self._closing = threading.Event()
        self.add({"at": clock.now().isoformat(), "event": BEGIN, "chain": self._id, "host": host})
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def add(self, event: dict[str, Any]) -> None:
        if self._trouble is not None:
            raise AuditUnavailable(reason=self._trouble)
        self._waiting.append(event)
        self._told.set()

    def settle(self) -> None:
        self._write()
        if self._trouble is not None:
            raise AuditUnavailable(reason=self._trouble)

    def close(self) -> None:
        self._closing.set()
        self._told.set()
        self._thread.join()

    @property
    def _path(self) -> Path:
        assert self._options.directory is not None
        return self._options.directory / f"{self._id}{SUFFIX}"

    def _run(self) -> None:
        """However this thread ends, nothing is taken any more that nobody would write."""
        try:
            self._write_and_anchor()
        finally:
            self._trouble = self._trouble or "it has ended"

    def _write_and_anchor(self) -> None:
        while not self._closing.is_set():
            self._told.wait(self._options.anchor_s)
            self._closing.wait(self._options.group_s)
            self._told.clear()
            self._write()
            self._anchor()
        self._waiting.append({"at": self._clock.now().isoformat(), "event": END})
        self._write()
        self._anchor()

    def _write(self) -> None:
        """What waits, durably. What cannot be written waits on, and nothing else is taken meanwhile."""
        with self._writing:
            self._write_waiting()

    def _write_waiting(self) -> None:
        events = list(self._waiting)
        lines, head = [], self._head
        for event in events:
            line, head = link(head, event)
            lines.append(line)
        if not lines:
            return
        try:
            self._append(b"".join(lines))
        except OSError as error:
            self._trouble = error.strerror or str(error)
            LOG.warning("audit chain %s cannot be written: %s", self._id, self._trouble)
            return
        self._head, self._trouble = head, None
        for _ in events:
            self._waiting.popleft()

    def _append(self, data: bytes) -> None:
        """Behind the last whole group: a torn one is written again."""
        with self._opened() as file:
            file.truncate(self._written_bytes)
            file.seek(self._written_bytes)
            file.write(data)
            os.fsync(file.fileno())
        self._written_bytes += len(data)

    def _opened(self) -> BinaryIO:
        path = self._path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if new:
            sync_directory(path.parent)
        return os.fdopen(descriptor, "rb+")

    def _anchor(self) -> None:
        """Note in the database how far the file has come, at times and at the end."""
        due = self._closing.is_set() or self._clock.monotonic() >= self._anchor_due_s
        if self._head == self._anchored or not due:
            return
        head = self._head
        row = AuditAnchor(
            chain=self._id, count=head.count, head=head.hash, ended=head.ended, anchored_at=self._clock.now()
        )
        try:
            self._database.tell(lambda uow: uow.audit_anchors.put(row))
        except Unavailable as error:
            LOG.warning("audit chain %s is not anchored yet: %s", self._id, error)
            return
        self._anchored = head
        self._anchor_due_s = self._clock.monotonic() + self._options.anchor_s


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of one chain.

    :ivar state: `whole`; `open`: it has no end, for its process runs or was killed; `broken`; `cut`: it ends
        before what was anchored; `missing`.
    """

    chain: str
    events: int
    state: str
    reason: str = ""

    @property
    def ok(self) -> bool:
        return self.state in ("whole", "open")


def verify(directory: Path, anchors: Sequence[AuditAnchor]) -> Iterator[Proof]:
    """Each chain that has a file or an anchor."""
    known = {anchor.chain: anchor for anchor in anchors}
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        yield _prove(path, known.pop(path.name.removesuffix(SUFFIX), None))
    for anchor in known.values():
        reason = f"{anchor.count} events were anchored, and its file is not there"
        yield Proof(anchor.chain, 0, "missing", reason)


def _prove(path: Path, anchor: AuditAnchor | None) -> Proof:
    chain, head = path.name.removesuffix(SUFFIX), Head()
    try:
        with path.open("rb") as file:
            for head in walk(iter(file)):
                if anchor is not None and head.count == anchor.count and head.hash != anchor.head:
                    return Proof(chain, head.count, "broken", "it is another than the one that was anchored")
    except ChainBroken as error:
        return Proof(chain, head.count, "broken", str(error))
    if anchor is not None and head.count < anchor.count:
        return Proof(chain, head.count, "cut", f"{anchor.count} events were anchored")
    return Proof(chain, head.count, "whole" if head.ended else "open")
