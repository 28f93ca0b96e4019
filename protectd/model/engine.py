"""Engines: each database driver set up so that all behave alike, and its failures named once."""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import ArgumentError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from protectd.common.errors import ConfigurationError
from protectd.model.base import MYSQL_FAMILY
from protectd.model.errors import ConnectionLost, DatabaseContended, DatabaseUnavailable
from protectd.model.resting import Resting
from protectd.model.sqlite import BUSY_TIMEOUT_S, Writers

POOL_RECYCLE_S = 1800
CONNECT_TIMEOUT_S = 10
HOLD_S = 30
"""A process that is frozen in the middle of a transaction must not hold up all others for as long as it
sleeps: the server ends the transaction, and no statement waits longer for a row."""

_POSTGRESQL_LIMITS = f"-c idle_in_transaction_session_timeout={HOLD_S}s -c lock_timeout={HOLD_S}s"

_OPTION = "database.connection"

_SQLITE_AWAY = ("locked", "busy", "unable to open", "disk I/O error", "database or disk is full")
_POSTGRESQL_AWAY = ("08", "40", "53", "57P", "55P03", "25006", "25P")
_POSTGRESQL_CONTENDED = frozenset({"40001", "40P01"})
_MYSQL_AWAY = frozenset({1021, 1040, 1114, 1205, 1213, 1290, 1305, 1927, 2002, 2003, 2006, 2013, 2055})
"""1021, 1114: its disk is full."""
_MYSQL_CONTENDED = frozenset({1213, 1305})
"""1305: a savepoint is not there any more, for the whole transaction was given up."""


class _Pool(QueuePool):
    """A pool that runs out answers with the contract's error."""

    def connect(self) -> PoolProxiedConnection:
        try:
            return super().connect()
        except PoolTimeoutError as error:
            raise DatabaseUnavailable(reason="all connections are in use") from error


def make_engine(url: str | URL, *, pool_size: int = 10, max_overflow: int = 5) -> Engine:
    """An engine for SQLite (a file), PostgreSQL or MariaDB/MySQL. Connects at first use.

    :raises ConfigurationError: the URL is none, or names an SQLite database in memory.
    """
    parsed = _parse(url)
    try:
        engine = create_engine(
            parsed,
            poolclass=_Pool,
            pool_size=pool_size,
            max_overflow=max_overflow,
            pool_use_lifo=True,  # those that are not needed rest, and the others need no trial
            connect_args=_connect_args(parsed),
            hide_parameters=True,
            **_pool_options(parsed),
        )
    except (ArgumentError, ImportError) as error:
        name = parsed.drivername
        raise ConfigurationError(where=_OPTION, reason=f"there is no driver for {name}") from error
    _listen(engine)
    return engine


def _pool_options(url: URL) -> dict[str, Any]:
    """Statements see what is committed. What is left open on MySQL is `resting`'s to roll back."""
    if url.get_backend_name() == "sqlite":
        return {}
    options = {
        "pool_recycle": POOL_RECYCLE_S,
        "isolation_level": "READ COMMITTED",
        "skip_autocommit_rollback": True,
    }
    return options | ({"pool_reset_on_return": None} if url.get_backend_name() in MYSQL_FAMILY else {})


def _parse(url: str | URL) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(where=_OPTION, reason="is not a database URL") from error
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigurationError(where=_OPTION, reason="name a file for SQLite")
    return parsed


def _connect_args(url: URL) -> dict[str, Any]:
    backend = url.get_backend_name()
    if backend == "sqlite":
        return {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
    if backend in MYSQL_FAMILY:
        return {"charset": "utf8mb4", "connect_timeout": CONNECT_TIMEOUT_S}
    return {"connect_timeout": CONNECT_TIMEOUT_S, "options": _POSTGRESQL_LIMITS}


def _listen(engine: Engine) -> None:
    event.listen(engine, "handle_error", _name_error)
    if engine.dialect.name == "sqlite":
        Writers().listen(engine)
        return
    Resting(engine).listen()
    if engine.dialect.name in MYSQL_FAMILY:
        event.listen(engine, "connect", _set_up_mysql)


def _set_up_mysql(connection: Any, record: object) -> None:
    """A value that does not fit is an error, never cut."""
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')")
        cursor.execute(f"SET SESSION innodb_lock_wait_timeout = {HOLD_S}")
        if "mariadb" in str(connection.get_server_info()).lower():  # MySQL knows nothing of the kind
            cursor.execute(f"SET SESSION idle_transaction_timeout = {HOLD_S}")


def _name_error(context: ExceptionContext) -> BaseException | None:
    if not (context.is_disconnect or _away(context)):
        return None
    return _kind(context)(reason=_reason(context.original_exception))


def _kind(context: ExceptionContext) -> type[DatabaseUnavailable]:
    if _contended(context.original_exception):
        return DatabaseContended
    in_use = context.connection is not None
    return ConnectionLost if context.is_disconnect and in_use else DatabaseUnavailable


def _contended(error: BaseException) -> bool:
    number = error.args[0] if error.args else None
    return getattr(error, "sqlstate", None) in _POSTGRESQL_CONTENDED or number in _MYSQL_CONTENDED


def _away(context: ExceptionContext) -> bool:
    error = context.original_exception
    if context.dialect.name == "sqlite":
        said = str(error)
        return isinstance(error, sqlite3.OperationalError) and any(word in said for word in _SQLITE_AWAY)
    if context.dialect.name in MYSQL_FAMILY:
        return bool(error.args) and error.args[0] in _MYSQL_AWAY
    return _postgresql_away(context)


def _postgresql_away(context: ExceptionContext) -> bool:
    """An error without a state never reached the server."""
    error = context.original_exception
    operational = getattr(context.dialect.loaded_dbapi, "OperationalError", ())
    state = getattr(error, "sqlstate", None)
    if state is None:
        return isinstance(error, operational)
    return str(state).startswith(_POSTGRESQL_AWAY)


def _reason(error: BaseException) -> str:
    """The first line of what the driver says; drivers name host and user, never the password."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
