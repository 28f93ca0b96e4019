"""Stores of `obstore`: how they are configured, and when they are made."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias

from obstore.store import AzureStore, GCSStore, S3Store

from protectd.plugin.banks import object_store_errors
from protectd.plugin.banks.http_bank import timeout_of
from protectd.plugin.banks.urls import Place
from protectd.plugin.base import BankRefused

if TYPE_CHECKING:  # the library has these names for type checkers only
    from obstore.store import ClientConfig, RetryConfig

Store: TypeAlias = S3Store | AzureStore | GCSStore

LONGEST_S = 3600
"""No request takes longer, whatever it carries."""

NO_RETRY: RetryConfig = {"max_retries": 0}


class StoreMaker(ABC):
    """Makes stores of one kind. Picklable.

    :ivar bucket: or container.
    :ivar endpoint: http or https URL; "" for the service's own.
    """

    def __init__(self, place: Place, options: Mapping[str, str]) -> None:
        self.bucket = place.bucket
        self.endpoint = place.server
        self._timeout_s = timeout_of(options)
        self._ca_file = options.get("ca_file", "")

    def make(self, writing: bool) -> Store:
        with object_store_errors.translated("its configuration"):
            return self._make(self._client(writing))

    @abstractmethod
    def _make(self, client: ClientConfig) -> Store:
        """:raises BankRefused: the credentials cannot be had."""

    @abstractmethod
    def restic_environment(self) -> dict[str, str]:
        """See `BankPlugin`."""

    def _client(self, writing: bool) -> ClientConfig:
        client: ClientConfig = {
            "user_agent": "protectd",
            "allow_http": self.endpoint.startswith("http:"),
            "connect_timeout": timedelta(seconds=self._timeout_s),
            "timeout": timedelta(seconds=LONGEST_S),
        }
        if not writing:
            client["read_timeout"] = timedelta(seconds=self._timeout_s)
        if self._ca_file:
            client["root_certificate"] = _certificates(self._ca_file)
        return client


class Connection:
    """The stores of one bucket, made when they are first used. Thread safe; a copy makes its own."""

    def __init__(self, maker: StoreMaker) -> None:
        self.maker = maker
        self._lock = threading.Lock()
        self._stores: dict[bool, Store] = {}

    def __reduce__(self) -> tuple[type[Self], tuple[StoreMaker]]:
        return type(self), (self.maker,)

    def store(self, *, writing: bool = False) -> Store:
        """:param writing: a store in which only the whole request has a time-out: sending a large object
            over a slow line is no silence of the server.
        :raises BankRefused: the credentials cannot be had, or make no sense to the library.
        """
        with self._lock:
            if writing not in self._stores:
                self._stores[writing] = self.maker.make(writing)
            return self._stores[writing]

    def forget(self) -> None:
        """Read the credentials again at the next use: these were refused, and may have been changed."""
        with self._lock:
            self._stores.clear()


def _certificates(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BankRefused(key="its connection", reason=f"ca_file {path}: {error.strerror}") from error
