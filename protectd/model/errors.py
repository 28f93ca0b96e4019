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


class ConnectionLost(DatabaseUnavailable):
    """A connection that was in use is gone. The database itself may be well: a fresh connection tells."""

    code = "database.connection_lost"


class OutcomeUnknown(DatabaseUnavailable):
    """The connection was lost at the commit, and there is none to look by: the change may have been made or
    not."""

    code = "database.outcome_unknown"
    message = "the database went away while the change was kept, so it may be there or not: {reason}"
