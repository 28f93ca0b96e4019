"""What a check has found so far, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_FINDINGS = 10_000
BRING_BACK = "bring the object back from a copy of the bank, or delete the checkpoints that need it"
TRY_AGAIN = "check again when the bank answers"
MAKE_AGAIN = "delete the checkpoint and make a new one"
REBUILD_INDEX = "protectd-manage vault repair index makes the index anew from the packs"


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
