"""Ten thousand tasks of one project that wait, and what another project notices of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from protectd.domain.submission import reference
from protectd.model.models import Checkpoint, Task
from protectd.queue.contract import context_to_message
from tests.fakes.daemons import wait_for
from tests.fakes.service import Client, Service, running

pytest_plugins = ["tests.fakes.databases"]

QUEUED = 10_000
OTHERS = 5
WORKERS = 2

Changes = Callable[[int], dict[str, Any]]


@pytest.fixture
def service(tmp_path: Path, shared_url: str) -> Iterator[Service]:
    """Tasks wait, and end as simulated when a worker takes them."""
    with running(tmp_path, handler="noop", database=shared_url) as made:
        yield made


def repeat(service: Service, model: type[Checkpoint] | type[Task], changed: Changes) -> None:
    """Insert the only row of a table again and again. :param changed: what each has of its own, by number."""
    table = model.__table__
    with service.parts.database.write() as uow:
        row = uow.session.execute(select(table)).one()._asdict()
        uow.session.execute(insert(table), [row | changed(number) for number in range(1, QUEUED)])


def new_id(number: int) -> str:
    return f"{number:036}"


def queue_up(service: Service, client: Client) -> None:
    """As so many requests leave it."""
    client.checkpoint(client.plan(service.allowed / "many"))
    repeat(service, Checkpoint, lambda number: {"id": new_id(number)})
    repeat(service, Task, _task)


def _task(number: int) -> dict[str, Any]:
    id = new_id(number)
    return {"id": id, "entity_id": id, "checkpoint_id": id, "turn": number}


def work_until(service: Service, project_id: str) -> None:
    """Two workers hear of a task each, and go on until this project has nothing left."""

    def left() -> list[Task]:
        with service.parts.database.read() as uow:
            tasks = uow.session.query(Task).filter(Task.project_id == project_id, Task.ended_at.is_(None))
            return list(tasks)

    with service.parts.database.read() as uow:
        refs = [reference(task) for task in uow.session.query(Task).order_by(Task.turn).limit(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        for ref in refs:
            pool.submit(service.parts.tasks.process_checkpoint, context_to_message(ref.context), ref.task_id)
        wait_for("the other project's tasks", lambda: not left(), 120)
        service.parts.stopping.set()


def test_ten_thousand_tasks_of_one_project_delay_anothers_by_one_each(service: Service) -> None:
    many, few = service.client(), service.client()
    queue_up(service, many)
    plan = few.plan(service.allowed / "few")
    for _ in range(OTHERS):
        few.checkpoint(plan)
    work_until(service, few.project_id)
    with service.parts.database.read() as uow:
        begun = uow.session.query(Task.project_id).filter(Task.started_at.is_not(None))
        order = [project for (project,) in begun.order_by(Task.started_at, Task.turn)]
        waiting = uow.session.query(Task).filter(Task.state == "pending").count()
    places = [place for place, project in enumerate(order) if project == few.project_id]
    delays = [place - number for number, place in enumerate(places)]
    # One each; two workers may besides be told apart by microseconds.
    assert all(delay <= number + WORKERS for number, delay in enumerate(delays)), delays
    assert waiting > QUEUED / 2
