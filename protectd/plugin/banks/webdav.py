"""A bank on a WebDAV server (RFC 4918)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Self
from urllib.parse import unquote, urlsplit

from protectd.common.errors import ProtectdError
from protectd.plugin.banks.credentials import LOGIN_SCHEMA, Login
from protectd.plugin.banks.filesystem import LEFTOVER_AGE_S, TEMPORARY
from protectd.plugin.banks.http import Answer, Headers, HttpClient, basic
from protectd.plugin.banks.http_bank import HttpBank, schema_of, timeout_of
from protectd.plugin.banks.statuses import failure
from protectd.plugin.banks.urls import base_of
from protectd.plugin.banks.webdav_listing import QUESTION, Resource, resources
from protectd.plugin.base import BankObject, BankObjectNotFound, BankRefused, Buffer, Schema

_MISSING_PARENT = (403, 404, 409)
"""What servers answer to a PUT or MKCOL into a collection that is not there."""


class WebdavBank(HttpBank):
    """Each object is one resource below a collection.

    A server may show what it has of a PUT before it has all, so an object is sent under another name and
    moved into its place. As with a directory, only `prepare` makes the collection that the URL names.
    """

    gone = frozenset((404, 405, 410))  # 405: a collection is no object, and some say so
    options_schema: ClassVar[Schema] = schema_of(LOGIN_SCHEMA, [])

    def __init__(self, base: str, client: HttpClient, login: Login, prefix: str = "") -> None:
        """:param base: URL that ends with `/`.
        :param prefix: "" or a text that ends with `/`."""
        self._base = base
        self._client = client
        self._login = login
        self._prefix = prefix

    def __repr__(self) -> str:
        return f"WebdavBank({self._base + self._prefix!r})"

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        client = HttpClient(timeout_of(options), options.get("ca_file", ""))
        return cls(base_of(options["url"], "webdav"), client, Login.from_options(options))

    def section(self, prefix: str) -> Self:
        return type(self)(self._base, self._client, self._login, f"{self._prefix}{prefix}/")

    def prepare(self) -> None:
        """Make the collections; remove temporary objects that nobody has written to for a day."""
        self._make_collections(f"{self._base}{self._prefix}", above=3)
        limit = datetime.now(UTC) - timedelta(seconds=LEFTOVER_AGE_S)
        for key, found in self._walk(""):
            if TEMPORARY.fullmatch(key) and found.changed_at is not None and found.changed_at < limit:
                self.delete(key)

    def put(self, key: str, data: Buffer) -> None:
        if TEMPORARY.fullmatch(key):
            raise BankRefused(key=key, reason="the name is one of a temporary object")
        temporary = f"{key}-tmp-{secrets.token_hex(8)}"
        try:
            self._send(temporary, data)
            self._move(temporary, key)
        except ProtectdError:
            with suppress(ProtectdError):
                self.delete(temporary)
            raise

    def _send(self, key: str, data: Buffer) -> None:
        status = self._sent(key, data)
        if status in _MISSING_PARENT:
            above = self._base.count("/")
            self._make_collections(f"{self._base}{self._prefix}{key}".rpartition("/")[0] + "/", above)
            status = self._sent(key, data)
        if status not in (200, 201, 204):
            raise failure(status, key)

    def _sent(self, key: str, data: Buffer) -> int:
        with self._ask("PUT", key, {"Content-Type": "application/octet-stream"}, data) as answer:
            return answer.status

    def _move(self, temporary: str, key: str) -> None:
        target = {"Destination": f"{self._base}{self._prefix}{key}", "Overwrite": "T"}
        with self._ask("MOVE", temporary, target) as answer:
            if answer.status not in (200, 201, 204):
                raise failure(answer.status, key)

    def _make_collections(self, url: str, above: int) -> None:
        """:param above: slashes in the URL of the collection that is never made here, nor any above it."""
        if url.count("/") <= above:
            return
        status = self._made(url)
        if status in _MISSING_PARENT:
            self._make_collections(url.rstrip("/").rpartition("/")[0] + "/", above)
            status = self._made(url)
        if status not in (200, 201, 204, 405):
            raise failure(status, urlsplit(url).path)

    def _made(self, url: str) -> int:
        with self._client.ask("MKCOL", url, basic(self._login), b"") as answer:
            return answer.status

    def size(self, key: str) -> int:
        """Asked with PROPFIND, which tells an object from a collection."""
        found = self._properties(key, depth=0)
        if not found or found[0].is_collection:
            raise BankObjectNotFound(key=key)
        return found[0].size

    def list(self, prefix: str) -> Iterator[BankObject]:
        for key, found in self._walk(prefix):
            if not TEMPORARY.fullmatch(key):
                yield BankObject(key, found.size)

    def _walk(self, prefix: str) -> Iterator[tuple[str, Resource]]:
        """Objects below a collection, asked for one collection at a time: few servers answer for all."""
        top = unquote(urlsplit(f"{self._base}{self._prefix}").path)
        left = [prefix]
        while left:
            collection = left.pop()
            for found in self._properties(collection, depth=1):
                key = found.path.removeprefix(top)
                if found.path.startswith(top) and key != collection and found.is_collection:
                    left.append(key)
                elif found.path.startswith(top) and key != collection:
                    yield key, found

    def _properties(self, key: str, depth: int) -> tuple[Resource, ...]:
        headers = {"Depth": str(depth), "Content-Type": "application/xml"}
        with self._ask("PROPFIND", f"{key}/" if key and depth else key, headers, QUESTION) as answer:
            if answer.status == 404:
                return ()
            if answer.status != 207:
                raise failure(answer.status, key)
            return tuple(resources(answer.read(), key))

    def _ask(
        self, method: str, key: str, headers: Headers | None = None, body: Buffer | None = None
    ) -> AbstractContextManager[Answer]:
        url = f"{self._base}{self._prefix}{key}"
        return self._client.ask(method, url, {**basic(self._login), **(headers or {})}, body)
