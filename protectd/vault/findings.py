"""What a check has found so far, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from protectd.common.errors import ProtectdError
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


@dataclass(slots=True)
class Findings:
    """Errors and hints, the first 10,000 of each."""

    errors: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    def error(self, text: str) -> None:
        if len(self.errors) < MAX_FINDINGS:
            self.errors.append(text)

    def hint(self, text: str) -> None:
        if len(self.hints) < MAX_FINDINGS:
            self.hints.append(text)
