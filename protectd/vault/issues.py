"""What went wrong with single entries while the operation went on."""

from __future__ import annotations

from protectd.common.reports import Issue
from protectd.vault.opening import shown

MAX_KEPT = 1000
MISSING = frozenset({"damaged", "refused"})
"""Kinds of issues whose entry is not there as it was saved. One that was withheld on purpose, such as a
device node from a member, is no failure."""


class Issues:
    """The first thousand, how many there were, and of how many the entry is missing."""

    def __init__(self) -> None:
        self.kept: list[Issue] = []
        self.count = 0
        self.missing = 0

    def add(self, path: bytes, kind: str, reason: str) -> None:
        self.count += 1
        self.missing += kind in MISSING
        if self.count <= MAX_KEPT:
            self.kept.append(Issue(shown(path), kind, reason))
