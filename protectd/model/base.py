"""What every table shares: types that behave alike on each database, and bookkeeping columns."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import Boolean, DateTime, Dialect, MetaData, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine

MYSQL_FAMILY = ("mysql", "mariadb")

TABLE_OPTIONS = {
    f"{dialect}_{option}": value
    for dialect in MYSQL_FAMILY
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}
"""Ids and names compare byte for byte on every database, and hold any character."""

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

LongText = Text().with_variant(mysql.MEDIUMTEXT(), *MYSQL_FAMILY)
"""Up to 16 MiB everywhere: TEXT of MySQL ends at 64 KiB."""

LENGTH_ID = 36
LENGTH_WORD = 64
LENGTH_NAME = 255
LENGTH_GATE = 300
"""A word, a colon and a name."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class UTCDateTime(TypeDecorator[datetime]):
    """A moment with microseconds: aware in Python, naive UTC in the column."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in MYSQL_FAMILY:
            return mysql.DATETIME(fsp=6)
        return DateTime()

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone cannot be stored")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Json(TypeDecorator[Any]):
    """A JSON value kept as ASCII text; None is NULL. Assign a new value: edits inside are not seen."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return mysql.MEDIUMTEXT() if dialect.name in MYSQL_FAMILY else Text()

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(value, allow_nan=False, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


class PerhapsText(TypeDecorator[str]):
    """Text that may be missing, in a column that the contract has without NULL: None is the empty text."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str:
        return value or ""

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return value or None


class FreeText(TypeDecorator[str]):
    """Text for people that may quote a path or a tool: what no database takes is shown as escapes."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return mysql.MEDIUMTEXT() if dialect.name in MYSQL_FAMILY else Text()

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    __table_args__: Any = TABLE_OPTIONS


class Timestamps:
    """Creation and change of a row, and its soft deletion: deleted rows stay, and are not found."""

    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now, onupdate=utc_now)
    deleted_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    deleted: Mapped[bool] = mapped_column(Boolean, default=False)


class Unmistakable:
    """Its id is made for it and never used before: that the row is there proves that it was made."""


class Stateful(Unmistakable):
    """An entity that moves between named states; `kind` is its key in `states.MOVES`."""

    kind: ClassVar[str]
    state_column: ClassVar[str] = "status"


def id_column() -> Mapped[str]:
    return mapped_column(String(LENGTH_ID), primary_key=True)
