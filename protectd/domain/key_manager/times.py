"""Moments as the key manager's contract writes and reads them: ISO 8601, UTC where no zone is said."""

from __future__ import annotations

from datetime import UTC, datetime

from protectd.common.errors import InvalidField


def parse(text: str, field: str) -> datetime:
    """:raises InvalidField: it is no moment."""
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidField(field=field, reason="must be a moment such as 2030-01-31T12:00:00") from None


def expiration(text: str | None, now: datetime) -> datetime | None:
    """Blank: never. :raises InvalidField: no moment, or one that has passed."""
    if text is None or not text.strip():
        return None
    moment = parse(text, "expiration")
    if moment <= now:
        raise InvalidField(field="expiration", reason="must lie in the future")
    return moment
