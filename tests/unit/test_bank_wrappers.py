"""What stands round a bank: retries, time-outs, limits and traces."""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.plugin.banks.memory import MemoryBank
from protectd.plugin.base import (
    BankObject,
    BankObjectNotFound,
    BankPlugin,
    BankRefused,
    BankUnavailable,
    Buffer,
)
from protectd.plugin.wrappers.abandon import within
from protectd.plugin.wrappers.meter import Meter
from protectd.plugin.wrappers.options import split, wrapped
from protectd.plugin.wrappers.retrying import Backoff, RetryingBank, full_jitter
from protectd.plugin.wrappers.throttled import ThrottledBank
from protectd.plugin.wrappers.timed import TimedBank, TimeLimit
from protectd.plugin.wrappers.traced import BankCall, TracedBank
from protectd.plugin.wrappers.wrapper import BankWrapper
from tests.fakes.faults import FaultyBank

Call = Callable[[BankPlugin], object]

CALLS: dict[str, Call] = {
    "prepare": lambda bank: bank.prepare(),
    "put": lambda bank: bank.put("index/aa", b"x"),
    "get": lambda bank: bank.get("index/aa"),
    "read_into": lambda bank: bank.read_into("index/aa", memoryview(bytearray(1))),
    "size": lambda bank: bank.size("index/aa"),
    "list": lambda bank: list(bank.list("index")),
    "delete": lambda bank: bank.delete("index/aa"),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


class Broken(BankWrapper):
    """Every call fails so many times, and a listing in its middle."""

    def __init__(self, times: int, error: Exception | None = None) -> None:
        super().__init__(MemoryBank())
        self.bank.put("index/aa", b"x")
        self.bank.put("index/bb", b"x")
        self.left = times
        self.error = error or BankUnavailable(reason="broken")

    def _fail(self) -> None:
        self.left -= 1
        if self.left >= 0:
            raise self.error

    def prepare(self) -> None:
        self._fail()

    def put(self, key: str, data: Buffer) -> None:
        self._fail()

    def get(self, key: str, offset: int = 0, length: int = -1) -> bytes:
        self._fail()
        return super().get(key, offset, length)

    def read_into(self, key: str, buffer: memoryview, offset: int = 0, *, fresh: bool = False) -> int:
        self._fail()
        return super().read_into(key, buffer, offset, fresh=fresh)

    def size(self, key: str) -> int:
        self._fail()
        return super().size(key)

    def list(self, prefix: str) -> Iterator[BankObject]:
        found = super().list(prefix)
        yield next(found)
        self._fail()
        yield from found

    def delete(self, key: str) -> None:
        self._fail()


# --- retries ---


def retrying(bank: BankPlugin, retries: int, pauses: list[float] | None = None) -> RetryingBank:
    """With pauses that are noted, not slept, each as long as it may be."""
    sleep = (pauses if pauses is not None else []).append
    return RetryingBank(bank, Backoff(retries, 1.0, 5.0), jitter=lambda limit_s: limit_s, sleep=sleep)


@every_call
def test_a_call_is_tried_until_it_works(call: Call) -> None:
    pauses: list[float] = []
    call(retrying(Broken(4), 4, pauses))
    assert pauses == [1.0, 2.0, 4.0, 5.0]


@every_call
def test_the_last_try_raises_what_it_got(call: Call) -> None:
    broken = Broken(9)
    with pytest.raises(BankUnavailable):
        call(retrying(broken, 3))
    assert broken.left == 5


@every_call
@pytest.mark.parametrize("error", [BankRefused(key="x", reason="full"), BankObjectNotFound(key="x")])
def test_a_no_is_not_asked_again(call: Call, error: Exception) -> None:
    broken = Broken(2, error)
    with pytest.raises(type(error)):
        call(retrying(broken, 3))
    assert broken.left == 1


def test_a_listing_that_broke_in_the_middle_gives_nothing_twice() -> None:
    found = list(retrying(Broken(2), 2).list("index"))
    assert sorted(each.key for each in found) == ["index/aa", "index/bb"]


def test_a_retry_is_logged_without_secrets_and_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    retrying(Broken(1), 1).get("index/aa")
    (record,) = caplog.records
    assert record.getMessage() == (
        "get of index/aa failed, again in 1.0 s: the bank is not available: broken"
    )


def test_jitter_is_anything_up_to_the_limit() -> None:
    drawn = [full_jitter(8.0) for _ in range(300)]
    assert 0 <= min(drawn) < 1
    assert 7 < max(drawn) <= 8


def test_a_long_wait_has_a_cap() -> None:
    assert Backoff(99, 0.5, 30.0).limit_s(1) == 0.5
    assert Backoff(99, 0.5, 30.0).limit_s(5000) == 30.0


# --- time-outs ---


class Slow(MemoryBank):
    """Every call waits for the test."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.ended = threading.Event()

    def put(self, key: str, data: Buffer) -> None:
        self.go_on.wait(60)
        super().put(key, data)
        self.ended.set()

    def prepare(self) -> None:
        self.go_on.wait(60)

    def read_into(self, key: str, buffer: memoryview, offset: int = 0, *, fresh: bool = False) -> int:
        self.go_on.wait(60)
        buffer[:4] = b"late"[: len(buffer)]
        self.ended.set()
        return len(buffer)

    def size(self, key: str) -> int:
        self.go_on.wait(60)
        return 0

    def get(self, key: str, offset: int = 0, length: int = -1) -> bytes:
        self.go_on.wait(60)
        return b""

    def list(self, prefix: str) -> Iterator[BankObject]:
        yield BankObject("index/aa", 1)
        self.go_on.wait(60)

    def delete(self, key: str) -> None:
        self.go_on.wait(60)


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow()
    yield made
    made.go_on.set()


BRIEF = TimeLimit(0.05, 1 << 30)


@every_call
def test_a_call_that_hangs_is_given_up(slow: Slow, call: Call) -> None:
    with pytest.raises(BankUnavailable) as caught:
        call(TimedBank(slow, BRIEF))
    assert "no answer" in str(caught.value)


def test_an_abandoned_read_writes_into_no_buffer_of_the_caller(slow: Slow) -> None:
    buffer = bytearray(b"mine")
    with pytest.raises(BankUnavailable):
        TimedBank(slow, BRIEF).read_into("index/aa", memoryview(buffer))
    slow.go_on.set()
    assert slow.ended.wait(30)
    assert buffer == b"mine"


def test_an_abandoned_put_stores_what_it_was_given(slow: Slow) -> None:
    source = bytearray(b"mine")
    with pytest.raises(BankUnavailable):
        TimedBank(slow, BRIEF).put("index/aa", source)
    source[:] = b"else"
    slow.go_on.set()
    assert slow.ended.wait(30)
    assert MemoryBank.get(slow, "index/aa") == b"mine"


def test_a_large_object_has_more_time() -> None:
    assert TimeLimit(60.0, 1024).of(0) == 60.0
    assert TimeLimit(60.0, 1024).of(10 * 1024) == 70.0


def test_a_long_listing_is_read_page_by_page() -> None:
    bank = MemoryBank()
    for number in range(333):
        bank.put(f"locks/{number:03}", b"x")
    assert len(list(TimedBank(bank, TimeLimit()).list("locks"))) == 333


def test_an_error_of_the_call_comes_out_as_it_is() -> None:
    with pytest.raises(BankObjectNotFound):
        TimedBank(MemoryBank(), TimeLimit()).get("index/aa")


def test_a_bug_in_a_call_comes_out_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda told: None)
    with pytest.raises(ZeroDivisionError):
        within(60, lambda: 1 // 0)
    for thread in threading.enumerate():
        if thread.name == "bank-call" and thread is not threading.current_thread():
            thread.join(60)


def test_a_hanging_call_does_not_keep_the_process() -> None:
    code = (
        "import time\nfrom protectd.plugin.wrappers.abandon import TooLate, within\n"
        "try: within(0.05, lambda: time.sleep(600))\nexcept TooLate: print('given up')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert done.stdout == "given up\n"
    assert done.returncode == 0


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


# --- limits in bytes ---


class Hands:
    """A clock that a test moves; sleeping moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_limit_holds_over_time_and_leaves_a_second_at_once() -> None:
    hands = Hands()
    meter = Meter(1000, clock=hands)
    bank = ThrottledBank(MemoryBank(), meter, None, sleep=hands.sleep)
    for number in range(10):
        bank.put(f"data/00/{number}", bytes(500))
    assert hands.now == pytest.approx(1004.0)


def test_what_is_read_counts_as_it_comes() -> None:
    hands = Hands()
    inner = MemoryBank()
    inner.put("config", bytes(1000))
    bank = ThrottledBank(inner, None, Meter(1000, clock=hands), sleep=hands.sleep)
    assert len(bank.get("config", 0, 10**9)) == 1000
    assert bank.read_into("config", memoryview(bytearray(5000)), 500) == 500
    assert hands.now == pytest.approx(1000.5)


def test_directions_do_not_hinder_each_other() -> None:
    hands = Hands()
    bank = ThrottledBank(MemoryBank(), Meter(1000, clock=hands), Meter(10**9, clock=hands), hands.sleep)
    bank.put("config", bytes(3000))
    written = hands.now
    bank.get("config")
    assert hands.now == written


def test_an_idle_line_saves_up_a_second_and_no_more() -> None:
    hands = Hands()
    meter = Meter(100, clock=hands)
    meter.take(100)
    hands.sleep(3600)
    assert meter.take(100) == 0.0
    assert meter.take(100) == 1.0


def test_copies_in_other_processes_fill_from_the_same_bucket() -> None:
    meter = Meter(1000)
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).take(500_000))"
    given = pickle.dumps(meter)
    for expected_s in (500, 1000):
        done = subprocess.run(
            [sys.executable, "-c", code], input=given, capture_output=True, check=True, env=environment()
        )
        assert float(done.stdout) > expected_s - 60
    assert meter.take(0) > 900


