"""Tell what is asked of a bank, and how it went."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from protectd.common.errors import ProtectdError
from protectd.plugin.base import BankObject, BankPlugin, Buffer
from protectd.plugin.wrappers.wrapper import BankWrapper

log = logging.getLogger(__name__)

_LINE = "%s of %s: %s, %d in %.3f s"
_KINDS = frozenset(("config", "data", "index", "keys", "locks", "snapshots"))


@dataclass
class BankCall:
    """One try.

    :ivar operation: name of the method.
    :ivar kind: of object in a vault, or `other`: few words, never a key.
    :ivar size: bytes that went over the line; of a listing, objects.
    :ivar outcome: `ok`, or the code of the error.
    """

    operation: str
    kind: str
    size: int = 0
    seconds: float = 0.0
    outcome: str = "ok"

    def told(self) -> tuple[str, str, str, int, float]:
        return self.operation, self.kind, self.outcome, self.size, self.seconds


Observer = Callable[[BankCall], None]


def note(call: BankCall) -> None:
    """Log it for those who look closely; what goes wrong is told by whoever gets the error."""
    log.debug(_LINE, *call.told())


def announce(call: BankCall) -> None:
    """Log it for everyone."""
    log.info(_LINE, *call.told())


class TracedBank(BankWrapper):
    """Tells of each call when it has ended, in the thread that made it.

    :param observer: a function of a module when the bank is pickled.
    """

    def __init__(self, bank: BankPlugin, observer: Observer = note) -> None:
        super().__init__(bank)
        self._observer = observer

    def prepare(self) -> None:
        with self._told("prepare", ""):
            self.bank.prepare()

    def put(self, key: str, data: Buffer) -> None:
        with self._told("put", key) as call:
            self.bank.put(key, data)
            call.size = memoryview(data).nbytes

    def get(self, key: str, offset: int = 0, length: int = -1) -> bytes:
        with self._told("get", key) as call:
            data = self.bank.get(key, offset, length)
            call.size = len(data)
        return data

    def read_into(self, key: str, buffer: memoryview, offset: int = 0, *, fresh: bool = False) -> int:
        with self._told("get", key) as call:
            call.size = self.bank.read_into(key, buffer, offset, fresh=fresh)
        return call.size

    def size(self, key: str) -> int:
        with self._told("size", key):
            return self.bank.size(key)

    def list(self, prefix: str) -> Iterator[BankObject]:
        """The time is the whole one, with what the reader did between."""
        with self._told("list", prefix) as call:
            for found in self.bank.list(prefix):
                call.size += 1
                yield found

    def delete(self, key: str) -> None:
        with self._told("delete", key):
            self.bank.delete(key)

    @contextmanager
    def _told(self, operation: str, key: str) -> Iterator[BankCall]:
        kind = key.partition("/")[0]
        call = BankCall(operation, kind if kind in _KINDS else "other")
        begun = time.monotonic()
        try:
            yield call
        except ProtectdError as error:
            call.outcome = error.code
            raise
        finally:
            call.seconds = time.monotonic() - begun
            self._observer(call)
