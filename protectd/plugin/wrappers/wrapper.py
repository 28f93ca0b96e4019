"""What stands round a bank and is a bank: the base of retries, time-outs, limits and traces."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from protectd.common.errors import ConfigurationError
from protectd.plugin.base import BankObject, BankPlugin, Buffer


class BankWrapper(BankPlugin):
    """Passes every call on. Picklable when the bank is; its sections are sections in the same wrapper."""

    def __init__(self, bank: BankPlugin) -> None:
        self.bank = bank
        self.shared = bank.shared
        self.remote = bank.remote

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.bank!r})"

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        """A wrapper is made round a bank and is none by itself."""
        raise ConfigurationError(where=cls.__name__, reason="is no bank of its own")

    @property
    def location(self) -> str:
        return self.bank.location

    def restic_environment(self) -> Mapping[str, str]:
        return self.bank.restic_environment()

    def local_paths(self) -> Sequence[str]:
        return self.bank.local_paths()

    def section(self, prefix: str) -> Self:
        made = copy.copy(self)
        made.bank = self.bank.section(prefix)
        return made

    def prepare(self) -> None:
        self.bank.prepare()

    def put(self, key: str, data: Buffer) -> None:
        self.bank.put(key, data)

    def get(self, key: str, offset: int = 0, length: int = -1) -> bytes:
        return self.bank.get(key, offset, length)

    def read_into(self, key: str, buffer: memoryview, offset: int = 0, *, fresh: bool = False) -> int:
        return self.bank.read_into(key, buffer, offset, fresh=fresh)

    def size(self, key: str) -> int:
        return self.bank.size(key)

    def list(self, prefix: str) -> Iterator[BankObject]:
        return self.bank.list(prefix)

    def delete(self, key: str) -> None:
        self.bank.delete(key)
