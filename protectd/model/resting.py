"""Connections between two units of work: tried before use when they have rested for long, and rolled back
when something is open. Each of the two is a way to the server and back, and most units of work are short.

Whoever only reads needs no transaction: statements see what is committed, with one or without. A connection
on which one reader follows the other is in autocommit, and nothing is to be rolled back.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, PoolResetState

from protectd.model.base import MYSQL_FAMILY

FRESH_S = 1.0
"""What was in use so short a time ago is there as a rule. Where it is not, its first statement says so, as it
does when a connection is lost a moment after it was tried."""

READS = "protectd_reads"
"""Execution option of the engine whose units of work only read."""

PATIENCE = 2
"""Readers in a row that are rolled back on MySQL. Autocommit is switched on and off by a statement each, and
saves one for each reader: it pays from the third on."""

_RESTS_SINCE = "protectd_rests_since"
_IS_OPEN = "protectd_is_open"
_READERS = "protectd_readers"
_IS_AUTO = "protectd_is_auto"


class Resting:
    """The connections of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def listen(self) -> None:
        event.listen(self._engine, "checkin", self._begin)
        event.listen(self._engine, "checkout", self._end)
        if self._engine.dialect.name in MYSQL_FAMILY:
            event.listen(self._engine, "begin", _choose_mode)
            _roll_back_what_is_open(self._engine)
        else:
            event.listen(self._engine, "begin", _choose_mode_here)

    def _begin(self, connection: object, entry: ConnectionPoolEntry) -> None:
        entry.info[_RESTS_SINCE] = time.monotonic()

    def _end(self, connection: Any, entry: ConnectionPoolEntry, proxy: object) -> None:
        """:raises InvalidatePoolError: the pool connects anew by itself."""
        since_s = entry.info.get(_RESTS_SINCE)
        if since_s is not None and time.monotonic() - since_s > FRESH_S and not self._lives(connection):
            raise InvalidatePoolError

    def _lives(self, connection: Any) -> bool:
        dialect = self._engine.dialect
        try:
            return bool(dialect.do_ping(connection))
        except dialect.loaded_dbapi.Error:
            return False


def _choose_mode_here(connection: Connection) -> None:
    """Of a driver for PostgreSQL, to which the server need not be told: it begins transactions by itself."""
    driver: Any = connection.connection.dbapi_connection
    wanted = connection.get_execution_options().get(READS, False)
    if driver.autocommit != wanted:
        driver.autocommit = wanted


def _choose_mode(connection: Connection) -> None:
    info = connection.info
    readers = info.get(_READERS, 0) + 1 if connection.get_execution_options().get(READS) else 0
    info[_READERS] = readers
    is_auto, wanted = info.get(_IS_AUTO, False), readers > PATIENCE
    if is_auto != wanted:
        connection.exec_driver_sql(f"SET autocommit = {int(wanted)}")
        info[_IS_AUTO] = wanted


def _roll_back_what_is_open(engine: Engine) -> None:
    """In place of the pool's own rollback after each commit, which a driver for MySQL sends to the server
    though nothing is open. A commit that fails leaves it open."""
    event.listen(engine, "begin", lambda connection: _note(connection, not connection.info.get(_IS_AUTO)))
    event.listen(engine, "commit", lambda connection: _note(connection, False))
    event.listen(engine, "rollback", lambda connection: _note(connection, False))
    event.listen(engine, "handle_error", _note_error)
    event.listen(engine, "reset", _leave_nothing_open)


def _note(connection: Connection, is_open: bool) -> None:
    """One that is lost needs no rollback, and takes no notes."""
    if not connection.invalidated:
        connection.info[_IS_OPEN] = is_open


def _note_error(context: ExceptionContext) -> None:
    if context.connection is not None and not context.is_disconnect:
        _note(context.connection, True)


def _leave_nothing_open(connection: Any, entry: ConnectionPoolEntry, state: PoolResetState) -> None:
    if state.asyncio_safe and entry.info.get(_IS_OPEN, True):
        connection.rollback()
        entry.info[_IS_OPEN] = False
