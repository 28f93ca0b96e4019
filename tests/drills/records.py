"""A site's database, read past the service, and rows held so that the service stops at a known point."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Row, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

WAITERS = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE :me = ANY(pg_blocking_pids(pid))",
    "mariadb": """
SELECT waits.trx_mysql_thread_id FROM information_schema.innodb_lock_waits
JOIN information_schema.innodb_trx AS waits ON waits.trx_id = requesting_trx_id
JOIN information_schema.innodb_trx AS holds ON holds.trx_id = blocking_trx_id
WHERE holds.trx_mysql_thread_id = :me""",
}
MY_ID = {"postgresql": "SELECT pg_backend_pid()", "mariadb": "SELECT CONNECTION_ID()"}
END = {"postgresql": "SELECT pg_terminate_backend(:id)", "mariadb": "KILL CONNECTION :id"}

OWNER = re.compile(r":(\d+)-[0-9a-f]+$")
"""The process in the name of a lease's owner."""


class Records:
    def __init__(self, kind: str, url: str) -> None:
        self.kind = kind
        self._engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._holding = create_engine(url, poolclass=NullPool)

    def rows(self, query: str, **values: Any) -> Sequence[Row[Any]]:
        with self._engine.connect() as connection:
            return connection.execute(text(query), values).all()

    def value(self, query: str, **values: Any) -> Any:
        found = self.rows(query, **values)
        return found[0][0] if found else None

    def status(self, table: str, id: str) -> str | None:
        found: str | None = self.value(f"SELECT status FROM {table} WHERE id = :id", id=id)
        return found

    def unfinished(self) -> list[str]:
        """One line for each task that is not at its end."""
        rows = self.rows(
            "SELECT id, operation, state, attempts, sent_count, lease_owner, error_code, error_message"
            " FROM tasks WHERE state IN ('pending', 'running') ORDER BY created_at"
        )
        return [" ".join(str(value) for value in row) for row in rows]

    def task(self, entity_id: str) -> Any:
        """The newest task of an entity."""
        rows = self.rows(
            "SELECT id, state, attempts, lease_owner FROM tasks WHERE entity_id = :id"
            " ORDER BY created_at DESC",
            id=entity_id,
        )
        return rows[0] if rows else None

    def worker_of(self, entity_id: str) -> int | None:
        """The process that has the entity's task in hand."""
        task = self.task(entity_id)
        found = OWNER.search(task.lease_owner or "") if task else None
        return int(found[1]) if found else None

    def end_connection(self, id: int) -> None:
        with self._engine.connect() as connection, suppress(DBAPIError):
            connection.execute(text(END[self.kind].replace(":id", str(int(id)))))

    def gate(self, table: str, id: str) -> Gate:
        return Gate(self, self._holding.connect(), table, id)


class Gate:
    """Holds a row: whoever wants to write it stands still, in the middle of a transaction, until it opens."""

    def __init__(self, records: Records, connection: Connection, table: str, id: str) -> None:
        self._records = records
        self._connection = connection
        self._row = f"SELECT id FROM {table} WHERE id = :id FOR UPDATE"
        self._id = id
        self._me = connection.execute(text(MY_ID[records.kind])).scalar_one()
        self.shut()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.open()
        self._connection.close()

    def shut(self) -> None:
        self._connection.execute(text(self._row), {"id": self._id})

    def open(self) -> None:
        self._connection.rollback()

    def waiters(self) -> list[int]:
        """Connections of those who stand before it."""
        found = self._records.rows(WAITERS[self._records.kind], me=self._me)
        return [int(row[0]) for row in found]
