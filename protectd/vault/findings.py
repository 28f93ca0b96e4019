"""What a check has found so far, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from protectd.common.errors import ProtectdError, Unavailable
from protectd.plugin.base import BankRefused
from protectd.vault.errors import VaultDamaged

MAX_FINDINGS = 10_000
BRING_BACK = "bring the object back from a copy of the bank, or delete the checkpoints that need it"
TRY_AGAIN = "check again when the bank answers"
MAKE_AGAIN = "delete the checkpoint and make a new one"
REBUILD_INDEX = "protectd-manage vault repair index makes the index anew from the packs"


Trouble = Callable[[str, ProtectdError], None]
"""Is told the name of an object and why it cannot be read; may raise."""


def refuse(advice: str) -> Trouble:
    """Raise what it is told. :param advice: what is to be done about damage."""

    def trouble(name: str, error: ProtectdError) -> None:
        raise error.with_advice(advice) if isinstance(error, VaultDamaged) else error

    return trouble


class Damage:
    """A `Trouble` for whoever takes what can be had without objects that are damaged.

    :param advice: what is to be done about them. :ivar found: they, by name.
    """

    def __init__(self, advice: str) -> None:
        self.found: dict[str, VaultDamaged] = {}
        self._advice = advice

    def __call__(self, name: str, error: ProtectdError) -> None:
        """:raises ProtectdError: `error`, when it is no damage: it may be well the next time."""
        if not isinstance(error, VaultDamaged):
            raise error
        self.found[name] = error.with_advice(self._advice)


class PackFindings(NamedTuple):
    """Of one pack. :ivar size: bytes that were read."""

    size: int
    errors: Sequence[str] = ()
    unread: Sequence[str] = ()


@dataclass(slots=True)
class Findings:
    """Damage, hints, and what could not be looked at: the first 10,000 of each.

    :ivar blind: an index file is among the unread: what no other knows may be well.
    """

    errors: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    blind: bool = False

    def error(self, text: str) -> None:
        if len(self.errors) < MAX_FINDINGS:
            self.errors.append(text)

    def miss(self, text: str) -> None:
        """Something could not be looked at."""
        if len(self.unread) < MAX_FINDINGS:
            self.unread.append(text)

    def add(self, found: PackFindings) -> None:
        for text in found.errors:
            self.error(text)
        for text in found.unread:
            self.miss(text)

    def unknown(self, text: str, advice: str) -> None:
        """No index that was read has it. :param advice: what to do if none has it."""
        if self.blind:
            self.miss(f"{text}; {TRY_AGAIN}")
        else:
            self.error(f"{text}; {advice}")

    def trouble(self, name: str, error: ProtectdError, advice: str) -> None:
        """An object does not read. :param advice: what to do if it is damaged."""
        if isinstance(error, Unavailable | BankRefused):
            self.miss(f"{name} could not be read: {error}; {TRY_AGAIN}")
        elif isinstance(error, VaultDamaged):
            self.error(f"{error}; {advice}")
        else:
            self.error(f"{name} could not be read: {error}; {advice}")

    def hint(self, text: str) -> None:
        if len(self.hints) < MAX_FINDINGS:
            self.hints.append(text)
