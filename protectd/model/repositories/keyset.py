"""Keyset paging: an order over several columns, and "after this row" in that order, also where NULLs stand.

NULL counts as the smallest value on every database. The order must end in a unique column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, false, or_
from sqlalchemy.orm import InstrumentedAttribute


@dataclass(frozen=True, slots=True)
class Key:
    attribute: InstrumentedAttribute[Any]
    descending: bool

    @property
    def column(self) -> ColumnElement[Any]:
        return self.attribute.expression

    def of(self, row: Any) -> Any:
        return getattr(row, self.attribute.key)

    @property
    def nullable(self) -> bool:
        return bool(self.attribute.property.columns[0].nullable)


def order(keys: Sequence[Key]) -> list[ColumnElement[Any]]:
    """Terms for ORDER BY. Databases differ in where NULL goes: a rank stands before a nullable column."""
    terms: list[ColumnElement[Any]] = []
    for key in keys:
        columns: list[Any] = [key.column]
        if key.nullable:
            columns.insert(0, case((key.column.is_(None), 0), else_=1))
        terms += [column.desc() if key.descending else column.asc() for column in columns]
    return terms


def after(keys: Sequence[Key], row: Any) -> ColumnElement[bool]:
    """Rows that come later than `row`: the first key is later, or it is equal and the rest comes later."""
    later: ColumnElement[bool] = false()
    for key in reversed(keys):
        value = key.of(row)
        later = or_(_beyond(key, value), and_(_same(key, value), later))
    return and_(_bound(keys[0], row), later)


def _same(key: Key, value: Any) -> ColumnElement[bool]:
    return key.column.is_(None) if value is None else key.column.__eq__(value)


def _beyond(key: Key, value: Any) -> ColumnElement[bool]:
    if value is None:
        return false() if key.descending else key.column.is_not(None)
    if not key.descending:
        return key.column.__gt__(value)
    less = key.column.__lt__(value)
    return or_(less, key.column.is_(None)) if key.nullable else less


def _bound(key: Key, row: Any) -> ColumnElement[bool]:
    """Says again what the rest implies, in a form that an index range understands."""
    value = key.of(row)
    if key.nullable:
        return or_(_beyond(key, value), _same(key, value))
    return key.column.__le__(value) if key.descending else key.column.__ge__(value)
