"""Try again what a bank could not do just now."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from protectd.plugin.base import BankObject, BankPlugin, BankUnavailable, Buffer
from protectd.plugin.wrappers.wrapper import BankWrapper

T = TypeVar("T")

log = logging.getLogger(__name__)


def full_jitter(limit_s: float) -> float:
    """Anything up to the limit: who failed together does not come back together.

    Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return random.uniform(0, limit_s)


@dataclass(frozen=True)
class Backoff:
    """How often, and after how long, a call is tried again.

    :ivar retries: tries after the first; 0 for none.
    :ivar base_s: limit of the first pause; each one doubles it.
    :ivar cap_s: no limit is higher.
    """

    retries: int = 7
    base_s: float = 0.5
    cap_s: float = 30.0

    def limit_s(self, failed: int) -> float:
        """The longest pause after so many failures."""
        return min(self.cap_s, self.base_s * 2.0 ** min(failed - 1, 64))


class RetryingBank(BankWrapper):
    """Repeats what raised `BankUnavailable`, and nothing else. Every call of a bank is safe to repeat.

    A listing is read to its end before any of it is given, so that a second try gives nothing twice.

    :param jitter: seconds to wait, for a limit; a function of a module when the bank is pickled.
    """

    def __init__(
        self,
        bank: BankPlugin,
        backoff: Backoff,
        jitter: Callable[[float], float] = full_jitter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(bank)
        self._backoff = backoff
        self._jitter = jitter
        self._sleep = sleep

    def prepare(self) -> None:
        self._retried("prepare", "", self.bank.prepare)

    def put(self, key: str, data: Buffer) -> None:
        self._retried("put", key, lambda: self.bank.put(key, data))

    def get(self, key: str, offset: int = 0, length: int = -1) -> bytes:
        return self._retried("get", key, lambda: self.bank.get(key, offset, length))

    def read_into(self, key: str, buffer: memoryview, offset: int = 0, *, fresh: bool = False) -> int:
        return self._retried("get", key, lambda: self.bank.read_into(key, buffer, offset, fresh=fresh))

    def size(self, key: str) -> int:
        return self._retried("size", key, lambda: self.bank.size(key))

    def list(self, prefix: str) -> Iterator[BankObject]:
        yield from self._retried("list", prefix, lambda: tuple(self.bank.list(prefix)))

    def delete(self, key: str) -> None:
        self._retried("delete", key, lambda: self.bank.delete(key))

    def _retried(self, name: str, key: str, call: Callable[[], T]) -> T:
        for failed in range(1, self._backoff.retries + 1):
            try:
                return call()
            except BankUnavailable as error:
                pause_s = self._jitter(self._backoff.limit_s(failed))
                log.warning("%s of %s failed, again in %.1f s: %s", name, key, pause_s, error)
            self._sleep(pause_s)
        return call()
