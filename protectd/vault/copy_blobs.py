"""Moving blobs from vault to vault with several workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace

import numpy as np

from protectd.common.progress import Counts
from protectd.vault.copy_plan import Portion, portions
from protectd.vault.copy_worker import CopyJob, CopyReply, CopyRest, CopyWorker
from protectd.vault.crew import Crew
from protectd.vault.index import BlobIndex, Rows
from protectd.vault.operation import Reporter
from protectd.vault.pack import BlobEntry, parse_header
from protectd.vault.packer import Packer
from protectd.vault.pool import Pool
from protectd.vault.save_index import IndexWriter
from protectd.vault.shared import CancelFlag

_WAIT_S = 0.25
INDEX_EVERY_S = 60.0
"""A copy that is cut off has lost no more than it has moved since."""


class BlobMover:
    """:ivar bad: blobs that no copy of reads: row of the source's index, and why."""

    def __init__(self, index: BlobIndex, writer: IndexWriter, reporter: Reporter, stack: ExitStack) -> None:
        """:param stack: ends what is begun here; not before the blobs are in the target's index."""
        self._index = index
        self._writer = writer
        self._reporter = reporter
        self._stack = stack
        self._again: list[tuple[Portion, int]] = []
        self._packers: dict[str, Packer] = {}
        self._total = (0, 0)
        self.blobs = 0
        self.bytes = 0
        self.bad: dict[int, str] = {}

    def move(self, rows: Rows, role: CopyWorker, worker_count: int, pool: Pool) -> None:
        """Have these blobs in packs of the target that are durable; the writer knows them then.

        :param role: of the workers; told here how they are cancelled.
        """
        if not len(rows):
            return
        self._total = len(rows), int(self._index.columns()[3][rows].astype(np.int64).sum())
        cancel = self._stack.enter_context(closing(CancelFlag.create()))
        role = replace(role, cancel=cancel.path)
        self._crew = self._stack.enter_context(Crew(pool, [role] * worker_count, cancel))
        self._hand_out(portions(self._index, rows))
        self._put_together(role)

    def _hand_out(self, work: Iterator[Portion]) -> None:
        while found := self._next(work):
            while not self._crew.has_room:
                self._collect()
            (pack_id, entries), _ = found
            self._crew.give(tuple(CopyJob(pack_id, list(map(tuple, entries)))), found)

    def _next(self, work: Iterator[Portion]) -> tuple[Portion, int] | None:
        """A portion and which copy of its blobs it is; also what did not read elsewhere."""
        while not self._again:
            portion = next(work, None)
            if portion is not None:
                return portion, 0
            if not self._crew.busy:
                return None
            self._collect()
        return self._again.pop()

    def _collect(self) -> None:
        reply: CopyReply
        for ((_, entries), copy), reply in self._crew.replies(_WAIT_S):
            self._writer.add(reply.packs)
            bad = dict(reply.bad)
            for number, entry in enumerate(entries):
                if number in bad:
                    self._try_another(entry, copy, bad[number])
                else:
                    self.blobs += 1
                    self.bytes += entry.length
        self._writer.flush_after(INDEX_EVERY_S)
        self._reporter.tell(Counts("copy", self.bytes, self._total[1], self.blobs, self._total[0]))

    def _try_another(self, entry: BlobEntry, copy: int, reason: str) -> None:
        copies = self._index.copies(entry.kind, entry.id)
        if copy + 1 < len(copies):
            pack_id, other = copies[copy + 1]
            self._again.append(((pack_id, [other]), copy + 1))
            return
        row = int(self._index.rows_of(entry.kind, [entry.id])[0])
        self.bad[row] = f"{entry} in {reason}"

    # --- the end ---

    def _put_together(self, role: CopyWorker) -> None:
        """Make packs of what the workers have left over."""
        rests: dict[str, CopyRest]
        for rests in self._crew.finish():
            for kind, rest in rests.items():
                self._writer.add(rest.packs)
                for entry in parse_header(rest.header) if rest.header else ():
                    unit = rest.units[entry.offset : entry.offset + entry.length]
                    self._packer(role, kind).add_sealed(entry, unit)
        for packer in self._packers.values():
            packer.flush()
            packer.settle()
            self._writer.add(packer.take_stored())

    def _packer(self, role: CopyWorker, kind: str) -> Packer:
        if kind not in self._packers:
            self._packers[kind] = self._stack.enter_context(closing(role.packer(kind)))
        return self._packers[kind]
