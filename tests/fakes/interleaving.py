"""Operations that take turns: at every call to the bank somebody decides who goes on.

Each operation has its own threads, as in the service, and exactly one thread of all runs at a time. What
they wait for - one another's messages, results, locks and events - is known here, so the same choices make
the same run again. An operation may be halted before any call, for ever or until it is woken up.
"""

from __future__ import annotations

import random
import sys
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from protectd.plugin.banks.memory import MemoryBank
from protectd.plugin.base import BankObject, Buffer
from protectd.vault import crew, locks, pending_lock, pool
from protectd.vault.operation import GO
from protectd.vault.pool import Role, serve
from tests.fakes.faults import Killed

Ready = Callable[[], bool]
_TIMEOUTS = 2
_LONG_S = 10.0


def _always() -> bool:
    return True


class Outcome:
    """Keeps the error that ends its block, unless it is the death of the operation.

    :ivar reached: whether the block has ended.
    """

    def __init__(self) -> None:
        self.reached = False
        self.error: BaseException | None = None

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        self.reached = True
        if isinstance(error, Killed):
            return False
        self.error = error
        return True


class Operation:
    """
    :ivar halts_at: it stops for ever before this call to the bank, counted from 1; None: never.
    :ivar doomed: whatever it calls from now on ends it.
    """

    def __init__(self, name: str, halts_at: int | None, wakes: bool) -> None:
        self.name = name
        self.halts_at = halts_at
        self.wakes = wakes
        self.calls = 0
        self.halted = False
        self.doomed = False
        self.outcome = Outcome()

    @property
    def has_slept(self) -> bool:
        """Whether it was halted, and has gone on."""
        return self.wakes and self.halts_at is not None and self.calls >= self.halts_at

    def __str__(self) -> str:
        halt = f", {'halted' if self.wakes else 'killed'} at call {self.halts_at}" if self.halts_at else ""
        return f"{self.name}{halt}: {self.calls} calls, {self.outcome.error!r}"


