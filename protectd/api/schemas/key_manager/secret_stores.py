"""Answers of /v1/secret-stores."""

from __future__ import annotations

from protectd.api.schemas.common import FLAG, MAYBE_STRING, STRING, array, shape
from protectd.api.schemas.key_manager.common import TIMES, URL

ONE = shape(
    {
        **TIMES,
        "name": STRING,
        "secret_store_plugin": STRING,
        "crypto_plugin": MAYBE_STRING,
        "global_default": FLAG,
        "secret_store_ref": URL,
    }
)
ALL = shape({"secret_stores": array(ONE)})
