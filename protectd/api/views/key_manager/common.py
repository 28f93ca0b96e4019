"""Shapes that the key manager's answers share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from protectd.model.models import Acl, AclUser


def moment(value: datetime | None) -> str | None:
    """UTC without a zone; without a fraction where there is none, as the contract has it."""
    return None if value is None else value.astimezone(UTC).replace(tzinfo=None).isoformat()


def page(
    key: str,
    shown: Sequence[dict[str, Any]],
    total: int,
    window: tuple[int, int],
    url: str,
    query: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """One page of a list; a page without entries has no links.

    :param window: limit and offset.
    :param url: of the list.
    :param query: what it was narrowed by, repeated in links.
    """
    limit, offset = window
    body: dict[str, Any] = {key: list(shown), "total": total}
    if shown and total > offset + limit:
        body["next"] = _link(url, limit, offset + limit, query)
    if shown and offset > 0:
        body["previous"] = _link(url, limit, max(0, offset - limit), query)
    return body


def _link(url: str, limit: int, offset: int, query: Sequence[tuple[str, str]]) -> str:
    return f"{url}?{urlencode([('limit', limit), ('offset', offset), *query])}"


def acl(found: Acl | None) -> dict[str, Any]:
    """Who may read; where nothing was said, the whole project."""
    if found is None:
        return {"read": {"project-access": True}}
    return {
        "read": {
            "project-access": found.project_access,
            "users": [_name(user) for user in found.users],
            "created": moment(found.created_at),
            "updated": moment(found.updated_at),
        }
    }


def _name(user: AclUser) -> str:
    return user.user_id
