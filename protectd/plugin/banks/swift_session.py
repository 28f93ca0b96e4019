"""Signing in to OpenStack Swift: a token and the place of the account, kept until they are refused.

Version 1 (TempAuth and its like) and Keystone version 3 with a password or an application credential.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from protectd.plugin.banks.credentials import Login, Secret
from protectd.plugin.banks.http import Answer, HttpClient
from protectd.plugin.banks.statuses import failure
from protectd.plugin.base import BankRefused, BankUnavailable

WHAT = "its credentials"


class Account(NamedTuple):
    storage_url: str
    token: str


@dataclass(frozen=True)
class Identity:
    """Who signs in, and where.

    :ivar auth_url: of version 3 when its path ends with `/v3`, else of version 1.
    :ivar region: of the object store in Keystone's catalog; "" for the first.
    """

    auth_url: str
    login: Login
    user_domain: str = "Default"
    project: str = ""
    project_domain: str = "Default"
    credential_id: str = ""
    credential_secret: Secret = field(default=Secret("application_credential_secret"))
    region: str = ""

    @property
    def is_keystone(self) -> bool:
        return self.auth_url.endswith("/v3")


class SwiftSession:
    """One account, signed in when it is first asked for. Thread safe; a copy signs in for itself."""

    def __init__(self, identity: Identity, client: HttpClient) -> None:
        self.identity = identity
        self.client = client
        self._lock = threading.Lock()
        self._account: Account | None = None

    def __reduce__(self) -> tuple[type[SwiftSession], tuple[Identity, HttpClient]]:
        return type(self), (self.identity, self.client)

    def account(self, refused: Account | None = None) -> Account:
        """:param refused: whose token is not taken any more: signs in anew, once for all who say so.
        :raises BankRefused: the credentials are not taken, or there is no object store.
        :raises BankUnavailable: nobody answers.
        """
        with self._lock:
            if self._account is None or self._account == refused:
                self._account = self._keystone() if self.identity.is_keystone else self._version_1()
            return self._account

    def _version_1(self) -> Account:
        login = self.identity.login
        headers = {"X-Auth-User": login.username, "X-Auth-Key": login.password.read()}
        with self.client.ask("GET", self.identity.auth_url, headers) as answer:
            if answer.status not in (200, 204):
                raise failure(answer.status, WHAT)
            return _account(answer.headers.get("X-Storage-Url", ""), answer, "X-Auth-Token")

    def _keystone(self) -> Account:
        body = json.dumps(_request(self.identity)).encode()
        url = f"{self.identity.auth_url}/auth/tokens"
        with self.client.ask("POST", url, {"Content-Type": "application/json"}, body) as answer:
            if answer.status not in (200, 201):
                raise failure(answer.status, WHAT)
            place = _object_store(answer.read(), self.identity.region)
            return _account(place, answer, "X-Subject-Token")


def _account(storage_url: str, answer: Answer, token_header: str) -> Account:
    token = answer.headers.get(token_header, "")
    if not (token and storage_url.startswith(("http://", "https://"))):
        raise BankRefused(key=WHAT, reason="the answer has no token, or no place of an object store")
    return Account(storage_url.rstrip("/"), token)


def _request(identity: Identity) -> dict[str, Any]:
    """See "Authentication and token management" in https://docs.openstack.org/api-ref/identity/v3/"""
    if identity.credential_id:
        secret = {"id": identity.credential_id, "secret": identity.credential_secret.read()}
        method = {"methods": ["application_credential"], "application_credential": secret}
        return {"auth": {"identity": method}}
    login = identity.login
    user = {
        "name": login.username,
        "domain": {"name": identity.user_domain},
        "password": login.password.read(),
    }
    project = {"name": identity.project, "domain": {"name": identity.project_domain}}
    method = {"methods": ["password"], "password": {"user": user}}
    return {"auth": {"identity": method, "scope": {"project": project}}}


def _object_store(raw: bytes, region: str) -> str:
    """Public address of the object store in the catalog of an answer; "" when it has none."""
    try:
        catalog: list[Mapping[str, Any]] = json.loads(raw)["token"].get("catalog", [])
        places = [
            str(place["url"])
            for service in catalog
            if service["type"] == "object-store"
            for place in service["endpoints"]
            if place["interface"] == "public" and region in ("", place.get("region"))
        ]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise BankUnavailable(reason="Keystone's answer cannot be read") from None
    return places[0] if places else ""
