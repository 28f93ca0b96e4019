"""Answers of /providers."""

from __future__ import annotations

from protectd.api.schemas.common import OBJECT, STRING, UUID, page_of, shape, words_to, wrapped

KEY = "provider"

_BY_TYPE = words_to(OBJECT)

PROVIDER = shape(
    {
        "id": UUID,
        "name": STRING,
        "description": STRING,
        "extended_info_schema": shape(
            {
                "options_schema": _BY_TYPE,
                "restore_schema": _BY_TYPE,
                "saved_info_schema": _BY_TYPE,
                "verify_schema": _BY_TYPE,
            }
        ),
    }
)

ONE = wrapped(KEY, PROVIDER)
PAGE = page_of("providers", PROVIDER)
