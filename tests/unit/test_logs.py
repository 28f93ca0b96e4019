"""Lines of the log: one an event, and what each is about."""

from __future__ import annotations

import io
import json
import logging
import os
import stat
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from protectd.cmd.logs import JsonLines, LogFile, TextLines, TrailFilter
from protectd.common.trail import carried, names, trail

LOG = logging.getLogger("tests.some.module")


class Written:
    """What a handler with one of the formatters has written."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self._stream = io.StringIO()
        self.handler = logging.StreamHandler(self._stream)
        self.handler.setFormatter(formatter)
        self.handler.addFilter(TrailFilter())

    def lines(self) -> list[str]:
        return self._stream.getvalue().splitlines()


def written(formatter: logging.Formatter) -> Iterator[Written]:
    made = Written(formatter)
    LOG.addHandler(made.handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    try:
        yield made
    finally:
        LOG.removeHandler(made.handler)
        LOG.propagate = True


@pytest.fixture
def text() -> Iterator[Written]:
    yield from written(TextLines())


@pytest.fixture
def objects() -> Iterator[Written]:
    yield from written(JsonLines("protectd-worker"))


def test_a_line_of_text_names_what_it_is_about_unless_it_says_so_itself(text: Written) -> None:
    LOG.info("nothing in particular")
    with trail(request_id="req-1", task_id="task-1", operation="protect"):
        LOG.info("a snapshot is stored")
        LOG.info("task-1: protect begins")
    plain, between, telling = text.lines()
    assert plain.endswith("tests.some.module: nothing in particular")
    assert between.endswith(": a snapshot is stored [req-1 task-1 protect]")
    assert telling.endswith(": task-1: protect begins [req-1]")


def test_an_object_has_every_field_also_where_there_is_nothing_to_say(objects: Written) -> None:
    LOG.info("found %d", 3)
    (line,) = objects.lines()
    found = json.loads(line)
    assert datetime.fromisoformat(found.pop("time")).tzinfo is not None
    assert isinstance(found.pop("process"), int) and found.pop("thread")
    assert found == {
        "level": "INFO",
        "logger": "tests.some.module",
        "message": "found 3",
        "service": "protectd-worker",
        "request_id": None,
        "task_id": None,
        "operation": None,
    }


def test_an_object_is_one_line_whatever_is_in_it(objects: Written) -> None:
    LOG.warning("two\nlines and \u2028 a \udc80 stray byte")
    try:
        raise ValueError("no\nthing")
    except ValueError:
        LOG.exception("broke off")
    first, second = map(json.loads, objects.lines())
    assert first["message"] == "two\nlines and \u2028 a \udc80 stray byte"
    assert "ValueError: no\nthing" in second["exception"]


def test_an_inner_block_adds_to_the_outer_one_and_leaves_it_as_it_was() -> None:
    with trail(request_id="req-1"):
        with trail(task_id="task-1"):
            assert names() == {"request_id": "req-1", "task_id": "task-1"}
        assert names() == {"request_id": "req-1"}
    assert names() == {}


def test_a_thread_is_about_nothing_unless_it_carries_what_its_maker_was_about() -> None:
    seen = []
    with trail(task_id="task-1"):
        for target in (lambda: seen.append(dict(names())), carried(lambda: seen.append(dict(names())))):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert seen == [{}, {"task_id": "task-1"}]


def test_a_file_that_was_moved_away_is_begun_anew_and_is_nobody_else_s(tmp_path: Path) -> None:
    """Also by a process that has no umask."""
    file, former = tmp_path / "protectd.log", os.umask(0)
    try:
        handler = LogFile(str(file))
        for name in ("first", "second"):
            handler.emit(logging.makeLogRecord({"msg": name}))
            assert stat.S_IMODE(file.stat().st_mode) == 0o640
            file.rename(tmp_path / name)
        handler.close()
    finally:
        os.umask(former)
    assert (tmp_path / "first").read_text() == "first\n"
    assert (tmp_path / "second").read_text() == "second\n"


def test_a_full_disk_is_told_once_and_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    handler = LogFile("/dev/full")
    for _ in range(3):
        handler.handle(logging.makeLogRecord({"msg": "something", "levelno": logging.INFO}))
    handler.stream = io.StringIO()
    assert capsys.readouterr().err == "/dev/full cannot be written: No space left on device\n"
