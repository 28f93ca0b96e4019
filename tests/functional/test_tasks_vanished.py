"""Whatever the operation: a task whose workers always vanish comes to an end that its user sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from protectd.common.ids import new_id
from protectd.domain.submission import reference
from protectd.model.models import Task
from protectd.model.repositories.quotas import OPERATIONS
from protectd.model.states import TaskState
from protectd.queue.contract import context_to_message
from tests.fakes.clock import ManualClock
from tests.fakes.service import FILES_ID, MEMORY_ID, Client, Service, run_body, running
from tests.functional.test_copies import copy as copies

LEASE_S = 60

Shown = Callable[[], str]
"""What the user sees of the operation now."""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path, handler="noop", clock=ManualClock()) as made:
        yield made


def tasks(service: Service, state: str = TaskState.PENDING) -> list[Task]:
    with service.parts.database.read() as uow:
        return uow.session.query(Task).filter(Task.state == state).order_by(Task.created_at).all()


def work(service: Service) -> None:
    """Do what waits."""
    for task in tasks(service):
        ref = reference(task)
        getattr(service.parts.tasks, ref.method)(context_to_message(ref.context), ref.task_id)


def checkpoint_path(checkpoint: dict[str, Any], provider_id: str = FILES_ID) -> str:
    return f"providers/{provider_id}/checkpoints/{checkpoint['id']}"


def protect(client: Client, done: dict[str, Any]) -> Shown:
    made = client.checkpoint({"id": done["protection_plan"]["id"], "provider_id": FILES_ID})
    return lambda: client.get(checkpoint_path(made))["checkpoint"]["status"]


def restore(client: Client, done: dict[str, Any]) -> Shown:
    path = f"restores/{client.restore(done)['restore']['id']}"
    return lambda: client.get(path)["restore"]["status"]


def verify(client: Client, done: dict[str, Any]) -> Shown:
    asked = client.post("verifications", {"verification": run_body(done)}, 202)["verification"]
    return lambda: client.get(f"verifications/{asked['id']}")["verification"]["status"]


def delete(client: Client, done: dict[str, Any]) -> Shown:
    assert client.call("DELETE", checkpoint_path(done)).status_int == 202
    return lambda: client.get(checkpoint_path(done))["checkpoint"]["status"]


def copy(client: Client, done: dict[str, Any]) -> Shown:
    plan = {"id": done["protection_plan"]["id"], "provider_id": FILES_ID}
    (pair,) = copies(client, plan)
    path = checkpoint_path({"id": pair["checkpoint_copy_id"]}, MEMORY_ID)
    return lambda: client.get(path)["checkpoint"]["status"]


def order(client: Client, done: dict[str, Any]) -> Shown:
    meta = {"algorithm": "aes", "bit_length": 256, "mode": "cbc"}
    path = "/" + client.post("/v1/orders", {"type": "key", "meta": meta}, 202)["order_ref"].split("/", 3)[3]
    return lambda: client.get(path)["status"]


@pytest.mark.parametrize(
    ("ask", "end"),
    [
        (protect, "error"),
        (restore, "fail"),
        (verify, "fail"),
        (delete, "error-deleting"),
        (copy, "error"),
        (order, "ERROR"),
    ],
)
def test_it_ends_after_as_many_attempts_as_it_has(
    service: Service, ask: Callable[[Client, dict[str, Any]], Shown], end: str
) -> None:
    client = service.client(role="admin")
    made = client.checkpoint(client.plan(service.directory(), FILES_ID))
    work(service)
    done = client.get(checkpoint_path(made))["checkpoint"]
    shown = ask(client, done)
    (task,) = tasks(service)
    for _ in range(task.max_attempts):
        vanish(service, task)
        assert shown() != end
        hand_over(service)
    assert shown() == end
    (failed,) = tasks(service, TaskState.FAILED)
    assert (failed.id, failed.error_code, failed.attempts) == (task.id, "task.lost", task.max_attempts)
    with service.parts.database.read() as uow:
        assert uow.quotas.usages(client.project_id).get(OPERATIONS, 0) == 0
    assert tasks(service) == []


def vanish(service: Service, task: Task) -> None:
    """Claim it as a worker does that is killed at once."""
    now = service.parts.clock.now()
    with service.parts.database.write() as uow:
        assert uow.tasks.claim(task.id, "worker:gone", new_id(), LEASE_S, now, task.host)


def hand_over(service: Service) -> None:
    service.parts.reconciler.run_once()
    service.parts.clock.sleep(LEASE_S + 1)
    assert service.parts.reconciler.run_once() == 1
