"""What the policies of the key manager are asked about: whose a thing is, who made it, who may read it."""

from __future__ import annotations

from typing import Any, Protocol

from protectd.model.models import Acl


class Owned(Protocol):
    @property
    def project_id(self) -> str: ...

    @property
    def creator_id(self) -> str | None: ...


def facts(thing: Owned, acl: Acl | None, user_id: str) -> dict[str, Any]:
    """What is so of a thing with this list of readers, for a user."""
    is_open = acl is None or acl.project_access
    return told(thing, is_open, acl is not None and any(user.user_id == user_id for user in acl.users))


def told(thing: Owned, is_open: bool, is_listed: bool) -> dict[str, Any]:
    """As rules name it: `open`, the whole project may; `listed`, this user may by name."""
    return {
        "project_id": thing.project_id,
        "creator_id": thing.creator_id or "",
        "open": is_open,
        "listed": is_listed,
    }
