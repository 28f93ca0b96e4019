"""What a database that cannot be used now looks like to its callers."""

from __future__ import annotations

from protectd.common.errors import Unavailable


class DatabaseUnavailable(Unavailable):
    """Not reachable, or busy for too long: the same unit of work may succeed later."""

    code = "database.unavailable"
    message = "the database is not available: {reason}"


class DatabaseContended(DatabaseUnavailable):
    """Units of work waited for each other, and the database gave this one up. Nothing of it is left; begun
    anew, it may come through."""

    code = "database.contended"
