"""Leave some of the line to others."""

from __future__ import annotations

import time
from collections.abc import Callable

from protectd.plugin.base import BankPlugin, Buffer
from protectd.plugin.wrappers.meter import Meter
from protectd.plugin.wrappers.wrapper import BankWrapper


class ThrottledBank(BankWrapper):
    """Limits the bytes a second that go to and come from a bank, for all processes that have a copy together.

    An object goes over the line as fast as that is; what follows waits. So the limit holds over some seconds,
    not within one. Tries that fail count as well.

    :param upload: None for no limit.
    :param download: None for no limit.
    """

    def __init__(
        self,
        bank: BankPlugin,
        upload: Meter | None,
        download: Meter | None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(bank)
        self._upload = upload
        self._download = download
        self._sleep = sleep

    def put(self, key: str, data: Buffer) -> None:
        self._wait(self._upload, memoryview(data).nbytes)
        self.bank.put(key, data)

    def get(self, key: str, offset: int = 0, length: int = -1) -> bytes:
        data = self.bank.get(key, offset, length)
        self._wait(self._download, len(data))
        return data

    def read_into(self, key: str, buffer: memoryview, offset: int = 0, *, fresh: bool = False) -> int:
        size = self.bank.read_into(key, buffer, offset, fresh=fresh)
        self._wait(self._download, size)
        return size

    def _wait(self, meter: Meter | None, size: int) -> None:
        if meter is not None and size:
            self._sleep(meter.take(size))
