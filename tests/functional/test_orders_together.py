"""Orders of keys go together as tasks that take no time do, beside others that do, on each database."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from oslo_config import cfg
from sqlalchemy import event, text

from protectd.domain.key_manager.orders import Orders
from protectd.domain.quota import QuotaOptions, Quotas
from protectd.domain.secrets import Secrets
from protectd.domain.submission import Submission, SubmitOptions, reference
from protectd.engine.reconciler import Reconciler
from protectd.model.models import Order, Secret, Task
from protectd.model.repositories.quotas import OPERATIONS, ORDERS, SECRETS
from protectd.model.repositories.waiting import Limits
from protectd.model.unit_of_work import Database
from protectd.plugin.secret_stores.crypto import CryptoStore
from protectd.queue.client import TaskClient
from protectd.queue.contract import TaskRef, message_of
from protectd.queue.dispatcher import QUEUE, Dispatcher, operation_modes
from protectd.queue.server import Tasks
from protectd.queue.transport import make_transport
from protectd.tasks.env import TaskEnv
from protectd.tasks.hold import TOGETHER
from protectd.tasks.noop import SimulatedProtect
from protectd.tasks.operations import TASKS, makers
from protectd.tasks.order import BeginTypeOrder
from protectd.tasks.run import Run
from tests.fakes import rows
from tests.fakes.clock import ManualClock
from tests.fakes.statements import counted
from tests.fakes.tasks import CONTEXT, env_of, new_checkpoint

pytest_plugins = ["tests.fakes.databases"]

AES = {"algorithm": "aes", "bit_length": 256, "mode": "cbc", "name": "k"}
EC = {"algorithm": "ec", "bit_length": 256, "passphrase": "correct horse"}


PATIENCE_S = 300.0


class Killed(BaseException):
    """The process is gone: nothing of it is told to anybody any more."""


class Making(BeginTypeOrder):
    """Takes down what it makes, and does what a test says in between."""

    made: list[str]
    work: Callable[[Run], None]

    def handle_processing(self, run: Run) -> None:
        super().handle_processing(run)
        self.made.append(run.task_id)
        type(self).work(run)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def making() -> type[Making]:
    class Own(Making):
        made: list[str] = []
        work = staticmethod(lambda run: None)

    return Own


@pytest.fixture
def env(any_database: Database, clock: ManualClock, making: type[Making]) -> TaskEnv:
    secrets = Secrets({"crypto": CryptoStore(os.urandom(32))}, "crypto")
    made = replace(env_of(any_database, clock), in_turn=True, orders=Orders(secrets, "service"))
    return with_operations(made, making)


def with_operations(env: TaskEnv, *instead: type) -> TaskEnv:
    """Checkpoints are simulated, everything else is real."""
    instead = (*instead, SimulatedProtect)
    names = {each.operation for each in instead}
    env.operations = makers(env, [each for each in TASKS if each.operation not in names] + list(instead))
    return env


def ordered(env: TaskEnv, count: int, type: str = "key", **meta: object) -> list[TaskRef]:
    """As requests leave them."""
    refs = []
    for _ in range(count):
        with env.database.write() as uow:
            wanted, quotas = meta or AES, Quotas(uow, QuotaOptions())
            made = env.orders.create(uow, quotas, rows.PROJECT, "u", type, wanted, env.clock.now())
            submission = Submission(uow, CONTEXT, env.clock, SubmitOptions(max_attempts=3))
            submission.process_type_order(made)
        refs += submission.submitted
        env.clock.advance(0.001)
    return refs


def hear(env: TaskEnv, ref: TaskRef) -> None:
    """As of a message, by the same way."""
    getattr(Tasks(env.operations), ref.method)(message_of(ref), ref.task_id)


def task_of(env: TaskEnv, ref: TaskRef) -> Task:
    with env.database.read() as uow:
        return uow.tasks.get(ref.task_id)


def order_of(env: TaskEnv, ref: TaskRef) -> Order:
    with env.database.read() as uow:
        return uow.orders.get(uow.tasks.get(ref.task_id).entity_id, include_deleted=True)


def states(env: TaskEnv, refs: list[TaskRef]) -> list[str]:
    return [task_of(env, ref).state for ref in refs]


def statuses(env: TaskEnv, refs: list[TaskRef]) -> list[str]:
    return [order_of(env, ref).status for ref in refs]


def usage(env: TaskEnv) -> dict[str, int]:
    with env.database.read() as uow:
        return Quotas(uow, QuotaOptions()).usages(rows.PROJECT)


def secrets_of(env: TaskEnv) -> list[Secret]:
    with env.database.read() as uow:
        return uow.session.query(Secret).filter(Secret.project_id == rows.PROJECT).all()


def assert_each_has_its_key(env: TaskEnv, refs: list[TaskRef]) -> None:
    found = [order_of(env, ref) for ref in refs]
    assert [order.status for order in found] == ["ACTIVE"] * len(refs)
    assert {order.secret_id for order in found} == {secret.id for secret in secrets_of(env)}
    assert [order.secret_id for order in found] == [order.id for order in found]
    with env.database.read() as uow:
        plain = [env.orders._secrets.open(uow, order.secret_id, rows.PROJECT) for order in found]
    assert {len(each) for each in plain} == {32} and len(set(plain)) == len(refs)
    assert usage(env) | {SECRETS: len(refs), ORDERS: len(refs), OPERATIONS: 0} == usage(env)


def test_one_message_makes_the_keys_of_all_orders_in_their_turn(env, making):
    refs = ordered(env, 5)
    hear(env, refs[3])
    assert making.made == [ref.task_id for ref in refs]
    assert_each_has_its_key(env, refs)
    for ref in refs:
        task = task_of(env, ref)
        assert (task.state, task.outcome, task.simulated, task.attempts) == ("done", "ACTIVE", False, 1)
        assert (task.lease_owner, task.lease_expires_at) == (None, None)
    for secret in secrets_of(env):
        said = (secret.name, secret.algorithm, secret.bit_length, secret.mode, secret.creator_id)
        assert said == ("k", "aes", 256, "cbc", "u")
        assert (secret.secret_type, secret.content_type) == ("symmetric", "application/octet-stream")


def test_what_is_brief_is_not_looked_at_one_by_one_nor_looked_for_twice(env):
    hear(env, ordered(env, 1)[0])
    refs = ordered(env, 3)
    with counted(env.database) as statements:
        hear(env, refs[0])
    assert statuses(env, refs) == ["ACTIVE"] * 3
    assert len([each for each in statements if each.startswith(("SELECT", "UPDATE", "INSERT"))]) == 9


def test_many_take_as_many_statements_as_two(env):
    hear(env, ordered(env, 1)[0])  # makes the project's key

    def sent(count: int) -> int:
        refs = ordered(env, count)
        with counted(env.database) as statements:
            hear(env, refs[0])
        assert statuses(env, refs) == ["ACTIVE"] * count
        return len(statements)

    assert sent(TOGETHER) == sent(2)


def test_orders_of_several_projects_go_together(env):
    refs = ordered(env, 2)
    with env.database.write() as uow:
        uow.orders.get(task_of(env, refs[1]).entity_id).project_id = rows.OTHER_PROJECT
    hear(env, refs[0])
    assert statuses(env, refs) == ["ACTIVE"] * 2
    with env.database.read() as uow:
        owners = [uow.secrets.get(order_of(env, ref).secret_id).project_id for ref in refs]
        used = [Quotas(uow, QuotaOptions()).usages(each)[SECRETS] for each in owners]
    assert (owners, used) == ([rows.PROJECT, rows.OTHER_PROJECT], [1, 1])


def test_a_pair_of_keys_and_a_checkpoint_keep_a_thread_of_their_own(env, clock, making):
    """They take their time; whoever hears of a key does not begin them, though it is their turn."""
    (pair,), keys = ordered(env, 1, "asymmetric", **EC), ordered(env, 3)
    checkpoint = new_checkpoint(env.database, clock)[1]
    hear(env, keys[0])
    assert states(env, [pair, checkpoint, *keys]) == ["pending"] * 2 + ["done"] * 3
    hear(env, checkpoint)
    assert states(env, [pair, checkpoint]) == ["done"] * 2
    assert making.made[-1] == pair.task_id
    assert order_of(env, pair).container_id is not None


def test_keys_go_together_whatever_was_heard_of(env, clock, making):
    """A message of an older process says of none that it is brief."""
    refs = [*ordered(env, 1), new_checkpoint(env.database, clock)[1], *ordered(env, 2)]
    hear(env, replace(refs[1], brief=False))
    assert states(env, refs) == ["done"] * 4
    assert len({task_of(env, ref).started_at for ref in (refs[0], *refs[2:])}) == 1


def test_a_message_of_a_key_that_was_made_here_asks_the_database_nothing(env):
    refs = ordered(env, 3)
    hear(env, refs[0])
    with counted(env.database) as statements:
        for ref in refs:
            hear(env, ref)
    assert statements == []


def test_with_a_limit_each_goes_alone(env, making):
    limited = replace(env, options=replace(env.options, limits=Limits(per_project=1)))
    with_operations(limited, making)
    refs = ordered(env, 3)
    running: list[int] = []
    making.work = staticmethod(lambda run: running.append(states(env, refs).count("running")))
    hear(limited, refs[0])
    assert_each_has_its_key(env, refs)
    assert running == [1, 1, 1]


def test_one_that_fails_does_so_alone_and_leaves_no_secret(env, making):
    refs = ordered(env, 3)

    def fail(run: Run) -> None:
        if run.task_id == refs[1].task_id:
            raise ZeroDivisionError

    making.work = staticmethod(fail)
    hear(env, refs[0])
    assert states(env, refs) == ["done", "failed", "done"]
    assert statuses(env, refs) == ["ACTIVE", "ERROR", "ACTIVE"]
    assert {secret.id for secret in secrets_of(env)} == {order_of(env, refs[n]).id for n in (0, 2)}
    assert usage(env)[SECRETS] == 2


def test_one_that_is_deleted_meanwhile_gets_no_key_and_the_others_do(env, making):
    refs = ordered(env, 3)

    def delete(run: Run) -> None:
        if run.task_id == refs[1].task_id and len(making.made) == 2:
            with env.database.write() as uow:
                env.orders.delete(uow, uow.orders.get(run.entity_id, lock=True))

    making.work = staticmethod(delete)
    hear(env, refs[0])
    assert states(env, refs) == ["done", "cancelled", "done"]
    assert statuses(env, refs) == ["ACTIVE", "PENDING", "ACTIVE"]
    assert {secret.id for secret in secrets_of(env)} == {order_of(env, refs[n]).id for n in (0, 2)}


def test_one_whose_lease_is_lost_keeps_no_secret_and_the_others_do(env, making):
    refs = ordered(env, 3)

    def lose(run: Run) -> None:
        if run.task_id == refs[1].task_id:
            with env.database.write() as uow:
                uow.tasks.get(run.task_id).lease_token = "of another"

    making.work = staticmethod(lose)
    hear(env, refs[0])
    assert states(env, refs) == ["done", "running", "done"]
    assert {secret.id for secret in secrets_of(env)} == {order_of(env, refs[n]).id for n in (0, 2)}


def test_as_many_workers_as_there_can_be_make_each_key_once(env, making):
    refs = ordered(env, 60)
    workers = [replace(env, owner=f"worker:{n}", hands=type(env.hands)()) for n in range(4)]
    for worker in workers:
        worker.errands = type(env.errands)()
        with_operations(worker, making)
    threads = [
        threading.Thread(target=lambda w=worker, own=refs[n::4]: [hear(w, ref) for ref in own])
        for n, worker in enumerate(workers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_each_has_its_key(env, refs)
    assert [task_of(env, ref).attempts for ref in refs] == [1] * 60


def test_what_is_brief_is_found_by_index_among_much_that_is_not(env, clock):
    with env.database.write() as uow:
        uow.tasks.insert_all([rows.task(turn=float(n), brief=n % 100 == 99) for n in range(1000)])
        every = "TABLE tasks" if env.database.engine.dialect.name == "mysql" else "tasks"
        uow.session.execute(text(f"ANALYZE {every}"))
    steps: list[str] = []
    explain = "EXPLAIN QUERY PLAN" if env.database.engine.dialect.name == "sqlite" else "EXPLAIN"

    def look(connection, cursor, statement, values, *rest) -> None:
        if "ORDER BY" in statement:
            beside = connection.connection.cursor()
            beside.execute(f"{explain} {statement}", values)
            steps.extend(map(str, beside.fetchall()))

    event.listen(env.database.engine, "before_cursor_execute", look)
    try:
        with env.database.write() as uow:
            taken = uow.tasks.claim_several(5, env.claimer, "token", clock.now(), only_brief=True)
    finally:
        event.remove(env.database.engine, "before_cursor_execute", look)
    with env.database.read() as uow:
        assert [uow.tasks.get(task.id).turn for task in taken] == [99.0, 199.0, 299.0, 399.0, 499.0]
    assert "ix_tasks_state_brief_turn_created_at" in " ".join(steps)


class Told(TaskClient):
    """Takes down what would be sent."""

    def __init__(self) -> None:
        conf = cfg.ConfigOpts()
        conf([], project="protectd")
        super().__init__(make_transport(conf, "fake://"), publish_budget_s=PATIENCE_S, gather_s=PATIENCE_S)
        self.told: list[tuple[Mapping[str, object], str]] = []

    def process_type_order(self, context, task_id, *, host=None) -> None:
        self.told.append((context, task_id))


def test_one_message_stands_for_what_comes_within_a_moment(env):
    """Even where it names a task that is over, for one that is told of earlier may have come later."""
    client = Told()
    modes = operation_modes(QUEUE, {})
    dispatcher = Dispatcher(
        modes, database=env.database, clock=env.clock, client=client, tasks=None, host=env.host
    )
    first, slow = ordered(env, 2)
    dispatcher.dispatch([first])
    sent = threading.Event()
    client.hand_over(sent.set)
    assert sent.wait(PATIENCE_S)
    hear(env, first)
    assert states(env, [first, slow]) == ["done", "done"]
    later = ordered(env, 2)
    dispatcher.dispatch([*later, slow])
    dispatcher.close(PATIENCE_S)
    (_, told), (message, last) = client.told
    assert (told, last) == (first.task_id, slow.task_id)
    Tasks(env.operations).process_type_order(message, last)
    assert_each_has_its_key(env, [first, slow, *later])
    marks = [task_of(env, ref).sent_at for ref in (slow, *later)]
    assert marks == [None] * 3, "done ones need no mark"


@contextmanager
def killed_at(database: Database, number: int) -> Iterator[list[str]]:
    """The process ends before this statement or commit, counted from 0; the server undoes what was open."""
    sent: list[str] = []

    def step(what: str) -> None:
        if len(sent) >= number:
            raise Killed
        sent.append(what)

    def statement(connection, element, *rest) -> None:
        step(str(element))

    def commit(connection) -> None:
        step("commit")

    # Not `before_cursor_execute`: what is raised there counts as an error of the connection.
    event.listen(database.engine, "before_execute", statement)
    event.listen(database.engine, "commit", commit)
    try:
        yield sent
    finally:
        event.remove(database.engine, "before_execute", statement)
        event.remove(database.engine, "commit", commit)
        database.dispose()


def start_anew(env: TaskEnv, clock: ManualClock) -> None:
    """The next boot: what the former one held is handed over, and the relay says again what waits."""
    env.errands, env.hands = type(env.errands)(), type(env.hands)()
    with env.database.write() as uow:
        uow.tasks.fence_owner(env.owner, clock.now())
    Reconciler(env.database, clock, env.operations).lost()
    with env.database.read() as uow:
        waiting = [reference(task) for task in uow.session.query(Task).filter(Task.state == "pending")]
    for ref in waiting:
        hear(env, ref)


def test_a_worker_that_is_killed_before_any_statement_loses_no_key_and_doubles_none(env, clock):
    hear(env, ordered(env, 1)[0])
    made, number, killed = 1, 0, True
    while killed:
        refs = ordered(env, 3)
        with killed_at(env.database, number) as sent, suppress(Killed):
            hear(env, refs[0])
        start_anew(env, clock)
        assert states(env, refs) == ["done"] * 3, f"killed after {sent}"
        made, killed, number = made + len(refs), len(sent) == number, number + 1
    assert number > 8
    assert usage(env)[SECRETS] == len(secrets_of(env)) == made
    with env.database.read() as uow:
        assert {order.status for order in uow.session.query(Order)} == {"ACTIVE"}
        assert {order.secret_id for order in uow.session.query(Order)} == {s.id for s in secrets_of(env)}
