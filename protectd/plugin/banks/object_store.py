"""What the banks in object stores have in common: S3, Azure Blob and Google Cloud Storage through `obstore`,
which is Python's door to the `object_store` crate of Apache Arrow.

Every call is one request: the library's own retries are off, for a wrapper does that for every bank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import obstore

from protectd.plugin.banks import object_store_errors
from protectd.plugin.banks.object_store_connection import Connection
from protectd.plugin.base import (
    BankObject,
    BankObjectNotFound,
    BankPlugin,
    BankRefused,
    BankUnavailable,
    Buffer,
)

if TYPE_CHECKING:  # the library has this name for type checkers only
    from obstore import GetOptions

PAGE = 1000


class ObjectStoreBank(BankPlugin):
    """Each object is one of a bucket's, which takes it whole or not at all. The bucket has to be there."""

    remote = True

    def __init__(self, connection: Connection, prefix: str = "") -> None:
        """:param prefix: "" or a text that ends with `/`."""
        self._connection = connection
        self._prefix = prefix

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.maker.bucket!r}, {self._prefix!r})"

    def restic_environment(self) -> Mapping[str, str]:
        return self._connection.maker.restic_environment()

    def section(self, prefix: str) -> Self:
        return type(self)(self._connection, f"{self._prefix}{prefix}/")

    def prepare(self) -> None:
        """Refuses a bucket that is not there."""
        next(self.list(""), None)

    def put(self, key: str, data: Buffer) -> None:
        with self._translated(key, writing=True):
            store = self._connection.store(writing=True)
            obstore.put(store, self._prefix + key, memoryview(data).cast("B"), use_multipart=False)

    def get(self, key: str, offset: int = 0, length: int = -1) -> bytes:
        return bytes(self._read(key, offset, length))

    def read_into(self, key: str, buffer: memoryview, offset: int = 0, *, fresh: bool = False) -> int:
        """Fill `buffer`. There is no cache on this host."""
        found = memoryview(self._read(key, offset, buffer.nbytes))
        buffer.cast("B")[: len(found)] = found
        return len(found)

    def _read(self, key: str, offset: int, length: int) -> Any:
        """A buffer. Of a part the library itself checks that it is the one that was asked for."""
        if length == 0:
            self.size(key)
            return b""
        try:
            with self._translated(key):
                options = _range(offset, length)
                result = obstore.get(self._connection.store(), self._prefix + key, options=options)
                first, after = result.range
                data = result.bytes()
        except object_store_errors.OutOfRange:
            return b""
        if len(data) != after - first:
            raise BankUnavailable(reason=f"{key} was cut short")
        return data

    def size(self, key: str) -> int:
        with self._translated(key):
            return obstore.head(self._connection.store(), self._prefix + key)["size"]

    def list(self, prefix: str) -> Iterator[BankObject]:
        start = f"{self._prefix}{prefix}/" if prefix else self._prefix
        with self._translated(prefix, listing=True):
            for page in obstore.list(self._connection.store(), start or None, chunk_size=PAGE):
                for each in page:
                    yield BankObject(each["path"].removeprefix(self._prefix), each["size"])

    def delete(self, key: str) -> None:
        try:
            with self._translated(key):
                obstore.delete(self._connection.store(), self._prefix + key)
        except BankObjectNotFound:
            return

    @contextmanager
    def _translated(self, key: str, *, writing: bool = False, listing: bool = False) -> Iterator[None]:
        try:
            with object_store_errors.translated(key, bucket_only=writing or listing):
                yield
        except BankRefused:
            self._connection.forget()
            raise


def _range(offset: int, length: int) -> GetOptions:
    if length < 0:
        return {"range": {"offset": offset}} if offset else {}
    return {"range": (offset, offset + length)}
