"""Who asks: carried from the request through the queue to the task."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Identity of one request. Holds no secret, so it may be logged and sent in messages."""

    request_id: str
    project_id: str
    user_id: str
    roles: tuple[str, ...] = ()

    @property
    def is_admin(self) -> bool:
        return "admin" in self.roles
