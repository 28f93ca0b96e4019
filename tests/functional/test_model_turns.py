"""Whose turn it is, and how many may run: on each database, with as many claimers as there can be."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from protectd.common.ids import new_id
from protectd.model.models import Task
from protectd.model.repositories.waiting import Claimer, Limits, NoRoom
from protectd.model.unit_of_work import Database
from tests.fakes import rows

pytest_plugins = ["tests.fakes.databases"]

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOST = "here"
A, B, C = "project-a", "project-b", "project-c"


def submit(
    database: Database, project_id: str, count: int = 1, weight: float = 1.0, **values: object
) -> None:
    with database.write() as uow:
        for _ in range(count):
            turn = uow.tasks.give_turn(project_id, weight)
            uow.tasks.add(rows.task(**({"project_id": project_id, "turn": turn} | values)))


def claimer(limits: Limits = Limits(), **values: object) -> Claimer:  # noqa: B008
    return Claimer(**({"owner": "o", "host": HOST, "lease_s": 60, "limits": limits} | values))


def claim(database: Database, by: Claimer | None = None, **values: object) -> Task | None:
    while True:
        try:
            with database.write() as uow:
                return uow.tasks.claim_next(by or claimer(), new_id(), NOW, **values)
        except NoRoom:
            continue


def finish(database: Database, task: Task) -> None:
    with database.write() as uow:
        assert uow.tasks.finish(task.id, task.lease_token or "", "done", NOW)


def served(database: Database, count: int) -> list[str]:
    """Projects in the order in which one worker serves them."""
    found = []
    for _ in range(count):
        task = claim(database)
        assert task is not None
        finish(database, task)
        found.append(task.project_id)
    return found


def test_tasks_of_one_project_go_in_the_order_of_their_requests(any_database):
    ids = []
    for number in range(5):
        ids.append(new_id())
        submit(any_database, A, id=ids[-1], created_at=NOW + timedelta(seconds=number))
    taken = []
    while (task := claim(any_database)) is not None:
        taken.append(task.id)
    assert taken == ids


def test_a_long_queue_delays_another_project_by_one_task(any_database):
    submit(any_database, A, 40)
    served(any_database, 5)
    submit(any_database, B)
    assert B in served(any_database, 2)


def test_projects_that_wait_take_turns(any_database):
    submit(any_database, A, 20)
    submit(any_database, B, 10)
    submit(any_database, C, 10)
    assert Counter(served(any_database, 30)) == {A: 10, B: 10, C: 10}


def test_a_heavier_project_gets_more_turns(any_database):
    submit(any_database, A, 30, weight=2.0)
    submit(any_database, B, 30)
    got = Counter(served(any_database, 30))
    assert abs(got[A] - 20) <= 1


def test_who_was_served_long_ago_owes_nothing(any_database):
    submit(any_database, A, 30)
    served(any_database, 30)
    submit(any_database, B, 5)
    submit(any_database, A)
    assert A in served(any_database, 2)


def test_a_task_for_another_host_or_a_later_time_is_passed_over(any_database):
    submit(any_database, A, host="elsewhere")
    submit(any_database, A, not_before=NOW + timedelta(seconds=1))
    submit(any_database, A, id="mine", host=HOST)
    task = claim(any_database)
    assert task is not None
    assert task.id == "mine"
    assert claim(any_database) is None


def test_a_task_in_hand_is_not_taken_again(any_database):
    submit(any_database, A, id="one")
    assert claim(any_database, but={"one"}) is None


def test_a_disabled_service_takes_nothing(any_database):
    submit(any_database, A)
    with any_database.write() as uow:
        service = uow.services.register(HOST, "protectd-worker", "topic")
        service.disabled = True
    by = claimer(service_id=service.id)
    assert claim(any_database, by) is None
    with any_database.write() as uow:
        uow.services.register(HOST, "protectd-worker", "topic").disabled = False
    assert claim(any_database, by) is not None


@pytest.mark.parametrize(
    ("limits", "scope"),
    [(Limits(per_project=2), "project_id"), (Limits(per_provider=2), "provider_id")],
)
def test_a_limit_is_exact_however_many_claim_at_once(any_database, limits, scope):
    shared = {"provider_id": new_id()}
    submit(any_database, A, 12, **shared)
    submit(any_database, B, 12, provider_id=new_id())
    most: Counter[str] = Counter()
    done: list[Task] = []
    lock = threading.Lock()
    running: Counter[str] = Counter()

    def worker(number: int) -> None:
        by = claimer(limits, owner=f"o{number}")
        idle = 0
        while idle < 40:
            task = claim(any_database, by)
            if task is None:
                idle += 1
                threading.Event().wait(0.01)
                continue
            idle = 0
            name = getattr(task, scope)
            with lock:
                running[name] += 1
                most[name] = max(most[name], running[name])
            threading.Event().wait(0.005)
            with lock:
                running[name] -= 1
            finish(any_database, task)
            with lock:
                done.append(task)

    with ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(worker, number) for number in range(6)]:
            future.result()
    assert max(most.values()) <= 2
    assert len({task.id for task in done}) == len(done) == 24


def test_many_claimers_take_each_task_once(any_database):
    submit(any_database, A, 30)
    submit(any_database, B, 30)

    def drain(number: int) -> list[str]:
        taken = []
        while (task := claim(any_database, claimer(owner=f"o{number}"))) is not None:
            taken.append(task.id)
        return taken

    with ThreadPoolExecutor(6) as pool:
        taken = [id for ids in pool.map(drain, range(6)) for id in ids]
    assert len(taken) == len(set(taken))
    assert len(taken) + _left(any_database) == 60


def _left(database: Database) -> int:
    """A claimer passes over what another is just taking, and may find nothing then."""
    count = 0
    while claim(database) is not None:
        count += 1
    return count


def test_turns_of_one_project_differ_however_many_ask_at_once(any_database):
    submit(any_database, A)

    def ask(number: int) -> None:
        submit(any_database, A)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(16)))
    with any_database.read() as uow:
        turns = [task.turn for task in uow.tasks.unsent(NOW + timedelta(days=365), 0, 100)]
    assert sorted(turns) == [float(number) for number in range(17)]


def test_a_task_that_has_to_wait_for_room_is_not_taken_out_of_turn_either(any_database):
    submit(any_database, A, 2, provider_id=new_id())
    by = claimer(Limits(per_project=1))
    first = claim(any_database, by)
    assert first is not None
    with any_database.read() as uow:
        (waiting,) = uow.tasks.unsent(NOW + timedelta(days=365), 0, 10)
    with pytest.raises(NoRoom, match=f"project:{A} runs 1"), any_database.write() as uow:
        uow.tasks.claim_this(waiting.id, by, new_id(), NOW)
    finish(any_database, first)
    with any_database.write() as uow:
        assert uow.tasks.claim_this(waiting.id, by, new_id(), NOW) is not None


def test_room_that_is_given_up_is_told_to_the_other_host(any_database):
    submit(any_database, A, id="there", host="elsewhere")
    submit(any_database, A, host=HOST)
    with any_database.read() as uow:
        found = uow.tasks.held_back(HOST, NOW)
    assert found is not None
    assert found.id == "there"


def test_a_message_that_is_used_up_makes_the_next_count_as_unsent(any_database):
    submit(any_database, A, id="one", sent_at=NOW, sent_count=1)
    with any_database.write() as uow:
        uow.tasks.unsend_next(NOW)
    with any_database.read() as uow:
        assert uow.tasks.get("one").sent_at is None
