"""A bank in memory: for trials and tests. What it holds ends with the process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import ClassVar, Self

from protectd.plugin.base import BankObject, BankObjectNotFound, BankPlugin, Buffer, Schema


class MemoryBank(BankPlugin):
    """Objects in a dictionary. Each bank made by `from_options` is its own world, shared by its sections."""

    shared = False
    options_schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {"url": {"type": "string", "pattern": "^memory:"}},
        "additionalProperties": False,
    }

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._prefix = ""

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        return cls()

    def section(self, prefix: str) -> Self:
        bank = type(self)()
        bank._objects, bank._lock = self._objects, self._lock
        bank._prefix = f"{self._prefix}{prefix}/"
        return bank

    def prepare(self) -> None:
        """Nothing to do."""

    def put(self, key: str, data: Buffer) -> None:
        with self._lock:
            self._objects[self._prefix + key] = bytes(data)

    def get(self, key: str, offset: int = 0, length: int = -1) -> bytes:
        data = self._whole(key)
        return data[offset:] if length < 0 else data[offset : offset + length]

    def read_into(self, key: str, buffer: memoryview, offset: int = 0, *, fresh: bool = False) -> int:
        data = self.get(key, offset, buffer.nbytes)
        buffer.cast("B")[: len(data)] = data
        return len(data)

    def size(self, key: str) -> int:
        return len(self._whole(key))

    def _whole(self, key: str) -> bytes:
        try:
            return self._objects[self._prefix + key]
        except KeyError:
            raise BankObjectNotFound(key=key) from None

    def list(self, prefix: str) -> Iterator[BankObject]:
        start = f"{self._prefix}{prefix}/" if prefix else self._prefix
        with self._lock:
            found = [(key, len(data)) for key, data in self._objects.items() if key.startswith(start)]
        for key, size in found:
            yield BankObject(key[len(self._prefix) :], size)

    def delete(self, key: str) -> None:
        with self._lock:
            self._objects.pop(self._prefix + key, None)
