"""Answers of /v1/transport_keys."""

from __future__ import annotations

from protectd.api.schemas.key_manager.common import URL, page_of

PAGE = page_of("transport_keys", URL)
