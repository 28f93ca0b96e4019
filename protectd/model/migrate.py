"""Bring a database to a revision of the schema, and compare it with what the code expects."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, event, text

from alembic import command
from protectd.common.errors import ConfigurationError
from protectd.model.base import MYSQL_FAMILY
from protectd.model.engine import make_engine
from protectd.model.models import Plan
from protectd.model.sqlite import WRITES

METADATA = Plan.metadata
"""Every table: the package of models loads them all."""

_LOCK_NAME = "protectd.migrate"
_LOCK_NUMBER = 0x70726F74
_LOCK_WAIT_S = 600


def upgrade(url: str, revision: str = "head") -> None:
    """Safe to repeat, and to run in several processes at once: one works, the others find it done.

    :raises ConfigurationError: there is no such revision, or the database has one that is not known here.
    """
    with _known(), _connected(url) as connection:
        command.upgrade(_config(connection), revision)


def downgrade(url: str, revision: str) -> None:
    """Go back to `revision`; `base` removes every table and what is in it.

    :raises ConfigurationError: as `upgrade`.
    """
    with _known(), _connected(url) as connection:
        command.downgrade(_config(connection), revision)


@contextmanager
def _known() -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        raise ConfigurationError(where="database schema", reason=str(error)) from error


def current(url: str) -> str | None:
    """The revision a database has; None: none yet."""
    with _connected(url) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def check(url: str) -> list[Any]:
    """Differences between a database and the models, as alembic's operations; empty when there is none."""
    with _connected(url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, METADATA))


def script_directory() -> Path:
    """Where the migrations lie: in a checkout beside the package, from a wheel below `share`.

    :raises ConfigurationError: in neither place.
    """
    root = Path(__file__).resolve().parents[2]
    shared = Path("share", "protectd", "alembic")
    places = (root / "alembic", Path(sysconfig.get_path("data")) / shared, root / shared)
    for place in places:
        if (place / "env.py").is_file() and (place / "versions").is_dir():
            return place
    raise ConfigurationError(where="migrations", reason=f"there are none in {', '.join(map(str, places))}")


def configure(context: Any) -> None:
    """Set alembic's context up on the connection that `upgrade` or `downgrade` opened; called from env.py."""
    connection: Connection = context.config.attributes["connection"]
    is_mysql = connection.dialect.name in MYSQL_FAMILY
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        compare_type=True,
        render_as_batch=True,
        transactional_ddl=not is_mysql,
        on_version_apply=_keep_step if is_mysql else None,
    )


def _keep_step(ctx: MigrationContext, **step: Any) -> None:
    """MySQL keeps each change of a table at once. So the version is kept, too: the next may be refused."""
    if ctx.connection is not None:
        ctx.connection.exec_driver_sql("COMMIT")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(script_directory()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    """A connection that no other migration has meanwhile; committed at the end of the block."""
    engine = make_engine(url, pool_size=1, max_overflow=0)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _loosen_keys)
    try:
        with engine.execution_options(**{WRITES: True}).begin() as connection:
            _wait_for_others(connection)
            yield connection
            _check_keys(connection)
    finally:
        engine.dispose()


def _loosen_keys(connection: Any, record: object) -> None:
    """SQLite changes a table by copying and dropping it, which must not reach the rows that refer to it."""
    connection.execute("PRAGMA foreign_keys = OFF")


def _check_keys(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        return
    if dangling := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall():
        tables = sorted({row[0] for row in dangling})
        raise ConfigurationError(where="migrations", reason=f"rows of {tables} refer to rows that are gone")


def _wait_for_others(connection: Connection) -> None:
    """SQLite's write transaction is such a lock already. These end with their transaction or connection."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
    elif connection.dialect.name in MYSQL_FAMILY:
        values = {"name": _LOCK_NAME, "wait_s": _LOCK_WAIT_S}
        connection.execute(text("SELECT GET_LOCK(:name, :wait_s)"), values)
