"""A table of tasks with a long history."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from protectd.model.models import Task

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
    engine = create_engine(url, poolclass=NullPool)
    for before in range(0, count, BATCH):
        _add(engine, before, min(BATCH, count - before), varied or {})


def _add(engine: Engine, before: int, batch: int, varied: Mapping[str, str]) -> None:
    kind = engine.dialect.name
    columns = [column.name for column in Task.__table__.columns]
    values = [varied.get(column) or _value(kind, column, before) for column in columns]
    newest = "(SELECT * FROM tasks WHERE state = 'done' ORDER BY created_at DESC LIMIT 1) AS done"
    statement = (
        f"INSERT INTO tasks ({', '.join(columns)}) SELECT {', '.join(values)} "
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
