"""Issue 3, point 6 (e): banks that are full, read-only or away, that lose what they acknowledge, break off in
the middle of an answer, or hang. At whatever call of an operation it begins: the operation ends, with success
or with an error that says what it is; all that was acknowledged comes back byte-equal, `check` and `restic
check` are clean or name only garbage, no lock stays, and it goes through when the bank is well again.

A first run counts the calls of each operation. Of all places for a fault a seed chooses some; with
PROTECTD_TEST_FULL=1 every one is tried.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import pytest

from protectd.common.errors import ProtectdError
from protectd.common.units import GIB
from protectd.plugin.base import BankPlugin, BankRefused, BankUnavailable
from protectd.plugin.wrappers.retrying import Backoff, RetryingBank
from protectd.plugin.wrappers.timed import TimedBank, TimeLimit
from protectd.vault import locks
from protectd.vault.engine import VaultEngine
from protectd.vault.errors import WriteLost
from tests.fakes.failing_bank import (
    AnswerLost,
    Away,
    Counting,
    FailingBank,
    Full,
    HalfBody,
    Hangs,
    Harm,
    Lost,
    ReadOnly,
    Torn,
)
from tests.fakes.sampling import repeat, sample
from tests.fakes.servers import need_program
from tests.fakes.tree import tree
from tests.fakes.vault_audit import Audit
from tests.fakes.vault_kit import Restic, new_vault
from tests.fakes.vault_script import HELD, OPERATIONS, OPTIONS, Stage, arrange, least_held, most_held

CASES_OF_EACH = 1
PAIRS = 40
"""Of a harm and an operation that it is done to."""

VAULTS = ("here", "there")
Wrap = Callable[[BankPlugin], BankPlugin]

HARMS: dict[str, tuple[type[Harm], type[ProtectdError]]] = {
    "full": (Full, BankRefused),
    "read-only": (ReadOnly, BankRefused),
    "away": (Away, BankUnavailable),
    "no answer to a change": (AnswerLost, BankUnavailable),
    "what it acknowledged is lost": (Lost, WriteLost),
    "of what it acknowledged half is lost": (Torn, WriteLost),
    "half a body": (HalfBody, BankUnavailable),
    "hangs": (Hangs, BankUnavailable),
}
"""By what a bank does: the harm, and the error with which an operation ends that does not get over it."""

timed: Wrap = partial(TimedBank, limit=TimeLimit(answer_s=0.3, slowest_bytes_s=GIB))
retried: Wrap = partial(RetryingBank, backoff=Backoff(retries=3, base_s=0.01, cap_s=0.02))


class Rehearsal:
    """All operations have gone through once; each can be played again from what it began with."""

    def __init__(self, top: Path, engine: VaultEngine, restic: str) -> None:
        self._top = top
        self._wrap: Wrap = lambda bank: bank
        self.banks = {vault: FailingBank(top / "banks" / vault) for vault in VAULTS}
        self.stage = Stage(top / "source", engine, lambda vault: self._wrap(self.banks[vault]))
        self._counts: dict[str, Counting] = {}
        trees = {}
        new_vault(self.banks["there"])
        for generation, checkpoint in ((1, "first"), (2, "second")):
            arrange(self.stage.source, generation)
            trees[checkpoint] = tree(self.stage.source)
        for name in OPERATIONS:
            shutil.copytree(top / "banks", top / "before" / name, copy_function=os.link)
            self._counts[name] = Counting()
            assert self.run(name, self._counts[name]) is None
        programs = {vault: Restic(restic, top / "banks" / vault) for vault in VAULTS}
        self.audit = Audit(self.stage, trees, top / "restored", programs)

    def places(self, operation: str, harm: type[Harm]) -> range:
        """Numbers of the calls that may be harmed."""
        return range(1, sum(self._counts[operation].counts[call] for call in harm.calls) + 1)

    def begin(self, operation: str) -> None:
        """Have the vaults as they were before it."""
        shutil.rmtree(self._top / "banks")
        shutil.copytree(self._top / "before" / operation, self._top / "banks", copy_function=os.link)

    def run(self, operation: str, harm: Harm, wrap: Wrap = lambda bank: bank) -> ProtectdError | None:
        """The error with which it ended. The bank is well then."""
        self._wrap = wrap
        for bank in self.banks.values():
            bank.harm = harm
        try:
            OPERATIONS[operation](self.stage)
        except ProtectdError as error:
            return error
        finally:
            self._wrap = lambda bank: bank
            harm.over()
        return None

    def assert_no_lock_stays(self) -> None:
        """One that could not be removed goes as soon as the bank is well again."""
        deadline = time.monotonic() + 60
        for bank in self.banks.values():
            while list(bank.list("locks")):
                assert time.monotonic() < deadline, list(bank.list("locks"))
                time.sleep(0.01)

    def assert_goes_through(self, operation: str) -> None:
        """And leaves nothing behind that a prune does not remove."""
        after = HELD[operation][1]
        OPERATIONS[operation](self.stage)
        assert self.audit.second_password_opens() == (operation == "add a key")
        for vault in after:
            self.stage.session(vault).prune()
        self.audit.assert_holds(after, after)
        for vault in after:
            self.audit.assert_clean(vault)


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locks, "_SETTLE_S", 0.0)  # alone in its vaults
        patch.setattr(locks, "_REMOVE_RETRY_S", 0.01)
        engine = VaultEngine(OPTIONS)
        yield Rehearsal(tmp_path_factory.mktemp("failing"), engine, need_program("restic"))
        engine.close()


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("kind", "operation"), sample(list(product(HARMS, OPERATIONS)), PAIRS, of="harms"))
def test_a_bank_that_fails_costs_nothing_that_was_acknowledged(
    rehearsal: Rehearsal, kind: str, operation: str
) -> None:
    harm, expected = HARMS[kind]
    wrap: Wrap = timed if harm is Hangs else lambda bank: bank
    for number in sample(rehearsal.places(operation, harm), CASES_OF_EACH, of=f"{kind} {operation}"):
        print(operation, kind, number, repeat())
        rehearsal.begin(operation)
        fault = harm(number)
        error = rehearsal.run(operation, fault, wrap)
        assert fault.struck
        assert error is None or (isinstance(error, expected) and error.facts), repr(error)
        least = least_held(operation) if error else HELD[operation][1]
        rehearsal.audit.assert_holds(least, most_held(operation))
        rehearsal.audit.assert_restic_agrees(HELD[operation][0])
        rehearsal.assert_no_lock_stays()
        rehearsal.assert_goes_through(operation)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("harm", [Away, AnswerLost])
def test_calls_that_are_tried_again_are_not_noticed(
    rehearsal: Rehearsal, harm: type[Harm], operation: str
) -> None:
    for number in sample(rehearsal.places(operation, harm), CASES_OF_EACH, of=f"{harm} {operation}"):
        print(operation, harm, number, repeat())
        rehearsal.begin(operation)
        fault = harm(number, times=3)
        assert rehearsal.run(operation, fault, retried) is None
        assert fault.struck
        rehearsal.audit.assert_holds(HELD[operation][1], HELD[operation][1])
        rehearsal.assert_no_lock_stays()
