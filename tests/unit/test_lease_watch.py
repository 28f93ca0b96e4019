"""The watch over leases: what takes its time is started, what ends at once costs no thread."""

from __future__ import annotations

import threading

from protectd.tasks.lease_watch import LeaseWatch

PATIENCE_S = 20.0


class Late:
    def __init__(self) -> None:
        self.started = threading.Event()
        self.times = 0

    def start(self) -> None:
        self.times += 1
        self.started.set()


def test_what_stays_is_started_once() -> None:
    watch, late = LeaseWatch(), Late()
    watch.add(late, 0.01)
    assert late.started.wait(PATIENCE_S)
    watch.remove(late)
    assert late.times == 1


def test_what_is_removed_in_time_is_not_started() -> None:
    watch, gone, later = LeaseWatch(), Late(), Late()
    watch.add(gone, 0.05)
    watch.remove(gone)
    watch.add(later, 0.1)
    assert later.started.wait(PATIENCE_S)
    assert gone.times == 0


def test_who_is_due_sooner_does_not_wait_for_who_is_due_later() -> None:
    watch, patient, hasty = LeaseWatch(), Late(), Late()
    watch.add(patient, 10 * PATIENCE_S)
    watch.add(hasty, 0.01)
    assert hasty.started.wait(PATIENCE_S)
    assert patient.times == 0


def test_many_at_once_are_each_started() -> None:
    watch, all_of_them = LeaseWatch(), [Late() for _ in range(200)]
    for late in all_of_them:
        watch.add(late, 0.01)
    assert all(late.started.wait(PATIENCE_S) for late in all_of_them)
    assert [late.times for late in all_of_them] == [1] * 200
