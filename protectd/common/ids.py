"""Identifiers made and recognized in one place."""

from __future__ import annotations

import re
import uuid

_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)


def new_id() -> str:
    """A random UUID in canonical text, 36 characters."""
    return str(uuid.uuid4())


def is_uuid_like(text: object) -> bool:
    """Whether the data-protection contract accepts `text` as an id (dashes optional, any case)."""
    return isinstance(text, str) and _UUID.fullmatch(text) is not None


def canonical_id(text: str) -> str:
    """The one spelling under which a UUID is stored. `text` is `is_uuid_like`."""
    return str(uuid.UUID(text))
