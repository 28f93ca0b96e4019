"""A bank in a bucket of S3: Amazon's, or any server that speaks its protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

from obstore.store import S3Store

from protectd.common.errors import ConfigurationError
from protectd.plugin.banks.credentials import Secret, secret_schema
from protectd.plugin.banks.http_bank import schema_of
from protectd.plugin.banks.object_store import ObjectStoreBank
from protectd.plugin.banks.object_store_connection import NO_RETRY, Connection, Store, StoreMaker
from protectd.plugin.banks.urls import Place, place_of, server_of
from protectd.plugin.base import Schema

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

DEFAULT_REGION = "us-east-1"
ID, KEY, TOKEN = "access_key_id", "secret_access_key", "session_token"


class S3Maker(StoreMaker):
    """Without keys the library looks for them as Amazon's tools do: environment, role of the machine."""

    def __init__(self, place: Place, options: Mapping[str, str]) -> None:
        super().__init__(place, options)
        self._region = options.get("region", DEFAULT_REGION)
        self._id, self._key, self._token = (Secret.from_options(options, each) for each in (ID, KEY, TOKEN))
        if bool(self._id) != bool(self._key):
            raise ConfigurationError(where=ID, reason=f"needs {KEY}, and {KEY} it")

    def _make(self, client: ClientConfig) -> Store:
        return S3Store(self.bucket, config=self._config(), client_options=client, retry_config=NO_RETRY)

    def _config(self) -> S3Config:
        """Over a connection that is not encrypted the signature covers the content, so no byte changes on
        its way; elsewhere TLS sees to that, at a fraction of the cost."""
        config: S3Config = {
            "region": self._region,
            "virtual_hosted_style_request": False,
            "disable_bulk_delete": True,
            "unsigned_payload": not self.endpoint.startswith("http:"),
        }
        if self.endpoint:
            config["endpoint"] = self.endpoint
        if self._id:
            config["access_key_id"] = self._id.read()
            config["secret_access_key"] = self._key.read()
        if self._token:
            config["session_token"] = self._token.read()
        return config

    def restic_environment(self) -> dict[str, str]:
        found = {"AWS_DEFAULT_REGION": self._region}
        if self._id:
            found |= {"AWS_ACCESS_KEY_ID": self._id.read(), "AWS_SECRET_ACCESS_KEY": self._key.read()}
        if self._token:
            found["AWS_SESSION_TOKEN"] = self._token.read()
        return found


class S3Bank(ObjectStoreBank):
    """See `ObjectStoreBank`."""

    options_schema: ClassVar[Schema] = schema_of(
        {
            "endpoint": {
                "type": "string",
                "description": "URL of the server; Amazon's for the region when it is left out",
            },
            "region": {"type": "string", "minLength": 1, "description": f"{DEFAULT_REGION} by default"},
            **secret_schema(ID, "id of the access key"),
            **secret_schema(KEY, "secret of the access key"),
            **secret_schema(TOKEN, "token of a session, with temporary keys"),
        },
        [],
    )

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        place = place_of(options["url"], "s3")
        if place.server and "endpoint" in options:
            raise ConfigurationError(where="endpoint", reason="is given twice, here and in url")
        if "endpoint" in options:
            place = place._replace(server=server_of(options["endpoint"]))
        return cls(Connection(S3Maker(place, options)), f"{place.prefix}/" if place.prefix else "")

    @property
    def location(self) -> str:
        server = self._connection.maker.endpoint or "https://s3.amazonaws.com"
        return f"s3:{server}/{self._connection.maker.bucket}/{self._prefix}".rstrip("/")
