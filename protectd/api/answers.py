"""What controllers say, before it is bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from protectd.api.bodies import JSON
from protectd.model.unit_of_work import UnitOfWork

Render = Callable[[UnitOfWork], Any]


@dataclass(frozen=True)
class Answer:
    """
    :ivar body: what becomes JSON; bytes: as they are; None: nothing.
    :ivar media: type of the body.
    :ivar again: makes the body anew, when the work was done before the answer left.
    :ivar secret: it must not be kept for whoever repeats the request.
    :ivar kept_as: id of the idempotency key that it is kept under.
    :ivar replayed: the request was done before, and answered so.
    """

    body: Any
    status: int = 200
    location: str | None = None
    again: Render | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    secret: bool = False
    kept_as: str | None = None
    replayed: bool = False
    media: str = JSON
