"""Many writers on one database, threads and processes, without one error."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from protectd.model.engine import make_engine
from protectd.model.errors import DatabaseContended, DatabaseUnavailable
from protectd.model.models import Task
from protectd.model.repositories.gates import GateRepository
from protectd.model.resting import FRESH_S
from protectd.model.unit_of_work import Database, UnitOfWork
from tests.fakes import rows

pytest_plugins = ["tests.fakes.databases"]

THREADS = 8
PROCESSES = 2
ROUNDS = 12

COUNT = """
import sys
from protectd.model.unit_of_work import Database
from tests.functional.test_model_concurrency import count_up

count_up(Database(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
"""


def count_up(database: Database, plan_id: str, rounds: int) -> None:
    """Read, think, write: what a deferred transaction of SQLite fails at, whatever its timeout."""
    for _ in range(rounds):
        with database.read() as uow:
            uow.plans.get(plan_id)
        with database.write() as uow:
            plan = uow.plans.get(plan_id, lock=True)
            plan.parameters = {"count": plan.parameters["count"] + 1}
            uow.tasks.add(rows.task())


def test_eight_threads_and_two_processes_write_without_one_error(any_database: Database) -> None:
    with any_database.write() as uow:
        plan_id = uow.plans.add(rows.plan(parameters={"count": 0})).id
    url = any_database.engine.url.render_as_string(hide_password=False)
    arguments = [sys.executable, "-c", COUNT, url, plan_id, str(ROUNDS)]
    others = [subprocess.Popen(arguments, stderr=subprocess.PIPE) for _ in range(PROCESSES)]
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(count_up, any_database, plan_id, ROUNDS) for _ in range(THREADS)]:
            done.result()
    assert [other.communicate()[1] for other in others] == [b""] * PROCESSES
    assert [other.returncode for other in others] == [0] * PROCESSES
    with any_database.read() as uow:
        assert uow.plans.get(plan_id).parameters == {"count": (THREADS + PROCESSES) * ROUNDS}
        assert uow.session.query(Task).count() == (THREADS + PROCESSES) * ROUNDS


def test_daemons_of_one_name_that_start_at_once_share_a_row(any_database: Database) -> None:
    for name in ("protectd-worker", "protectd-engine", "protectd-api"):
        start = threading.Barrier(THREADS)

        def register(_: int, name: str = name, start: threading.Barrier = start) -> int:
            start.wait()
            with any_database.write() as uow:
                return uow.services.register("host", name).id

        with ThreadPoolExecutor(THREADS) as pool:
            assert len(set(pool.map(register, range(THREADS)))) == 1


def test_many_processes_may_open_a_new_sqlite_file_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    opened = "import sys; from protectd.model.migrate import upgrade; upgrade(sys.argv[1])"
    others = [subprocess.Popen([sys.executable, "-c", opened, url], stderr=subprocess.PIPE) for _ in range(3)]
    assert [(other.communicate()[1], other.returncode) for other in others] == [(b"", 0)] * 3


def test_a_reader_is_not_held_up_by_a_writer(any_database: Database) -> None:
    with any_database.write() as writer:
        plan = writer.plans.add(rows.plan())
        with any_database.read() as reader:
            assert reader.plans.find(plan.id) is None


def test_a_deletion_and_a_restore_of_one_checkpoint_wait_for_each_other(any_database: Database) -> None:
    """Both lock the checkpoint's row before they look, so one of them sees what the other did."""
    for _ in range(6):
        with any_database.write() as uow:
            checkpoint = uow.checkpoints.add(
                rows.checkpoint(uow.plans.add(rows.plan()), status="available")
            ).id
        with ThreadPoolExecutor(2) as pool:
            jobs: list[Callable[[Database, str], bool]] = [_delete, _restore]
            done = [pool.submit(job, any_database, checkpoint) for job in jobs]
        assert [job.result() for job in done].count(True) == 1


def _delete(database: Database, checkpoint_id: str) -> bool:
    with database.write() as uow:
        checkpoint = uow.checkpoints.get(checkpoint_id, lock=True)
        if uow.checkpoints.pinned(checkpoint_id):
            return False
        checkpoint.status = "deleting"
        return True


def _restore(database: Database, checkpoint_id: str) -> bool:
    with database.write() as uow:
        if uow.checkpoints.get(checkpoint_id, lock=True).status != "available":
            return False
        uow.restores.add(rows.restore(checkpoint_id=checkpoint_id))
        return True


@pytest.mark.parametrize("any_url", ["postgresql", "mariadb"], indirect=True)
def test_a_lost_connection_fails_one_unit_of_work_and_the_next_one_connects_anew(
    any_database: Database,
) -> None:
    with any_database.write() as uow:
        kept = uow.plans.add(rows.plan()).id
    with pytest.raises(DatabaseUnavailable), any_database.write() as uow:
        lost = uow.plans.add(rows.plan()).id
        _kill(any_database, _number(any_database, uow))
        uow.plans.get(kept)
    with any_database.read() as uow:
        assert uow.plans.find(kept) is not None
        assert uow.plans.find(lost) is None


@pytest.mark.parametrize("any_url", ["postgresql", "mariadb"], indirect=True)
def test_idle_connections_that_were_cut_off_are_not_noticed(any_database: Database) -> None:
    """Those that have rested for so long that they are tried before use."""
    with any_database.read() as idle:
        number = _number(any_database, idle)
    _kill(any_database, number)
    time.sleep(FRESH_S + 0.1)
    with any_database.read() as one, any_database.read() as other:
        assert one.plans.find("x") is None and other.plans.find("x") is None


def _number(database: Database, uow: UnitOfWork) -> int:
    """Which connection of the server a unit of work has."""
    postgresql = database.engine.dialect.name == "postgresql"
    asked = "SELECT pg_backend_pid()" if postgresql else "SELECT connection_id()"
    return int(uow.session.scalar(text(asked)))


def _kill(database: Database, number: int) -> None:
    """As a restart of the server would."""
    postgresql = database.engine.dialect.name == "postgresql"
    kill = "SELECT pg_terminate_backend(:number)" if postgresql else "KILL :number"
    engine = make_engine(database.engine.url)
    with engine.connect() as connection:
        connection.execute(text(kill), {"number": number})
    engine.dispose()


@pytest.mark.parametrize("any_url", ["postgresql", "mariadb"], indirect=True)
def test_of_two_that_wait_for_each_other_one_is_told_and_the_other_comes_through(
    any_database: Database,
) -> None:
    with any_database.write() as uow:
        plans = [uow.plans.add(rows.plan()).id for _ in range(2)]
    both_hold_one = threading.Barrier(2)

    def lock(order: list[str]) -> bool:
        try:
            with any_database.write() as uow:
                uow.plans.get(order[0], lock=True)
                both_hold_one.wait()
                return uow.plans.get(order[1], lock=True).id == order[1]
        except DatabaseContended:
            return False

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(lock, [plans, plans[::-1]])) == [False, True]


@pytest.mark.parametrize("any_url", ["postgresql", "mariadb"], indirect=True)
def test_a_savepoint_that_went_with_its_transaction_is_told_alike(any_database: Database) -> None:
    with any_database.write() as uow:
        plans = [uow.plans.add(rows.plan()).id for _ in range(2)]
    both_hold_one = threading.Barrier(2)

    def lock(order: list[str]) -> bool:
        with any_database.write() as uow:
            uow.plans.get(order[0], lock=True)
            both_hold_one.wait()
            try:
                with uow.session.begin_nested():
                    uow.plans.get(order[1], lock=True)
            except DatabaseContended:
                return False
            return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(lock, [plans, plans[::-1]])) == [False, True]


@pytest.mark.parametrize("any_url", ["postgresql", "mariadb"], indirect=True)
def test_all_who_come_to_a_new_gate_at_once_pass_one_by_one(any_database: Database) -> None:
    together, inside = threading.Barrier(8, timeout=60), threading.Lock()

    def passes(_: int) -> None:
        for number in range(20):
            together.wait()
            with any_database.write() as uow:
                GateRepository(uow.session).lock([f"gate {number}"])
                assert inside.acquire(blocking=False), "another is inside"
                inside.release()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(passes, range(8)))
