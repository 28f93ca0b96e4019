"""A bank in a directory that numbers its changes, whichever process makes them, and dies at one of them."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from protectd.common.files import atomic_write
from protectd.plugin.banks.filesystem import FILE_MODE, FilesystemBank
from protectd.plugin.base import Buffer

BEFORE, TORN, AFTER = "before", "torn", "after"
MOMENTS = {"put": (BEFORE, TORN, AFTER), "delete": (BEFORE, AFTER)}


@dataclass(frozen=True)
class Death:
    """Where everything ends: at a change, counted from 1, and at which moment of it."""

    number: int
    moment: str


class NumberedBank(FilesystemBank):
    """One change at a time, whichever process or thread makes it, so that a number says exactly what lies in
    the bank. The changes stand in a journal, one line each. Several banks may share it.

    At its death the whole process group of the caller is killed, which no process can do anything about.
    """

    def __init__(self, root: Path, journal: Path, death: Death | None = None) -> None:
        super().__init__(root)
        self._journal = journal
        self._death = death

    def put(self, key: str, data: Buffer) -> None:
        with self._numbered("put", key) as moment:
            if moment == TORN:
                self._tear(self._base / key, memoryview(data).cast("B"))
            super().put(key, data)

    def delete(self, key: str) -> None:
        with self._numbered("delete", key):
            super().delete(key)

    @contextmanager
    def _numbered(self, call: str, key: str) -> Iterator[str | None]:
        """The moment at which this change is the last; else None."""
        with self._journal.open("a+") as journal:
            fcntl.flock(journal, fcntl.LOCK_EX)
            journal.seek(0)
            number = sum(1 for _ in journal) + 1
            print(call, self._root.name, key, file=journal, flush=True)
            moment = self._death.moment if self._death and self._death.number == number else None
            if moment == BEFORE:
                _die()
            yield moment
            if moment == AFTER:
                _die()

    def _tear(self, path: Path, view: memoryview) -> None:
        """Half of it under its temporary name, as the bank's own writer has it in the middle."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, FILE_MODE) as file:
            file.write(view[: len(view) // 2])
            _die()


def _die() -> None:
    os.killpg(0, signal.SIGKILL)
    signal.pause()
