"""Generated interleavings: backups, restores, checks, forgets and prunes over one bank, in which a seed
decides at every call who goes on, who is killed, and who is taken for dead and wakes up.

Proves `prune` of issue 3's operations and its point 6 (a) and (d): at the end of each schedule every snapshot
is there byte for byte, a check finds no damage, no restore that ran has failed, and one more prune leaves
neither lock nor rubbish. A seed chooses some of the schedules; with PROTECTD_TEST_FULL=1 all are played.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from protectd.common.errors import Unavailable
from protectd.vault.check import check
from protectd.vault.errors import SnapshotNotFound
from protectd.vault.lock_files import read_locks
from protectd.vault.repository import Repository
from tests.fakes.interleaving import CHOOSERS, Operation, Turns, taking_turns
from tests.fakes.sampling import repeat, sample
from tests.fakes.vault_beside import EXPECTED, OfProcess, Setting, Vault, alone, make_setting, options_of

SCHEDULES = range(4_000)
SAMPLE = 60
LAST_HALT = 90
"""Most operations call the bank as often as this, or less."""

Run = Callable[[OfProcess], None]


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return make_setting(tmp_path_factory.mktemp("sources"))


class Schedule:
    """One run of some operations. The same number is the same run."""

    def __init__(self, setting: Setting, number: int, room: Path) -> None:
        self._setting = setting
        self._room = room
        self._chance = random.Random(number)
        self._number = number
        self._turns = Turns(self._chance.choice(CHOOSERS)(self._chance), self._watch)
        self._begin = self._chance.choice((setting.plain, setting.marked))
        self._bank = self._begin.bank.copy(self._turns, number)
        self._other = setting.elsewhere[0].copy(self._turns, number)
        self._vault: Vault
        self._processes: dict[Operation, subprocess.Popen[bytes]] = {}
        self._glances = {self._chance.randrange(400) for _ in range(2)}
        self._damage: list[str] = []

    # --- what is done ---

    def play(self) -> None:
        with ExitStack() as stack:
            workers = stack.enter_context(taking_turns(self._turns))
            self._vault = Vault(self._bank, self._setting.key, self._setting.sources, workers)
            self._add_all(stack)
            self._turns.run()
        self._judge()

    def _add_all(self, stack: ExitStack) -> None:
        runs = self._draw()
        halted = self._draw_halted([name for name, _ in runs])
        for name, run in runs:
            if name not in halted:
                self._turns.add(name, partial(run, options_of(os.getpid())))
                continue
            # A process stands for it that can be killed, for it is a thread of this one.
            process = stack.enter_context(subprocess.Popen(["sleep", "3600"]))
            stack.callback(process.kill)
            halts_at, wakes = halted[name]
            run = partial(run, options_of(process.pid))
            self._processes[self._turns.add(name, run, halts_at, wakes=wakes)] = process

    def _draw(self) -> Sequence[tuple[str, Run]]:
        chance, vault, snapshots = self._chance, self._vault, self._setting.snapshots
        writers: list[tuple[str, Run]] = [
            *((f"save {name}", partial(vault.save, name)) for name in ("old", "a", "b")),
            ("save stream", vault.save_stream),
            ("copy in", partial(vault.copy_in, self._other, self._setting.elsewhere[1])),
        ]
        readers: list[tuple[str, Run]] = [("check", vault.check), ("stats", vault.stats)]
        for name in ("kept", "former"):
            restore = partial(vault.restore, name, snapshots[name], self._room / name)
            readers.append((f"restore {name}", restore))
            readers.append((f"cat {name}", partial(vault.cat, name, snapshots[name])))
        chosen = chance.sample(writers, chance.choice((1, 1, 2, 3)))
        chosen += chance.sample(readers, chance.choice((0, 0, 1, 2)))
        if chance.random() < 0.8:
            chosen.append(("forget former", lambda _: vault.forget(snapshots["former"])))
        for number in range(chance.choice((1, 1, 2))):
            waits = self._begin.waits if chance.random() < 0.7 else None
            chosen.append((f"prune {number}", partial(vault.prune, waits=waits, rest=self._turns.rest)))
        chance.shuffle(chosen)
        return chosen

    def _draw_halted(self, names: Sequence[str]) -> dict[str, tuple[int, bool]]:
        """At which call, and whether it wakes up."""
        chance = self._chance
        halted = chance.sample(names, min(len(names), chance.choice((0, 1, 1, 2))))
        return {name: (chance.randint(1, LAST_HALT), chance.random() < 0.6) for name in halted}

    def _watch(self, operation: Operation, call: str) -> None:
        if operation.halted:
            self._processes[operation].kill()
            self._processes[operation].wait()
        if operation.halted or self._turns.calls in self._glances:
            self._glance(f"{operation.name} before {call}")
        for sleeper in self._turns.operations:
            if sleeper.halted and sleeper.wakes and self._chance.random() < 0.01:
                sleeper.halted = False

    def _glance(self, moment: str) -> None:
        """Nothing is damaged at this instant."""
        report = check(Repository.with_key(self._bank.copy(), self._setting.key), read_data=True)
        self._damage += [f"{moment}: {error}" for error in report.errors]

    # --- what has come of it ---

    def _judge(self) -> None:
        for operation in self._turns.operations:
            self._judge_error(operation)
        assert self._damage == []
        self._judge_locks()
        self._judge_snapshots()
        bank, key, sources = self._bank, self._setting.key, self._setting.sources
        alone(bank, key, sources, lambda vault, options: vault.prune(options, None, rest=pytest.fail))
        assert check(self._vault.repository).hints == ()
        assert read_locks(self._vault.repository) == []
        self._judge_snapshots()

    def _judge_error(self, operation: Operation) -> None:
        error = operation.outcome.error
        if isinstance(error, SnapshotNotFound) and operation.name in ("restore former", "cat former"):
            return  # it came too late
        if isinstance(error, Unavailable) and operation.has_slept:
            return  # it was taken for dead
        assert error is None, operation

    def _judge_locks(self) -> None:
        dead = {process.pid for process in self._processes.values()}
        assert {lock.pid for lock in read_locks(self._vault.repository)} <= dead

    def _judge_snapshots(self) -> None:
        """All that were acknowledged are there, and whatever is there is whole."""
        repository, snapshots = self._vault.repository, self._setting.snapshots
        found = {snapshot.id: snapshot for snapshot in repository.snapshots()}
        held = {snapshots["kept"].id, *self._vault.acknowledged}
        if all(operation.name != "forget former" for operation in self._turns.operations):
            held.add(snapshots["former"].id)
        assert held <= found.keys()
        for snapshot in found.values():
            assert self._vault.contents(snapshot) == EXPECTED[snapshot.tags[0]]
        report = check(repository, read_data=True)
        assert report.ok, report.errors

    def __str__(self) -> str:
        lines = [f"schedule {self._number}; {repeat()}", *map(str, self._turns.operations)]
        return "\n".join(lines)


@pytest.mark.timeout(7200)
def test_nothing_that_is_needed_goes(setting: Setting, tmp_path: Path) -> None:
    for number in sample(SCHEDULES, SAMPLE, of="interleavings"):
        room = tmp_path / str(number)
        room.mkdir()
        schedule = Schedule(setting, number, room)
        try:
            schedule.play()
        except BaseException:
            print(schedule)
            raise
        shutil.rmtree(room)
