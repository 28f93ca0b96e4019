"""A bank that fails when a test tells it to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from protectd.plugin.banks.memory import MemoryBank
from protectd.plugin.base import BankObject, Buffer


class Killed(BaseException):
    """The process dies here: nothing that a program catches."""


class FaultyBank(MemoryBank):
    """Before each call `fault(call, key)` is asked; what it raises is what the caller gets."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: Callable[[str, str], None] = lambda call, key: None

    def put(self, key: str, data: Buffer) -> None:
        self.fault("put", key)
        super().put(key, data)

    def get(self, key: str, offset: int = 0, length: int = -1) -> bytes:
        self.fault("get", key)
        return super().get(key, offset, length)

    def list(self, prefix: str) -> Iterator[BankObject]:
        self.fault("list", prefix)
        return super().list(prefix)

    def delete(self, key: str) -> None:
        self.fault("delete", key)
        super().delete(key)

    def change(self, key: str, change: Callable[[bytes], bytes]) -> None:
        """Put other bytes in an object's place, as a bad disk does."""
        super().put(key, change(self._whole(key)))


def killed_after(changes: int) -> Callable[[str, str], None]:
    """A fault that lets so many puts and deletes pass and dies at the next."""
    left = changes

    def fault(call: str, key: str) -> None:
        nonlocal left
        if call in ("put", "delete"):
            if left == 0:
                raise Killed
            left -= 1

    return fault
