"""The planner of a backup of a stream: cuts it as it comes, and has workers hash, compress and seal.

The stream flows through a few windows of memory that planner and workers share; a window is filled again when
all its pieces are stored. So it takes the same memory however long it is.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from protectd.common.clock import SystemClock
from protectd.common.progress import Counts
from protectd.common.reports import SaveReport
from protectd.plugin.base import BankPlugin, ResourceUnavailable
from protectd.vault.chunker import Chunker, seed_of
from protectd.vault.crew import Crew
from protectd.vault.crypto import MasterKey
from protectd.vault.locks import HeldLock, shared_lock
from protectd.vault.one_file import one_file_snapshot, one_file_tree
from protectd.vault.operation import ListeningClock, Reporter
from protectd.vault.options import EngineOptions
from protectd.vault.pack import TREE
from protectd.vault.pool import Channel, Pool
from protectd.vault.repository import Repository
from protectd.vault.save_stream_worker import WINDOW_BYTES, StreamJob, StreamReply, StreamWorker
from protectd.vault.shared import SharedMemory
from protectd.vault.storing import Storing

_POLL_MS = 200


@dataclass(frozen=True)
class SaveStream:
    """Role of a planner.

    :ivar source: path below /proc of the open end of a pipe, or of a file; good while its owner lives.
    :ivar name: of the one file that the snapshot will hold.
    """

    bank: BankPlugin
    key: MasterKey
    options: EngineOptions
    source: str
    name: str
    tags: Sequence[str]

    def run(self, channel: Channel, pool: Pool) -> SaveReport:
        repository = Repository.with_key(self.bank, self.key)
        reporter = Reporter(channel)
        clock, wait_s = ListeningClock(reporter), self.options.lock_wait_s
        with (
            _opened(self.source, self.name) as descriptor,
            shared_lock(repository, self.options.identity(), clock, wait_s) as lock,
            ExitStack() as stack,
        ):
            return _Stream(self, repository, reporter, pool, lock, stack).run(descriptor)


@contextmanager
def _opened(path: str, name: str) -> Iterator[int]:
    """The source, read without ever waiting in the kernel."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ResourceUnavailable(resource=name, reason=error.strerror or "") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class _Stream:
    def __init__(
        self,
        role: SaveStream,
        repository: Repository,
        reporter: Reporter,
        pool: Pool,
        lock: HeldLock,
        stack: ExitStack,
    ) -> None:
        options = role.options
        self._role = role
        self._repository = repository
        self._reporter = reporter
        self._started = SystemClock().now()
        self._index = repository.load_index()
        self._storing = Storing(repository, options, self._index, stack)
        self._chunker = Chunker(seed_of(repository.config.polynomial))
        # One window for each worker, one that is ready for whoever is done first, and one that is filled.
        count = options.worker_count + 2
        self._windows = stack.enter_context(closing(SharedMemory.create(count * WINDOW_BYTES)))
        self._view = stack.enter_context(memoryview(self._windows.bytes))
        self._free = deque(range(count))
        workers = [StreamWorker(each, self._windows.path) for each in self._storing.roles()]
        self._crew: Crew = self._storing.hire(pool, workers, lock)
        self._ids: list[bytes] = []
        self._read_bytes = 0

    def run(self, descriptor: int) -> SaveReport:
        self._flow(descriptor)
        self._reporter.wait_for_go()  # only its owner knows whether the stream came to a good end
        return self._finish()

    # --- the flow ---

    def _flow(self, descriptor: int) -> None:
        window, kept = self._next_window(), 0
        while True:
            start = window * WINDOW_BYTES
            filled, ended = self._fill(descriptor, self._view[start + kept : start + WINDOW_BYTES])
            filled += kept
            lengths = list(self._chunker.lengths(self._view[start : start + filled], last=ended))
            done = sum(lengths)
            kept = filled - done
            following = window if ended else self._next_window()
            self._view[following * WINDOW_BYTES : following * WINDOW_BYTES + kept] = self._view[
                start + done : start + filled
            ]
            self._give(window, lengths)
            if ended:
                break
            window = following
        while self._crew.busy:
            self._collect(0.25)

    def _next_window(self) -> int:
        while not self._free:
            self._collect(0.25)
        return self._free.popleft()

    def _fill(self, descriptor: int, room: memoryview) -> tuple[int, bool]:
        """Bytes read, and whether that was all there will be."""
        done = 0
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        while done < len(room):
            if not waiting.poll(_POLL_MS):
                self._collect(0)
                continue
            read = self._read(descriptor, room[done:])
            if not read:
                return done, True
            done += read
            self._read_bytes += read
            self._collect(0)
        return done, False

    def _read(self, descriptor: int, room: memoryview) -> int:
        try:
            return os.readv(descriptor, [room])
        except OSError as error:
            raise ResourceUnavailable(resource=self._role.name, reason=error.strerror or "") from error

    def _give(self, window: int, lengths: list[int]) -> None:
        if not lengths:
            self._free.append(window)
            return
        while not self._crew.has_room:
            self._collect(0.25)
        place = len(self._ids)
        self._ids.append(b"")
        self._crew.give(StreamJob(window, lengths, self._storing.new_tables), (window, place))

    def _collect(self, timeout_s: float) -> None:
        reply: StreamReply
        if self._crew.busy:
            for (window, place), reply in self._crew.replies(timeout_s):
                self._storing.took(reply.packs, reply.new_blobs)
                self._ids[place] = reply.ids
                self._free.append(window)
        self._reporter.tell(Counts("save", self._read_bytes))

    # --- the end ---

    def _finish(self) -> SaveReport:
        name, ids = self._role.name, b"".join(self._ids)
        content = [ids[place : place + 32] for place in range(0, len(ids), 32)]
        tree_id, tree = one_file_tree(name, self._read_bytes, content, self._started)
        packer = self._storing.packer(TREE)
        if (TREE, tree_id) not in self._index:
            packer.add(tree_id, tree)
        added, stored = self._storing.close_packs(self._crew, packer)
        snapshot_id = self._storing.publish(
            one_file_snapshot(name, tree_id, self._started, self._role.options.identity(), self._role.tags)
        )
        return SaveReport(
            snapshot_id=snapshot_id,
            tree_id=tree_id.hex(),
            files=1,
            directories=0,
            others=0,
            files_unmodified=0,
            logical_bytes=self._read_bytes,
            read_bytes=self._read_bytes,
            added_bytes=added,
            stored_bytes=stored,
        )
