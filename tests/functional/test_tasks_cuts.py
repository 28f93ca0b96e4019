"""Tasks whose connection is lost at the COMMIT that ends them: the row tells whether they have ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from protectd.common.errors import Cancelled
from protectd.common.metrics import Metrics
from protectd.domain.quota import QuotaOptions, Quotas
from protectd.model.repositories.quotas import OPERATIONS
from protectd.model.states import TaskState
from protectd.model.unit_of_work import Database
from protectd.tasks.env import TaskEnv
from protectd.tasks.hold import TOGETHER
from protectd.tasks.noop import SIMULATED
from protectd.tasks.operations import makers
from protectd.tasks.run import Run
from tests.fakes import rows
from tests.fakes.clock import ManualClock
from tests.fakes.cuts import Line, When, line_to
from tests.fakes.databases import empty_database, left_empty, make_tables
from tests.fakes.tasks import CONTEXT, checkpoint_of, env_of, new_checkpoint, run_task, task_of

CUTS = pytest.mark.parametrize("cut", ["before", "after"])
AWAY_S = 5.0


class Counted(Metrics):
    """What was said of tasks."""

    def __init__(self) -> None:
        self.said: Counter[str] = Counter()

    def task_claimed(self, operation: str, waited_s: float) -> None:
        self.said["claimed"] += 1

    def task_ended(self, operation: str, outcome: str, taken_s: float) -> None:
        self.said[outcome] += 1

    def lease_lost(self, operation: str) -> None:
        self.said["lost"] += 1


class Healing(ManualClock):
    """Who sleeps for as long as the server is away finds it back."""

    line: Line | None = None
    left_s = AWAY_S

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.left_s -= seconds
        if self.line is not None and self.left_s <= 0:
            self.line.down.clear()


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def line(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with empty_database(request.param, tmp_path_factory.mktemp("none")) as url, line_to(url) as line:
        make_tables(url)
        yield line


@pytest.fixture
def database(line: Line) -> Iterator[Database]:
    """At the other end of the line."""
    line.down.clear()
    with left_empty(line.url) as database:
        yield database
        line.down.clear()


@pytest.fixture
def clock(line: Line) -> Healing:
    made = Healing()
    made.line = line
    return made


@pytest.fixture
def metrics() -> Counted:
    return Counted()


@pytest.fixture
def env(database: Database, clock: Healing, metrics: Counted) -> TaskEnv:
    return replace(env_of(database, clock), metrics=metrics)


def together(env: TaskEnv) -> TaskEnv:
    """As it is where tasks take no time."""
    made = replace(env, in_turn=True, is_brief=True)
    made.operations = makers(made, SIMULATED)
    return made


def operations(env: TaskEnv) -> int:
    """How many the project's quota says to be under way."""
    with env.database.read() as uow:
        return Quotas(uow, QuotaOptions()).usages(rows.PROJECT)[OPERATIONS]


@CUTS
@pytest.mark.parametrize("goes_down", [False, True])
def test_a_task_has_ended_once_whichever_end_of_its_commit_was_lost(
    env: TaskEnv, line: Line, metrics: Counted, cut: When, goes_down: bool
) -> None:
    checkpoint, ref = new_checkpoint(env.database, env.clock)
    run_task(env, ref, lambda run: line.arm(cut, goes_down=goes_down))
    task = task_of(env.database, ref)
    assert (task.state, task.outcome, task.attempts) == (TaskState.DONE, "available", 1)
    assert checkpoint_of(env.database, checkpoint).status == "available"
    assert metrics.said == {"claimed": 1, "done": 1}
    assert operations(env) == 0


@CUTS
def test_a_failure_is_told_once_whichever_end_of_its_commit_was_lost(
    env: TaskEnv, line: Line, metrics: Counted, cut: When
) -> None:
    checkpoint, ref = new_checkpoint(env.database, env.clock)

    def fail(run: Run) -> None:
        line.arm(cut)
        raise Cancelled

    run_task(env, ref, fail)
    task = task_of(env.database, ref)
    assert (task.state, task.error_code, task.attempts) == (TaskState.CANCELLED, Cancelled.code, 1)
    assert checkpoint_of(env.database, checkpoint).status == "error"
    assert metrics.said == {"claimed": 1, "cancelled": 1}
    assert operations(env) == 0


@CUTS
@pytest.mark.parametrize("goes_down", [False, True])
def test_tasks_that_end_together_have_ended_once_and_those_claimed_with_their_ends_go_on(
    env: TaskEnv, line: Line, clock: Healing, metrics: Counted, cut: When, goes_down: bool
) -> None:
    refs, env = [], together(env)
    for _ in range(TOGETHER + 3):
        refs.append(new_checkpoint(env.database, clock)[1])
        clock.advance(0.001)
    claimed = metrics.task_claimed

    def arm(operation: str, waited_s: float) -> None:
        """The claim is committed, and the ends are what comes next."""
        claimed(operation, waited_s)
        if metrics.said["claimed"] == TOGETHER:
            line.arm(cut, goes_down=goes_down)

    metrics.task_claimed = arm  # type: ignore[method-assign]
    env.operations["protect"]().process_and_suppress_exceptions(CONTEXT, refs[0].task_id)
    tasks = [task_of(env.database, ref) for ref in refs]
    assert {(task.state, task.attempts) for task in tasks} == {(TaskState.DONE, 1)}
    assert metrics.said == {"claimed": len(refs), "done": len(refs)}
    assert operations(env) == 0


def test_what_another_has_ended_is_not_taken_for_an_own_end(env: TaskEnv, metrics: Counted) -> None:
    """The row bears the other's token."""
    checkpoint, ref = new_checkpoint(env.database, env.clock)

    def lose(run: Run) -> None:
        with env.database.write() as uow:
            uow.tasks.get(ref.task_id).lease_token = "of another"
        with env.database.write() as uow:
            assert uow.tasks.finish(ref.task_id, "of another", TaskState.DONE, env.clock.now())

    run_task(env, ref, lose)
    with env.database.read() as uow:
        assert uow.tasks.was_finished(ref.task_id, "of another")
    assert metrics.said == {"claimed": 1, "lost": 1}
    assert checkpoint_of(env.database, checkpoint).status == "protecting"
