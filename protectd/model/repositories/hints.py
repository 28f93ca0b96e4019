"""Which index gives a page, said to the databases that would rather read a list from its beginning.

MariaDB guesses that any range has at most half of the table's rows. Where most rows are of one project, it
takes the rows after a marker for as many as all rows of the project, and reads these.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Select

from protectd.model.base import MYSQL_FAMILY
from protectd.model.repositories.keyset import Key


def paging_index(model: type[Any], equal: Collection[str], keys: Sequence[Key]) -> str | None:
    """Name of the index whose first columns are all of `equal` and whose others are the order; None: none."""
    order = [key.attribute.key for key in keys]
    for index in model.__table__.indexes:
        names = [column.name for column in index.columns]
        head = len(names) - len(order)
        if names[head:] == order and set(names[:head]) == set(equal):
            return str(index.name)
    return None


def by_index(query: Select[Any], model: type[Any], name: str | None) -> Select[Any]:
    """Have it read by this index, where that has to be said."""
    if name is not None:
        for dialect in MYSQL_FAMILY:
            query = query.with_hint(model, f"FORCE INDEX ({name})", dialect)
    return query
