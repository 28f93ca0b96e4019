"""What a database that cannot be used now looks like to its callers."""

from __future__ import annotations

from protectd.common.errors import Unavailable


class DatabaseUnavailable(Unavailable):
    """Not reachable, or busy for too long: the same unit of work may succeed later."""

    code = "database.unavailable"
    message = "the database is not available: {reason}"