def test_a_copy_whose_first_has_gone_is_a_bucket_of_its_own(tmp_path: Path) -> None:
    meter = Meter(1000)
    given = pickle.dumps(meter)
    meter.take(10**9)
    descriptor = meter._descriptor
    del meter
    other = tmp_path / "other"
    other.write_bytes(b"somebody else's")
    opened = os.open(other, os.O_RDWR)
    os.dup2(opened, descriptor)  # the number of the descriptor is used again, as it happens
    try:
        assert pickle.loads(given).take(100) == 0.0
        assert other.read_bytes() == b"somebody else's"
    finally:
        os.close(descriptor)
        if opened != descriptor:
            os.close(opened)


def test_threads_share_one_bucket() -> None:
    meter = Meter(10**6, clock=Hands())
    threads = [threading.Thread(target=lambda: [meter.take(1000) for _ in range(200)]) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.take(10**6) == pytest.approx(1.0)


# --- traces ---


def test_every_call_is_told_with_its_kind_and_outcome() -> None:
    told: list[BankCall] = []
    bank = TracedBank(MemoryBank(), told.append)
    bank.put("data/ab/abcd", bytes(100))
    bank.get("data/ab/abcd", 10, 20)
    bank.read_into("data/ab/abcd", memoryview(bytearray(30)))
    bank.size("data/ab/abcd")
    list(bank.list("data"))
    bank.delete("index/aa")
    with pytest.raises(BankObjectNotFound):
        bank.get("project-7/secret-name")
    assert [(each.operation, each.kind, each.size, each.outcome) for each in told] == [
        ("put", "data", 100, "ok"),
        ("get", "data", 20, "ok"),
        ("get", "data", 30, "ok"),
        ("size", "data", 0, "ok"),
        ("list", "data", 1, "ok"),
        ("delete", "index", 0, "ok"),
        ("get", "other", 0, "bank.object_not_found"),
    ]
    assert all(each.seconds >= 0 for each in told)


def test_tries_are_told_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bank = FaultyBank()
    bank.put("config", b"x")
    faults = [BankUnavailable(reason="broken")] * 2

    def fail(call: str, key: str) -> None:
        if faults:
            raise faults.pop()

    bank.fault = fail
    made = wrapped(bank, {"trace": "true", "retries": "2", "retry_base_s": "0"})
    assert made.get("config") == b"x"
    told = [record.getMessage() for record in caplog.records if "traced" in record.name]
    assert [line.partition(", 0 in")[0].partition(", 1 in")[0] for line in told] == [
        "get of config: bank.unavailable",
        "get of config: bank.unavailable",
        "get of config: ok",
    ]


# --- all together ---


class RemoteBank(MemoryBank):
    remote = True


def shell(bank: BankPlugin) -> list[str]:
    """Names of the wrappers, from the outside in."""
    names = []
    while isinstance(bank, BankWrapper):
        names.append(type(bank).__name__)
        bank = bank.bank
    return names


def test_a_bank_of_this_host_is_left_alone() -> None:
    assert shell(wrapped(MemoryBank(), {})) == []


def test_a_remote_bank_is_tried_again_and_has_an_end() -> None:
    assert shell(wrapped(RemoteBank(), {})) == ["RetryingBank", "TracedBank", "TimedBank"]


def test_options_decide() -> None:
    options = {"retries": "0", "timeout_s": "0", "trace": "false"}
    assert shell(wrapped(RemoteBank(), options)) == ["TracedBank"]
    options = {"retries": "1", "timeout_s": "5", "upload_kib_s": "100"}
    assert shell(wrapped(MemoryBank(), options)) == ["RetryingBank", "ThrottledBank", "TimedBank"]


def test_a_section_has_the_same_wrappers_and_the_same_limit(tmp_path: Path) -> None:
    made = wrapped(FilesystemBank(tmp_path), {"retries": "1", "upload_kib_s": "1", "timeout_s": "9"})
    section = made.section("a/b")
    assert shell(section) == shell(made)
    assert section.location == str(tmp_path / "a/b")
    assert section.local_paths() == (str(tmp_path),)
    assert isinstance(made, RetryingBank)
    assert isinstance(section, RetryingBank)
    assert section.bank._upload is made.bank._upload  # type: ignore[attr-defined]


def test_wrapped_banks_are_shared_as_what_is_in_them(tmp_path: Path) -> None:
    options = {"retries": "1", "upload_kib_s": "1000", "timeout_s": "9", "trace": "true"}
    assert not wrapped(MemoryBank(), options).shared
    made = wrapped(FilesystemBank(tmp_path), options)
    made.prepare()
    made.put("config", b"x")
    copy = pickle.loads(pickle.dumps(made))
    assert copy.shared
    assert copy.get("config") == b"x"
    assert shell(copy) == shell(made)


def test_an_option_that_the_bank_knows_too_is_for_both() -> None:
    schema = {"properties": {"url": {}, "timeout_s": {}}}
    own, common = split({"url": "u", "timeout_s": "5", "retries": "3", "odd": "x"}, schema)
    assert own == {"url": "u", "timeout_s": "5", "odd": "x"}
    assert common == {"timeout_s": "5", "retries": "3"}
