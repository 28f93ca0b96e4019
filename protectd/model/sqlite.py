"""SQLite, set up so that many threads and processes may write one file and none of them fails or starves.

A unit of work that may write opens with BEGIN IMMEDIATE: a deferred transaction that reads and then writes
fails at once when another writer committed in between, whatever the busy timeout.

SQLite lets a writer that finds another one at work sleep, up to 100 ms at a time, and look again. Writers of
one process take turns before they ask, so that each begins when the one before it has ended.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time

from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from protectd.model.errors import DatabaseUnavailable
from protectd.model.turns import Turns

WRITES = "protectd_writes"
"""Execution option of the engine whose transactions may write."""

BUSY_TIMEOUT_S = 30
LOG_PAGES = 10_000
"""40 MB: the commit that makes the log longer folds it into the file, if nobody has done so before."""

_HAS_TURN = "protectd_has_turn"


class Writers:
    """The connections of one engine."""

    def __init__(self, wait_s: float = BUSY_TIMEOUT_S) -> None:
        self._wait_s = wait_s
        self._turns = Turns()

    def listen(self, engine: Engine) -> None:
        event.listen(engine, "connect", _set_up)
        event.listen(engine, "begin", self._begin)
        event.listen(engine, "checkin", self._end)

    def _begin(self, connection: Connection) -> None:
        if connection.get_execution_options().get(WRITES, False):
            self._take_turn(connection)
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("BEGIN")

    def _take_turn(self, connection: Connection) -> None:
        """It lasts until the connection is back in the pool, which is after the commit or rollback."""
        entry = connection.connection.record_info
        if entry is None or _HAS_TURN in entry:
            return
        if not self._turns.take(self._wait_s):
            raise DatabaseUnavailable(reason="database is locked")
        entry[_HAS_TURN] = True

    def _end(self, connection: object, entry: ConnectionPoolEntry) -> None:
        if (entry.record_info or {}).pop(_HAS_TURN, False):
            self._turns.give_back()


def fold_log(engine: Engine) -> None:
    """Bring what is committed from the log into the file, beside whoever reads and writes. Otherwise some
    commit has to, and its caller waits for the disk twice more.

    :raises DatabaseUnavailable: it cannot be done now.
    """
    try:
        with contextlib.closing(engine.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    except sqlite3.OperationalError as error:
        raise DatabaseUnavailable(reason=str(error)) from error


def _set_up(connection: sqlite3.Connection, entry: object) -> None:
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA case_sensitive_like = ON")


def _use_wal(connection: sqlite3.Connection) -> None:
    """The busy timeout does not cover the change of the journal, and another process may make it too."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
            continue
        if time.monotonic() > deadline:
            raise sqlite3.OperationalError("database is locked")
        time.sleep(0.01)
