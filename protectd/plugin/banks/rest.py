"""A bank on a server of restic's REST protocol: rest-server, `rclone serve restic`, and others.

The protocol knows the objects of a restic repository and no others; a data object has no directory of two
digits in its URL. https://restic.readthedocs.io/en/stable/REST_backend.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any, ClassVar, Self

from protectd.plugin.banks.credentials import LOGIN_SCHEMA, Login
from protectd.plugin.banks.http import Answer, Headers, HttpClient, basic
from protectd.plugin.banks.http_bank import HttpBank, schema_of, timeout_of
from protectd.plugin.banks.statuses import failure
from protectd.plugin.banks.urls import base_of
from protectd.plugin.base import (
    BankObject,
    BankObjectNotFound,
    BankRefused,
    BankUnavailable,
    Buffer,
    Schema,
)

CONFIG = "config"
DATA = "data"
TYPES = (DATA, "index", "keys", "locks", "snapshots")
LISTING = "application/vnd.x.restic.rest.v2"


class RestBank(HttpBank):
    """A section is a repository: only the keys of a vault fit into one.

    Some servers never replace an object; a `put` that finds the same bytes there has done its work.
    """

    options_schema: ClassVar[Schema] = schema_of(LOGIN_SCHEMA, [])

    def __init__(self, base: str, client: HttpClient, login: Login) -> None:
        """:param base: URL that ends with `/`."""
        self._base = base
        self._client = client
        self._login = login

    def __repr__(self) -> str:
        return f"RestBank({self._base!r})"

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        client = HttpClient(timeout_of(options), options.get("ca_file", ""))
        return cls(base_of(options["url"], "rest"), client, Login.from_options(options))

    @property
    def location(self) -> str:
        return f"rest:{self._base}"

    def restic_environment(self) -> Mapping[str, str]:
        """As restic takes them from 0.16 on; before, it knows them in the URL only."""
        if not self._login:
            return {}
        return {
            "RESTIC_REST_USERNAME": self._login.username,
            "RESTIC_REST_PASSWORD": self._login.password.read(),
        }

    def section(self, prefix: str) -> Self:
        return type(self)(f"{self._base}{prefix}/", self._client, self._login)

    def prepare(self) -> None:
        with self._request("POST", f"{self._base}?create=true", None, b"") as answer:
            if answer.status not in (200, 201, 204):
                raise failure(answer.status, "")

    def put(self, key: str, data: Buffer) -> None:
        if _path(key) is None:
            raise BankRefused(key=key, reason="a REST server holds the objects of a restic repository only")
        with self._ask("POST", key, {"Content-Type": "application/octet-stream"}, data) as answer:
            status = answer.status
        if status == 403 and self._holds(key, data):
            return
        if status not in (200, 201, 204):
            raise failure(status, key)

    def _holds(self, key: str, data: Buffer) -> bool:
        """A try whose answer was lost has stored it, or someone else has."""
        try:
            return self.get(key) == data
        except (BankObjectNotFound, BankRefused):
            return False

    def delete(self, key: str) -> None:
        with suppress(BankObjectNotFound):
            super().delete(key)

    def list(self, prefix: str) -> Iterator[BankObject]:
        if not prefix:
            yield from self._config()
        for kind in TYPES:
            if not prefix or kind == prefix.partition("/")[0]:
                found = self._listed(kind)
                yield from (each for each in found if each.key.startswith(f"{prefix}/" if prefix else ""))

    def _config(self) -> Iterator[BankObject]:
        with suppress(BankObjectNotFound):
            yield BankObject(CONFIG, self.size(CONFIG))

    def _listed(self, kind: str) -> Iterator[BankObject]:
        with self._request("GET", f"{self._base}{kind}/", {"Accept": LISTING}) as answer:
            if answer.status == 404:
                return
            if answer.status != 200:
                raise failure(answer.status, kind)
            found = entries(answer.read(), kind)
        for name, size in found:
            key = f"{kind}/{name[:2]}/{name}" if kind == DATA else f"{kind}/{name}"
            yield BankObject(key, self.size(key) if size is None else size)

    def _ask(
        self, method: str, key: str, headers: Headers | None = None, body: Buffer | None = None
    ) -> AbstractContextManager[Answer]:
        path = _path(key)
        if path is None:
            raise BankObjectNotFound(key=key)
        return self._request(method, f"{self._base}{path}", headers, body)

    def _request(
        self, method: str, url: str, headers: Headers | None = None, body: Buffer | None = None
    ) -> AbstractContextManager[Answer]:
        return self._client.ask(method, url, {**basic(self._login), **(headers or {})}, body)


def _path(key: str) -> str | None:
    """Where the protocol has an object; None where it has no place for one."""
    match key.split("/"):
        case ["config"]:
            return key
        case ["data", start, name] if name[:2] == start:
            return f"data/{name}"
        case [kind, _] if kind in TYPES and kind != DATA:
            return key
    return None


def entries(raw: bytes, kind: str) -> list[tuple[str, int | None]]:
    """Names and lengths; the first version of the protocol gives no lengths.

    :raises BankUnavailable: it is no listing, or half of one.
    """
    try:
        return [_entry(each) for each in json.loads(raw) or ()]
    except (ValueError, TypeError, KeyError):
        raise BankUnavailable(reason=f"the server's listing of {kind} cannot be read") from None


def _entry(entry: Any) -> tuple[str, int | None]:
    if isinstance(entry, str):
        return entry, None
    return str(entry["name"]), int(entry["size"])
