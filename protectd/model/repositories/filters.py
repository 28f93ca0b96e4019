"""Filters that lists share: a column makes a function from the wanted value to a condition."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Text, cast
from sqlalchemy.orm import InstrumentedAttribute

from protectd.model.repositories.base import Filter


def exact(column: InstrumentedAttribute[Any]) -> Filter:
    expression: ColumnElement[Any] = column.expression
    return lambda value: expression == value


def contains(column: InstrumentedAttribute[Any]) -> Filter:
    """Case-sensitive; the value is plain text, no pattern."""
    expression: ColumnElement[Any] = column.expression
    return lambda value: expression.contains(value, autoescape=True)


def like(column: InstrumentedAttribute[Any], pattern: str) -> ColumnElement[bool]:
    """`%` and `_` stand for anything; nothing else is special, a backslash neither."""
    return column.expression.like(pattern.replace("/", "//"), escape="/")


def has_text(column: InstrumentedAttribute[Any]) -> Filter:
    """Of a JSON value: its text as it is kept has this plain text in it."""
    text = cast(column.expression, Text)
    return lambda value: text.contains(value, autoescape=True)


def since(column: InstrumentedAttribute[Any]) -> Filter:
    expression: ColumnElement[Any] = column.expression
    return lambda value: expression >= value


def before(column: InstrumentedAttribute[Any]) -> Filter:
    expression: ColumnElement[Any] = column.expression
    return lambda value: expression < value