class Strand:
    """One thread of an operation."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.gate = threading.Lock()
        self.gate.acquire()
        self.ready: Ready = _always
        self.resting = False
        self.ended = False

    @property
    def can_go(self) -> bool:
        return not self.ended and not self.operation.halted and self.ready()


Chooser = Callable[[Sequence[Strand]], Strand]


class Turns:
    """
    :param choose: decides who goes on.
    :param watch: hears of each call before it is made, and of who makes it.
    """

    def __init__(self, choose: Chooser, watch: Callable[[Operation, str], None] = lambda *_: None) -> None:
        self._choose = choose
        self._watch = watch
        self._strands: list[Strand] = []
        self._current: Strand | None = None
        self._main = threading.Lock()
        self._main.acquire()
        self._ended = 0
        self.operations: list[Operation] = []
        self.calls = 0

    # --- for whoever makes the schedule ---

    def add(
        self, name: str, run: Callable[[], None], halts_at: int | None = None, *, wakes: bool = False
    ) -> Operation:
        operation = Operation(name, halts_at, wakes)
        self.operations.append(operation)

        def whole() -> None:
            with operation.outcome:
                run()
            self._ended += 1

        self._start(operation, whole)
        return operation

    def run(self) -> None:
        """Until all have ended, or are halted for ever; those are ended then, and do nothing more."""
        self._go_on()
        stuck = [strand for strand in self._strands if not strand.ended and not strand.operation.halted]
        for strand in self._strands:
            strand.operation.doomed |= not strand.ended
        for strand in self._strands:
            if not strand.ended:
                self._current = strand
                strand.gate.release()
                self._main.acquire()
        self._current = None
        names = [strand.operation.name for strand in stuck]
        assert names == [], f"{names} wait for ever"

    def _go_on(self) -> None:
        first = self._next()
        if first is not None:
            self._current = first
            first.gate.release()
            self._main.acquire()

    def _next(self) -> Strand | None:
        while True:
            ready = [strand for strand in self._strands if strand.can_go]
            if ready:
                return self._choose(ready)
            if not self._wake_one():
                return None

    def _wake_one(self) -> bool:
        for operation in self.operations:
            if operation.halted and operation.wakes:
                operation.halted = False
                return True
        return False

    # --- for the threads ---

    def call(self, what: str) -> None:
        """A call to the bank comes next."""
        if self._current is None:
            return
        operation = self._current.operation
        if operation.doomed:
            raise Killed
        operation.calls += 1
        self.calls += 1
        if operation.calls == operation.halts_at:
            operation.halted = True
        self._watch(operation, what)
        self.pause()

    def pause(self, ready: Ready = _always) -> None:
        """Let others go first, and go on when `ready` says so."""
        me = self._current
        assert me is not None
        if me.operation.doomed:
            raise Killed
        me.ready = ready
        self._hand_on(me)
        if me.operation.doomed:
            raise Killed

    def wait_for(self, ready: Ready) -> None:
        if not ready():
            self.pause(ready)

    def rest(self) -> None:
        """Wait until an operation has ended, or nobody else can go on."""
        me, seen = self._current, self._ended
        assert me is not None
        me.resting = True
        self.pause(lambda: self._ended > seen or not self._anyone_awake())
        me.resting = False

    def _anyone_awake(self) -> bool:
        return any(strand.can_go for strand in self._strands if not strand.resting)

    def spawn(self, run: Callable[[], None]) -> Strand:
        """One more thread of the operation whose turn it is."""
        assert self._current is not None
        if self._current.operation.doomed:
            raise Killed
        return self._start(self._current.operation, run)

    def _start(self, operation: Operation, run: Callable[[], None]) -> Strand:
        strand = Strand(operation)
        self._strands.append(strand)
        threading.Thread(target=self._live, args=(strand, run), daemon=True).start()
        return strand

    def _live(self, strand: Strand, run: Callable[[], None]) -> None:
        strand.gate.acquire()
        try:
            if not strand.operation.doomed:
                run()
        except Killed:
            pass
        finally:
            strand.ended = True
            if strand.operation.doomed:
                self._main.release()
            else:
                self._hand_on(strand)

    def _hand_on(self, me: Strand) -> None:
        following = self._next()
        if following is me:
            return
        self._current = following
        (self._main if following is None else following.gate).release()
        if not me.ended:
            me.gate.acquire()


# --- who goes on ---


def anyone(chance: random.Random) -> Chooser:
    """Each thread as likely as any other."""
    return chance.choice


def in_bursts(chance: random.Random) -> Chooser:
    """An operation goes on for some dozen calls before another does."""
    last: Operation | None = None

    def choose(ready: Sequence[Strand]) -> Strand:
        nonlocal last
        same = [strand for strand in ready if strand.operation is last]
        chosen = chance.choice(same if same and chance.random() < 0.97 else ready)
        last = chosen.operation
        return chosen

    return choose


def by_rank(chance: random.Random) -> Chooser:
    """The operation of the highest rank goes on, save that at a few instants it loses its rank: finds what
    needs few, but certain, changes (Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees
    of Finding Bugs", ASPLOS 2010)."""
    ranks: dict[Operation, float] = {}
    falls = {chance.randrange(400) for _ in range(chance.randrange(1, 8))}
    moment = 0

    def choose(ready: Sequence[Strand]) -> Strand:
        nonlocal moment
        moment += 1
        for strand in ready:
            ranks.setdefault(strand.operation, chance.random())
        first = max((strand.operation for strand in ready), key=ranks.__getitem__)
        if moment in falls:
            ranks[first] = -moment
            first = max((strand.operation for strand in ready), key=ranks.__getitem__)
        return chance.choice([strand for strand in ready if strand.operation is first])

    return choose


CHOOSERS = (anyone, in_bursts, by_rank)


# --- the bank ---


class SharedBank(MemoryBank):
    """Each call is one turn, a listing two: what others do between them may show or not, as in a bank that
    lists page by page."""

    def __init__(self, turns: Turns | None = None, salt: int = 0) -> None:
        super().__init__()
        self.turns = turns
        self._salt = salt
        self._numbers: dict[str, int] = {}
        """Of each object, in the order in which they came: the same in every run, as names are not."""

    def copy(self, turns: Turns | None = None, salt: int = 0) -> SharedBank:
        """Another bank that holds what this one holds now."""
        bank = SharedBank(turns, salt)
        bank._objects.update(self._objects)
        bank._numbers.update(self._numbers)
        return bank

    def _call(self, what: str) -> None:
        if self.turns is not None:
            self.turns.call(what)

    def put(self, key: str, data: Buffer) -> None:
        self._call(f"put {key}")
        self._numbers.setdefault(key, len(self._numbers))
        super().put(key, data)

    def get(self, key: str, offset: int = 0, length: int = -1) -> bytes:
        self._call(f"get {key}")
        return super().get(key, offset, length)

    def size(self, key: str) -> int:
        self._call(f"size {key}")
        return super().size(key)

    def list(self, prefix: str) -> Iterator[BankObject]:
        self._call(f"list {prefix}")
        first = [item for item in super().list(prefix) if self._is_first(item.key)]
        self._call(f"list on {prefix}")
        yield from first
        yield from [item for item in super().list(prefix) if not self._is_first(item.key)]

    def _is_first(self, key: str) -> bool:
        return bool(zlib.crc32(b"%d" % self._numbers[key], self._salt) & 1)

    def delete(self, key: str) -> None:
        self._call(f"delete {key}")
        super().delete(key)


# --- what threads wait for ---


class _Channel:
    """One end of a pipe."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._inbox: deque[Any] = deque()
        self._closed = False
        self.other: _Channel

    def send(self, message: Any) -> None:
        if self.other._closed:
            raise BrokenPipeError
        self.other._inbox.append(message)

    @property
    def ready(self) -> bool:
        return bool(self._inbox) or self.other._closed

    def recv(self) -> Any:
        self._turns.wait_for(lambda: self.ready)
        if not self._inbox:
            raise EOFError
        return self._inbox.popleft()

    def poll(self, timeout: float = 0) -> bool:
        if timeout:
            self._turns.wait_for(lambda: self.ready)
        return self.ready

    def close(self) -> None:
        self._closed = True

    def __enter__(self) -> _Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _pipe(turns: Turns) -> tuple[_Channel, _Channel]:
    one, other = _Channel(turns), _Channel(turns)
    one.other, other.other = other, one
    return one, other


class Owner:
    """The channel to whoever asked for an operation: he lets it go on, and hears of nothing else."""

    def send(self, message: Any) -> None:
        """Nobody listens."""

    def recv(self) -> str:
        return GO

    def poll(self, timeout: float = 0) -> bool:
        return False


class Workers:
    """Places for workers: each is a thread that takes turns."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def start(self, role: Role) -> Any:
        ours, theirs = _pipe(self._turns)

        def run() -> None:
            with theirs:
                serve(role, theirs, self)

        self._turns.spawn(run)
        return SimpleNamespace(channel=ours, kill=lambda: None)

    def release(self, place: Any) -> None:
        place.channel.close()

    discard = release


class _Future:
    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._outcome = Outcome()
        self._result: Any = None

    def run(self, do: Callable[[], Any]) -> None:
        with self._outcome:
            self._result = do()

    def done(self) -> bool:
        return self._outcome.reached

    def cancel(self) -> bool:
        return False

    def result(self, timeout: float | None = None) -> Any:
        self._turns.wait_for(self.done)
        if self._outcome.error is not None:
            raise self._outcome.error
        return self._result


class _Executor:
    def __init__(self, turns: Turns, workers: int, begin: Callable[[], None]) -> None:
        self._turns = turns
        self._workers = workers
        self._begin = begin
        self._futures: list[_Future] = []

    def submit(self, do: Callable[..., Any], *arguments: Any) -> _Future:
        future = _Future(self._turns)
        before = self._futures[:]
        self._futures.append(future)

        def has_place() -> bool:
            return sum(not each.done() for each in before) < self._workers

        def run() -> None:
            self._turns.wait_for(has_place)
            self._begin()
            future.run(lambda: do(*arguments))

        self._turns.spawn(run)
        return future

    def map(self, do: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[Any]:
        futures = [self.submit(do, argument) for argument in arguments]
        return (future.result() for future in futures)

    def shutdown(self) -> None:
        self._turns.wait_for(lambda: all(future.done() for future in self._futures))

    def __enter__(self) -> _Executor:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()


class _Event:
    """A wait may end at any time, as if its time were over; a long one only a few times, for it would not
    come to an end else."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._set = False
        self._timeouts = _TIMEOUTS

    def set(self) -> None:
        self._set = True

    def wait(self, timeout_s: float) -> bool:
        if timeout_s >= _LONG_S:
            self._turns.pause(lambda: self._set or self._timeouts > 0)
            self._timeouts -= 1
        elif timeout_s:
            self._turns.pause()
        return self._set


class _Lock:
    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._held = False

    def __enter__(self) -> None:
        self._turns.wait_for(lambda: not self._held)
        self._held = True

    def __exit__(self, *_: object) -> None:
        self._held = False


class _Thread:
    def __init__(self, turns: Turns, target: Callable[[], None]) -> None:
        self._turns = turns
        self._target = target
        self._strand: Strand | None = None

    def start(self) -> None:
        self._strand = self._turns.spawn(self._target)

    def join(self) -> None:
        strand = self._strand
        assert strand is not None
        self._turns.wait_for(lambda: strand.ended)


@contextmanager
def taking_turns(turns: Turns) -> Iterator[Workers]:
    """The vault's threads take turns in it, and nobody waits for time to go by."""

    def executor(
        workers: int,
        thread_name_prefix: str = "",
        initializer: Callable[..., None] = lambda: None,
        initargs: tuple[Any, ...] = (),
    ) -> _Executor:
        return _Executor(turns, workers, partial(initializer, *initargs))

    def thread(target: Callable[[], None], name: str, daemon: bool) -> _Thread:
        return _Thread(turns, target)

    def wait(channels: Sequence[_Channel], timeout_s: float) -> list[_Channel]:
        if timeout_s:
            turns.wait_for(lambda: any(channel.ready for channel in channels))
        return [channel for channel in channels if channel.ready]

    threads = SimpleNamespace(Lock=lambda: _Lock(turns), Event=lambda: _Event(turns), Thread=thread)
    with pytest.MonkeyPatch.context() as patch:
        for module in _modules_with("ThreadPoolExecutor", but=pool):
            patch.setattr(module, "ThreadPoolExecutor", executor)
        for module in (locks, pending_lock):
            patch.setattr(module, "threading", threads)
        patch.setattr(locks, "_SETTLE_S", 0)
        for module in _modules_with("LISTED_WITHIN_S"):
            patch.setattr(module, "LISTED_WITHIN_S", 0)
        patch.setattr(crew, "wait", wait)
        yield Workers(turns)


def _modules_with(name: str, *, but: ModuleType | None = None) -> Iterator[ModuleType]:
    for module in list(sys.modules.values()):
        if module.__name__.startswith("protectd.vault.") and module is not but and hasattr(module, name):
            yield module
