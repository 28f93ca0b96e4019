"""What is done before a process says that it serves."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from protectd.cmd import readiness
from protectd.model.models import Plan
from protectd.model.unit_of_work import Database
from tests.fakes.service import Service

PATIENCE_S = 20.0


@pytest.fixture
def collector() -> Iterator[None]:
    interval_s = sys.getswitchinterval()
    yield
    gc.unfreeze()
    sys.setswitchinterval(interval_s)


def rows_of(service: Service) -> dict[str, int]:
    with service.parts.database.read() as uow:
        tables = Plan.metadata.sorted_tables
        return {table.name: uow.session.scalar(select(func.count()).select_from(table)) for table in tables}


def test_a_rehearsal_leaves_nothing(service: Service) -> None:
    before = rows_of(service)
    readiness.rehearse(service.parts)
    assert rows_of(service) == before


def test_a_rehearsal_sends_what_the_start_of_a_checkpoint_sends(service: Service) -> None:
    member = service.client()
    plan = member.plan(service.allowed)
    with service.counted_statements() as rehearsed:
        readiness.rehearse(service.parts)
    with service.counted_statements() as asked:
        member.checkpoint(plan)
    reading = {each for each in asked if each == "BEGIN" or "FROM tokens" in each}
    assert set(asked) - reading <= set(rehearsed)


def test_a_database_that_is_away_is_left_to_the_first_request(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(service.parts.__dict__, "database", Database(f"sqlite:///{tmp_path}/missing/x.db"))
        readiness.rehearse(service.parts)
    readiness.rehearse(service.parts)


def test_what_the_start_has_made_is_not_looked_through_again(collector: None) -> None:
    readiness.settle()
    assert gc.get_freeze_count() > 1000
    assert sys.getswitchinterval() == pytest.approx(readiness.SWITCH_S)


def test_waiting_ends_with_what_is_waited_for_or_when_it_is_given_up() -> None:
    done, never = threading.Event(), threading.Event()
    short = threading.Thread(target=done.set)
    short.start()
    readiness.wait_for(short, PATIENCE_S, lambda: False)
    assert done.is_set()
    long = threading.Thread(target=never.wait)
    long.start()
    readiness.wait_for(long, PATIENCE_S, lambda: True)
    readiness.wait_for(long, 0.01, lambda: False)
    assert long.is_alive()
    never.set()
    long.join()
