"""Give up on a call that takes too long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from protectd.common.units import KIB, MIB
from protectd.plugin.base import BankObject, BankPlugin, BankUnavailable, Buffer
from protectd.plugin.wrappers.abandon import TooLate, within
from protectd.plugin.wrappers.wrapper import BankWrapper

T = TypeVar("T")

_PAGE = 100
_UNKNOWN_BYTES = 16 * MIB
"""What is allowed for when nobody says how long an object is."""


@dataclass(frozen=True)
class TimeLimit:
    """:ivar answer_s: for the bank to answer at all.
    :ivar slowest_bytes_s: bytes a second below which a transfer counts as stuck.
    """

    answer_s: float = 60.0
    slowest_bytes_s: int = 64 * KIB

    def of(self, size: int) -> float:
        """Seconds for a call that moves so many bytes."""
        return self.answer_s + size / self.slowest_bytes_s


class TimedBank(BankWrapper):
    """Each call ends within its limit: with `BankUnavailable` when the bank has not answered.

    An abandoned call goes on until the driver's own time-outs end it, so it works on memory of its own: what
    is put is copied before, what is read is copied after. A listing has the limit for each hundred objects.
    """

    def __init__(self, bank: BankPlugin, limit: TimeLimit) -> None:
        super().__init__(bank)
        self._limit = limit

    def prepare(self) -> None:
        self._within(0, self.bank.prepare)

    def put(self, key: str, data: Buffer) -> None:
        own = bytes(data)
        self._within(len(own), lambda: self.bank.put(key, own))

    def get(self, key: str, offset: int = 0, length: int = -1) -> bytes:
        size = _UNKNOWN_BYTES if length < 0 else length
        return self._within(size, lambda: self.bank.get(key, offset, length))

    def read_into(self, key: str, buffer: memoryview, offset: int = 0, *, fresh: bool = False) -> int:
        own = bytearray(buffer.nbytes)
        view = memoryview(own)
        size = self._within(len(own), lambda: self.bank.read_into(key, view, offset, fresh=fresh))
        buffer.cast("B")[:size] = view[:size]
        return size

    def size(self, key: str) -> int:
        return self._within(0, lambda: self.bank.size(key))

    def list(self, prefix: str) -> Iterator[BankObject]:
        found = self.bank.list(prefix)
        while page := self._within(0, lambda: tuple(islice(found, _PAGE))):
            yield from page

    def delete(self, key: str) -> None:
        self._within(0, lambda: self.bank.delete(key))

    def _within(self, size: int, call: Callable[[], T]) -> T:
        limit_s = self._limit.of(size)
        try:
            return within(limit_s, call)
        except TooLate:
            raise BankUnavailable(reason=f"no answer in {limit_s:g} s") from None
