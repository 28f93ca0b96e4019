"""A bank in a container of Azure Blob Storage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

from obstore.store import AzureStore

from protectd.common.errors import ConfigurationError
from protectd.plugin.banks.credentials import Secret, secret_schema
from protectd.plugin.banks.http_bank import schema_of
from protectd.plugin.banks.object_store import ObjectStoreBank
from protectd.plugin.banks.object_store_connection import NO_RETRY, Connection, Store, StoreMaker
from protectd.plugin.banks.urls import Place, place_of, server_of
from protectd.plugin.base import Schema

if TYPE_CHECKING:
    from obstore.store import AzureConfig, ClientConfig

KEY, SAS = "account_key", "sas_token"


class AzureMaker(StoreMaker):
    """Without a key or token the library looks for a managed identity or the environment's credentials."""

    def __init__(self, place: Place, options: Mapping[str, str]) -> None:
        super().__init__(place, options)
        self._account = options["account"]
        self._key, self._sas = (Secret.from_options(options, each) for each in (KEY, SAS))
        if self._key and self._sas:
            raise ConfigurationError(where=KEY, reason=f"and {SAS} are two ways to sign; give one")

    def _make(self, client: ClientConfig) -> Store:
        return AzureStore(self.bucket, config=self._config(), client_options=client, retry_config=NO_RETRY)

    def _config(self) -> AzureConfig:
        config: AzureConfig = {"account_name": self._account}
        if self.endpoint:
            config["endpoint"] = self.endpoint
        if self._key:
            config["account_key"] = self._key.read()
        if self._sas:
            config["sas_key"] = self._sas.read().removeprefix("?")
        return config

    def restic_environment(self) -> dict[str, str]:
        found = {"AZURE_ACCOUNT_NAME": self._account}
        if self._key:
            found["AZURE_ACCOUNT_KEY"] = self._key.read()
        if self._sas:
            found["AZURE_ACCOUNT_SAS"] = self._sas.read()
        return found


class AzureBank(ObjectStoreBank):
    """See `ObjectStoreBank`."""

    options_schema: ClassVar[Schema] = schema_of(
        {
            "account": {"type": "string", "minLength": 1, "description": "name of the storage account"},
            "endpoint": {"type": "string", "description": "URL of the account, where it is not Azure's own"},
            **secret_schema(KEY, "key of the storage account"),
            **secret_schema(SAS, "shared access signature"),
        },
        ["account"],
    )

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        place = place_of(options["url"], "azure")
        if place.server:
            raise ConfigurationError(where="url", reason="must be azure://container/prefix")
        if "endpoint" in options:
            place = place._replace(server=server_of(options["endpoint"]))
        return cls(Connection(AzureMaker(place, options)), f"{place.prefix}/" if place.prefix else "")

    @property
    def location(self) -> str:
        """Restic knows Azure's own servers only."""
        if self._connection.maker.endpoint:
            return ""
        return f"azure:{self._connection.maker.bucket}:/{self._prefix.rstrip('/')}"
