"""A bank in a container of OpenStack Swift."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import ClassVar, Self
from urllib.parse import urlencode

from protectd.common.errors import ConfigurationError
from protectd.plugin.banks.credentials import LOGIN_SCHEMA, Login, Secret, secret_schema
from protectd.plugin.banks.http import Answer, Headers, HttpClient
from protectd.plugin.banks.http_bank import HttpBank, schema_of, timeout_of
from protectd.plugin.banks.statuses import failure
from protectd.plugin.banks.swift_session import Account, Identity, SwiftSession
from protectd.plugin.banks.urls import place_of, server_of
from protectd.plugin.base import BankObject, BankObjectNotFound, BankRefused, BankUnavailable, Buffer, Schema

PAGE = 1000
CREDENTIAL = "application_credential_secret"
_TEXT: Schema = {"type": "string", "minLength": 1}


class SwiftBank(HttpBank):
    """Objects of up to 5 GiB, which Swift stores whole or not at all. Where the connection is not encrypted,
    the server is told the digest of what it gets, and refuses anything else.

    A listing may lag behind: Swift brings containers up to date after objects.
    """

    options_schema: ClassVar[Schema] = schema_of(
        {
            "auth_url": {**_TEXT, "description": "where to sign in: Keystone (.../v3) or version 1"},
            **LOGIN_SCHEMA,
            "user_domain": _TEXT,
            "project": _TEXT,
            "project_domain": _TEXT,
            "application_credential_id": _TEXT,
            **secret_schema(CREDENTIAL, "secret of the application credential"),
            "region": _TEXT,
        },
        ["auth_url"],
    )

    def __init__(self, session: SwiftSession, container: str, prefix: str = "") -> None:
        """:param prefix: "" or a text that ends with `/`."""
        self._session = session
        self._container = container
        self._prefix = prefix

    def __repr__(self) -> str:
        return f"SwiftBank({self._container!r}, {self._prefix!r})"

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        place = place_of(options["url"], "swift")
        if place.server:
            raise ConfigurationError(where="url", reason="must be swift://container/prefix")
        client = HttpClient(timeout_of(options), options.get("ca_file", ""))
        session = SwiftSession(_identity(options), client)
        return cls(session, place.bucket, f"{place.prefix}/" if place.prefix else "")

    @property
    def location(self) -> str:
        return f"swift:{self._container}:/{self._prefix.rstrip('/')}"

    def restic_environment(self) -> Mapping[str, str]:
        return _environment(self._session.identity)

    def section(self, prefix: str) -> Self:
        return type(self)(self._session, self._container, f"{self._prefix}{prefix}/")

    def prepare(self) -> None:
        """Make the container, unless it is there."""
        with self._request("HEAD", "") as answer:
            found = answer.status in (200, 204)
        if not found:
            with self._request("PUT", "", body=b"") as answer:
                if answer.status not in (201, 202):
                    raise failure(answer.status, self._container)

    def put(self, key: str, data: Buffer) -> None:
        with self._ask("PUT", key, {"Content-Type": "application/octet-stream"}, data) as answer:
            if answer.status == 422:
                raise BankUnavailable(reason=f"{key} was changed on its way")
            if answer.status == 404:
                raise BankRefused(key=key, reason=f"there is no container {self._container}")
            if answer.status not in (201, 202):
                raise failure(answer.status, key)
        if answer.status == 202 and not self._holds(key, data):
            # A newer one is there and ours was let go: of another writer, or of a clock that is ahead.
            raise BankUnavailable(reason=f"{key} was written by somebody else at the same moment")

    def _holds(self, key: str, data: Buffer) -> bool:
        with suppress(BankObjectNotFound):
            return self.get(key) == bytes(data)
        return False

    def list(self, prefix: str) -> Iterator[BankObject]:
        start = f"{self._prefix}{prefix}/" if prefix else self._prefix
        marker = ""
        while page := self._page(start, marker):
            for name, size in page:
                yield BankObject(name.removeprefix(self._prefix), size)
            marker = page[-1][0]

    def _page(self, start: str, marker: str) -> Sequence[tuple[str, int]]:
        query = urlencode({"format": "json", "limit": PAGE, "prefix": start, "marker": marker})
        with self._request("GET", f"?{query}") as answer:
            if answer.status == 404:
                raise BankRefused(key=start, reason=f"there is no container {self._container}")
            if answer.status not in (200, 204):
                raise failure(answer.status, start)
            return _entries(answer.read(), start)

    def _ask(
        self, method: str, key: str, headers: Headers | None = None, body: Buffer | None = None
    ) -> AbstractContextManager[Answer]:
        return self._request(method, f"/{self._prefix}{key}", headers, body)

    @contextmanager
    def _request(
        self, method: str, path: str, headers: Headers | None = None, body: Buffer | None = None
    ) -> Iterator[Answer]:
        """Signed in; and again when the token has run out."""
        account = self._session.account()
        with self._sent(account, method, path, headers, body) as answer:
            if answer.status != 401:
                yield answer
                return
        with self._sent(self._session.account(account), method, path, headers, body) as answer:
            yield answer

    def _sent(
        self, account: Account, method: str, path: str, headers: Headers | None, body: Buffer | None
    ) -> AbstractContextManager[Answer]:
        url = f"{account.storage_url}/{self._container}{path}"
        sent = {"X-Auth-Token": account.token, **(headers or {})}
        if body and url.startswith("http:"):
            sent["ETag"] = hashlib.md5(body, usedforsecurity=False).hexdigest()
        return self._session.client.ask(method, url, sent, body)


def _entries(raw: bytes, start: str) -> Sequence[tuple[str, int]]:
    """:raises BankUnavailable: it is no listing, or half of one."""
    try:
        return [(str(each["name"]), int(each["bytes"])) for each in json.loads(raw or b"[]")]
    except (ValueError, TypeError, KeyError):
        raise BankUnavailable(reason=f"the server's listing of {start} cannot be read") from None


def _identity(options: Mapping[str, str]) -> Identity:
    made = Identity(
        server_of(options["auth_url"]),
        Login.from_options(options),
        options.get("user_domain", "Default"),
        options.get("project", ""),
        options.get("project_domain", "Default"),
        options.get("application_credential_id", ""),
        Secret.from_options(options, CREDENTIAL),
        options.get("region", ""),
    )
    if bool(made.credential_id) != bool(made.credential_secret):
        raise ConfigurationError(where="application_credential_id", reason="needs its secret, and it an id")
    if bool(made.login) == bool(made.credential_id):
        raise ConfigurationError(where="username", reason="or application_credential_id is needed")
    if made.login and made.is_keystone and not made.project:
        raise ConfigurationError(where="project", reason="is needed with a username")
    return made


def _environment(identity: Identity) -> dict[str, str]:
    login = identity.login
    if not identity.is_keystone:
        return {"ST_AUTH": identity.auth_url, "ST_USER": login.username, "ST_KEY": login.password.read()}
    found = {"OS_AUTH_URL": identity.auth_url, "OS_REGION_NAME": identity.region}
    if identity.credential_id:
        found["OS_APPLICATION_CREDENTIAL_ID"] = identity.credential_id
        found["OS_APPLICATION_CREDENTIAL_SECRET"] = identity.credential_secret.read()
    else:
        found |= {"OS_USERNAME": login.username, "OS_PASSWORD": login.password.read()}
        found |= {"OS_USER_DOMAIN_NAME": identity.user_domain, "OS_PROJECT_NAME": identity.project}
        found["OS_PROJECT_DOMAIN_NAME"] = identity.project_domain
    return {name: value for name, value in found.items() if value}
