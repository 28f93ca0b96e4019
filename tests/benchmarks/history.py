"""Tables with a long history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from protectd.model.models import Checkpoint, Task

BATCH = 50_000

NUMBERS = {
    "mariadb": "(SELECT seq AS number FROM seq_1_to_{batch}) AS numbers",
    "mysql": "(SELECT seq AS number FROM seq_1_to_{batch}) AS numbers",
    "postgresql": "generate_series(1, {batch}) AS numbers (number)",
}
NEW_ID = {"mariadb": "UUID()", "mysql": "UUID()", "postgresql": "gen_random_uuid()"}
EARLIER = {
    "mariadb": "{column} - INTERVAL (number + {before}) SECOND",
    "mysql": "{column} - INTERVAL (number + {before}) SECOND",
    "postgresql": "{column} - (number + {before}) * INTERVAL '1 second'",
}
IDS = ("id", "entity_id", "checkpoint_id")
MOMENTS = ("created_at", "updated_at", "started_at", "ended_at", "sent_at")


def add_history(url: str, count: int, varied: Mapping[str, str] | None = None) -> None:
    """Repeat the newest finished task `count` times, as tasks of their own that ended a second apart.

    :param varied: columns that differ, as SQL of a `number` that counts within each 50,000.
    """
    _repeat(url, Task.__table__, "state = 'done'", count, varied or {})


def add_checkpoints(url: str, count: int) -> None:
    """Repeat the newest checkpoint, without its resources, `count` times, each a second older."""
    _repeat(url, Checkpoint.__table__, "1 = 1", count, {})


def _repeat(url: str, table: Any, where: str, count: int, varied: Mapping[str, str]) -> None:
    engine = create_engine(url, poolclass=NullPool)
    for before in range(0, count, BATCH):
        _add(engine, table, where, before, min(BATCH, count - before), varied)


def _add(engine: Engine, table: Any, where: str, before: int, batch: int, varied: Mapping[str, str]) -> None:
    kind = engine.dialect.name
    columns = [column.name for column in table.columns]
    values = [varied.get(column) or _value(kind, column, before) for column in columns]
    newest = f"(SELECT * FROM {table.name} WHERE {where} ORDER BY created_at DESC LIMIT 1) AS newest"
    statement = (
        f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {', '.join(values)} "
        f"FROM {newest} CROSS JOIN {NUMBERS[kind].format(batch=batch)}"
    )
    with engine.begin() as connection:
        connection.execute(text(statement))


def _value(kind: str, column: str, before: int) -> str:
    if column in IDS:
        return NEW_ID[kind]
    if column in MOMENTS:
        return EARLIER[kind].format(column=column, before=before)
    return column
