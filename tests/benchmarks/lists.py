"""Pages of the operation logs of a project with a long history: the first, and one that lies deep.

    python -m tests.benchmarks.lists --help

Needs PostgreSQL and MariaDB on loopback. The tasks of one project are of all operations, ended in several
ways, and stand beside a few of another project. Times are medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import text

from protectd.model import migrate
from protectd.model.base import utc_now
from protectd.model.models import Task
from protectd.model.repositories.base import Page
from protectd.model.unit_of_work import Database
from tests.benchmarks.history import add_history
from tests.fakes import rows
from tests.fakes.servers import own_mariadb, own_postgresql

KINDS = {"postgresql": own_postgresql, "mariadb": own_mariadb}
LIMIT = 100
PLANS = 100
RARE_PLAN = "plan-rare"

VARIED = {
    "operation": "CASE WHEN number % 20 < 12 THEN 'protect' WHEN number % 20 < 15 THEN 'delete' "
    "WHEN number % 20 < 18 THEN 'verify' WHEN number % 20 = 18 THEN 'restore' ELSE 'prune' END",
    "outcome": "CASE WHEN number % 97 = 0 THEN 'error' WHEN number % 20 < 12 THEN 'available' "
    "WHEN number % 20 < 15 THEN 'deleted' ELSE 'success' END",
    "plan_id": f"CONCAT('plan-', number % {PLANS})",
}

FILTERS: tuple[Mapping[str, str], ...] = (
    {},
    {"operation_type": "protect"},
    {"operation_type": "restore"},
    {"operation_type": "copy"},
    {"status": "available"},
    {"status": "error"},
    {"status": "error-deleting"},
    {"status": "PENDING"},
    {"status": "protecting"},
    {"plan_id": "plan-7"},
    {"plan_id": RARE_PLAN},
    {"checkpoint_id": "none"},
    {"operation_type": "protect", "status": "error"},
    {"operation_type": "protect", "plan_id": "plan-7"},
)


def fill(url: str, count: int) -> None:
    """The last rows are live ones, and of another project, and of a plan that ran once."""
    migrate.upgrade(url)
    database, now = Database(url), utc_now()
    ended = {"state": "done", "outcome": "available", "created_at": now, "ended_at": now, "sent_at": now}
    with database.write() as uow:
        uow.tasks.add(rows.task(**ended, started_at=now, plan_id=RARE_PLAN))
    add_history(url, count, VARIED)
    with database.write() as uow:
        for number in range(500):
            uow.tasks.add(rows.task(state="running" if number % 10 == 0 else "pending"))
            uow.tasks.add(rows.task(**ended, project_id=rows.OTHER_PROJECT))
    with database.engine.begin() as connection:
        mysql = connection.dialect.name in ("mysql", "mariadb")
        connection.execute(text("ANALYZE TABLE tasks" if mysql else "ANALYZE tasks"))
    database.dispose()


def took_ms(work: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def page(
    database: Database, project_id: str | None, filters: Mapping[str, str], marker: str | None
) -> list[Task]:
    with database.read() as uow:
        return uow.tasks.history(Page(limit=LIMIT, marker=marker), project_id, filters)


def deep_marker(
    database: Database, project_id: str | None, filters: Mapping[str, str], count: int
) -> str | None:
    """The id of a task that half of what the filters leave comes before."""
    with database.read() as uow:
        query = (
            uow.tasks.listed(project_id, filters).order_by(Task.created_at.desc()).with_only_columns(Task.id)
        )
        return next(iter(uow.session.scalars(query.offset(count // 40).limit(1))), None)


def show(
    database: Database, kind: str, project_id: str | None, filters: Mapping[str, str], arguments: Any
) -> None:
    def read(marker: str | None) -> float:
        return took_ms(lambda: page(database, project_id, filters, marker), arguments.repeats)

    found = len(page(database, project_id, filters, None))
    marker = deep_marker(database, project_id, filters, arguments.rows)
    deep = "" if marker is None else f", deep {read(marker):.1f} ms"
    words = " ".join(f"{name}={value}" for name, value in filters.items()) or "all"
    scope = "one project" if project_id else "any project"
    print(f"{kind:10} {scope} {words:40} {found:3} found, first {read(None):.1f} ms{deep}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--databases", default=",".join(KINDS), help="some of them, with commas")
    arguments = parser.parse_args()
    for kind in arguments.databases.split(","):
        with KINDS[kind]() as url:
            fill(url, arguments.rows)
            database = Database(url)
            for project_id in (rows.PROJECT, None):
                for filters in FILTERS:
                    show(database, kind, project_id, filters, arguments)
            database.dispose()


if __name__ == "__main__":
    main()
