"""Banks in a directory that fail as a test tells them: refuse, lose, break off, hang, or list what was."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.plugin.base import BankObject, BankRefused, BankUnavailable, Buffer

CALLS = ("put", "get", "size", "list", "delete")
FOR_EVER = 10**9


class Harm:
    """What becomes of some calls; by itself of none. Calls of a kind are counted from 1.

    :param number: of the first that is harmed. :param times: so many are.
    :ivar seen: how many there were.
    """

    calls: tuple[str, ...] = CALLS
    times = 1

    def __init__(self, number: int = FOR_EVER, times: int | None = None) -> None:
        self._number = number
        self._times = self.times if times is None else times
        self._lock = threading.Lock()
        self.seen = 0

    @property
    def struck(self) -> bool:
        return self.seen >= self._number

    def strikes(self, call: str) -> bool:
        """Count this call; whether it is harmed."""
        if call not in self.calls:
            return False
        with self._lock:
            self.seen += 1
            return self._number <= self.seen < self._number + self._times

    def before(self, key: str) -> None:
        """Of a call that is harmed; may raise."""

    def after(self) -> None:
        """When the bank has done it; may raise."""

    def data(self, data: bytes) -> bytes | None:
        """What is left of the bytes that are taken or given."""
        return data

    def over(self) -> None:
        """The bank is well again."""
        self._times = 0


class Counting(Harm):
    """Nothing is harmed. :ivar counts: calls of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def strikes(self, call: str) -> bool:
        self.counts[call] += 1
        return False


class Full(Harm):
    calls, times = ("put",), FOR_EVER

    def before(self, key: str) -> None:
        raise BankRefused(key=key, reason="No space left on device")


class ReadOnly(Harm):
    calls, times = ("put", "delete"), FOR_EVER

    def before(self, key: str) -> None:
        raise BankRefused(key=key, reason="Read-only file system")


class Away(Harm):
    """A server that answers 503."""

    times = FOR_EVER

    def before(self, key: str) -> None:
        raise BankUnavailable(reason=f"503 for {key}")


class AnswerLost(Harm):
    """It is done, and nobody hears of it."""

    calls = ("put", "delete")

    def after(self) -> None:
        raise BankUnavailable(reason="connection reset")


class Lost(Harm):
    """What it acknowledges it does not have."""

    calls = ("put",)

    def data(self, data: bytes) -> bytes | None:
        return None


class Torn(Harm):
    """Of what it acknowledges it has the first half."""

    calls = ("put",)

    def data(self, data: bytes) -> bytes | None:
        return data[: len(data) // 2]


class HalfBody(Torn):
    """Answers end early and say that they are whole."""

    calls, times = ("get",), FOR_EVER


class Hangs(Harm):
    """No answer, until all is over; then the connection breaks."""

    times = 2

    def __init__(self, number: int = FOR_EVER, times: int | None = None) -> None:
        super().__init__(number, times)
        self._over = threading.Event()

    def before(self, key: str) -> None:
        self._over.wait(60)
        raise BankUnavailable(reason="connection reset")

    def over(self) -> None:
        super().over()
        self._over.set()


class FailingBank(FilesystemBank):
    """For engines that run in this process: they and the test see the same harm."""

    shared = False

    def __init__(self, root: Path, prefix: str = "") -> None:
        super().__init__(root, prefix)
        self.harm = Harm()

    def put(self, key: str, data: Buffer) -> None:
        harm = self._struck("put", key)
        kept = bytes(data) if harm is None else harm.data(bytes(data))
        if kept is not None:
            super().put(key, kept)
        if harm is not None:
            harm.after()

    def get(self, key: str, offset: int = 0, length: int = -1) -> bytes:
        harm = self._struck("get", key)
        data = super().get(key, offset, length)
        return data if harm is None else harm.data(data) or b""

    def read_into(self, key: str, buffer: memoryview, offset: int = 0, *, fresh: bool = False) -> int:
        harm = self._struck("get", key)
        size = super().read_into(key, buffer, offset, fresh=fresh)
        return size if harm is None else len(harm.data(bytes(buffer[:size])) or b"")

    def size(self, key: str) -> int:
        self._struck("size", key)
        return super().size(key)

    def list(self, prefix: str) -> Iterator[BankObject]:
        self._struck("list", prefix)
        yield from super().list(prefix)

    def delete(self, key: str) -> None:
        harm = self._struck("delete", key)
        super().delete(key)
        if harm is not None:
            harm.after()

    def _struck(self, call: str, key: str) -> Harm | None:
        harm = self.harm
        if not harm.strikes(call):
            return None
        harm.before(key)
        return harm


class LaggingBank(FilesystemBank):
    """Its listings show what was there some time ago; objects themselves are always as they are.

    :ivar lag_s: seconds. :ivar hidden: objects whose keys start so do not show at all, where it is not "".
    """

    shared = False

    def __init__(self, root: Path, prefix: str = "", lag_s: float = 0.0) -> None:
        super().__init__(root, prefix)
        self._lock = threading.Lock()
        self._changes: list[tuple[float, str, int | None]] = []
        self._halted: float | None = None
        self.lag_s = lag_s
        self.hidden = ""

    def halt_before(self, key: str) -> None:
        """Bring no listing up to date since the moment before the newest change of this object."""
        self._halted = max(moment for moment, changed, _ in self._changes if changed == key)

    def show_also(self, key: str) -> None:
        """List what is not there, until it is deleted."""
        self._changed(key, 1)

    def be_well(self) -> None:
        self._halted, self.lag_s, self.hidden = None, 0.0, ""

    def put(self, key: str, data: Buffer) -> None:
        super().put(key, data)
        self._changed(key, memoryview(data).nbytes)

    def delete(self, key: str) -> None:
        super().delete(key)
        self._changed(key, None)

    def _changed(self, key: str, size: int | None) -> None:
        with self._lock:
            self._changes.append((time.monotonic(), key, size))

    def list(self, prefix: str) -> Iterator[BankObject]:
        until = time.monotonic() - self.lag_s if self._halted is None else self._halted
        found: dict[str, int | None] = {}
        with self._lock:
            for moment, key, size in self._changes:
                if moment < until and key.startswith(f"{prefix}/" if prefix else ""):
                    found[key] = size
        for key, listed in found.items():
            if listed is not None and not (self.hidden and key.startswith(self.hidden)):
                yield BankObject(key, listed)
