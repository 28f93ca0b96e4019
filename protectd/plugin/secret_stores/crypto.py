"""Master keys in a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protectd.plugin.secret_stores.boxes import DIRECT, Box, BoxingStore
from protectd.plugin.secret_stores.master_keys import (
    add_master_key,
    drop_master_key,
    name_of,
    read_master_keys,
)


class CryptoStore(BoxingStore):
    """:param keys: master keys, the newest first.
    :param file: where they were read, to be looked at again when it has changed.
    """

    def __init__(self, *keys: bytes, file: Path | None = None) -> None:
        self._file = file
        self._seen = self._state()
        self._masters = _boxes(keys)

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        file = Path(options["master_key_file"])
        return cls(*read_master_keys(file), file=file)

    def masters(self) -> Mapping[str, Box]:
        """As the file has them now: another process may have added one, or dropped it."""
        state = self._state()
        if self._file is not None and state != self._seen:
            self._masters, self._seen = _boxes(read_master_keys(self._file)), state
        return self._masters

    def known(self, name: str) -> Box | None:
        return self._masters.get(name) or super().known(name)

    def add_master_key(self) -> str:
        return super().add_master_key() if self._file is None else add_master_key(self._file)

    def drop_master_key(self, master_key_id: str) -> None:
        if self._file is None:
            super().drop_master_key(master_key_id)
        else:
            drop_master_key(self._file, master_key_id)

    def _state(self) -> tuple[int, int, int] | None:
        if self._file is None:
            return None
        told = os.stat(self._file)
        return told.st_ino, told.st_mtime_ns, told.st_size


def _boxes(keys: Sequence[bytes]) -> dict[str, Box]:
    return {name_of(key): Box(AESGCM(key), DIRECT) for key in keys}
