"""A bank in a bucket of Google Cloud Storage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

from obstore.store import GCSStore

from protectd.common.errors import ConfigurationError
from protectd.plugin.banks.credentials import Secret
from protectd.plugin.banks.http_bank import schema_of
from protectd.plugin.banks.object_store import ObjectStoreBank
from protectd.plugin.banks.object_store_connection import NO_RETRY, Connection, Store, StoreMaker
from protectd.plugin.banks.urls import Place, place_of, server_of
from protectd.plugin.base import SECRET_FILE, Schema

if TYPE_CHECKING:
    from obstore.store import ClientConfig, GCSConfig

ACCOUNT = "service_account"


class GcsMaker(StoreMaker):
    """Without a file the library looks for the credentials of the environment or of the machine."""

    def __init__(self, place: Place, options: Mapping[str, str]) -> None:
        super().__init__(place, options)
        self._account = Secret(ACCOUNT, file=options.get(f"{ACCOUNT}_file", ""))

    def _make(self, client: ClientConfig) -> Store:
        return GCSStore(self.bucket, config=self._config(), client_options=client, retry_config=NO_RETRY)

    def _config(self) -> GCSConfig:
        config: GCSConfig = {}
        if self.endpoint:
            config["base_url"] = self.endpoint
        if self._account:
            config["service_account_key"] = self._account.read()
        return config

    def restic_environment(self) -> dict[str, str]:
        return {"GOOGLE_APPLICATION_CREDENTIALS": self._account.file} if self._account else {}


class GcsBank(ObjectStoreBank):
    """See `ObjectStoreBank`."""

    options_schema: ClassVar[Schema] = schema_of(
        {
            "endpoint": {"type": "string", "description": "URL of the server, where it is not Google's own"},
            f"{ACCOUNT}_file": {
                "type": "string",
                "pattern": "^/",
                "format": SECRET_FILE,
                "description": "absolute path of the JSON file of a service account",
            },
        },
        [],
    )

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        place = place_of(options["url"], "gs")
        if place.server:
            raise ConfigurationError(where="url", reason="must be gs://bucket/prefix")
        if "endpoint" in options:
            place = place._replace(server=server_of(options["endpoint"]))
        return cls(Connection(GcsMaker(place, options)), f"{place.prefix}/" if place.prefix else "")

    @property
    def location(self) -> str:
        """Restic knows Google's own servers only."""
        if self._connection.maker.endpoint:
            return ""
        return f"gs:{self._connection.maker.bucket}:/{self._prefix.rstrip('/')}"
