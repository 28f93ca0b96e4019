"""What a long operation tells its owner, and asks it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """One picture of a running operation. Totals are None until they are known."""

    phase: str
    done_bytes: int = 0
    total_bytes: int | None = None
    done_files: int = 0
    total_files: int | None = None


class Progress:
    """Silent base: an owner overrides both. Called often, from one thread at a time, so both are cheap."""

    def report(self, counts: Counts) -> None:
        """Take the newest picture; earlier ones may be dropped."""

    def check(self) -> None:
        """Raise `Cancelled` (or a lost lease) when the operation has to end now."""
