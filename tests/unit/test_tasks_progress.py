from __future__ import annotations

import threading

import pytest

from protectd.common.errors import Cancelled
from protectd.common.progress import Counts
from protectd.tasks.errors import LeaseLost, Stopping
from protectd.tasks.progress import TaskProgress
from tests.fakes.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def stopping() -> threading.Event:
    return threading.Event()


@pytest.fixture
def progress(clock, stopping) -> TaskProgress:
    return TaskProgress(clock, stopping)


def test_there_is_no_picture_before_the_first_report(progress):
    assert progress.picture() is None


def test_nobody_knows_the_end_while_the_total_is_unknown(progress, clock):
    progress.report(Counts("scan", 0))
    clock.advance(1)
    progress.report(Counts("scan", 100))
    picture = progress.picture()
    assert (picture["rate_bytes_s"], picture["eta_s"], picture["total_bytes"]) == (100, None, None)


def test_the_speed_is_that_of_the_last_seconds(progress, clock):
    for second in range(20):
        progress.report(Counts("save", 1000 * second, 100_000))
        clock.advance(1)
    for _ in range(20):
        progress.report(Counts("save", 19_000, 100_000))
        clock.advance(1)
    assert progress.picture()["rate_bytes_s"] == 0


def test_a_new_phase_has_a_speed_of_its_own(progress, clock):
    progress.report(Counts("scan", 0))
    clock.advance(1)
    progress.report(Counts("scan", 10_000))
    progress.report(Counts("save", 0, 500))
    clock.advance(1)
    progress.report(Counts("save", 50, 500))
    assert (progress.picture()["rate_bytes_s"], progress.picture()["eta_s"]) == (50, 9)


def test_a_count_that_falls_is_no_negative_speed(progress, clock):
    progress.report(Counts("save", 100, 100))
    clock.advance(1)
    progress.report(Counts("save", 0, 100))
    assert progress.picture()["rate_bytes_s"] == 0


def test_a_check_raises_what_the_keeper_said_and_goes_on_raising_it(progress):
    progress.check()
    progress.end_with(LeaseLost(task_id="x"))
    for _ in range(2):
        with pytest.raises(LeaseLost):
            progress.check()


def test_a_process_that_stops_ends_its_tasks_as_if_cancelled(progress, stopping):
    stopping.set()
    with pytest.raises(Cancelled) as caught:
        progress.check()
    assert type(caught.value) is Stopping
