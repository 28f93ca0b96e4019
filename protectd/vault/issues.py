"""What went wrong with single entries while the operation went on."""

from __future__ import annotations

from protectd.common.reports import Issue
from protectd.vault.opening import shown

MAX_KEPT = 1000


class Issues:
    """The first thousand, and how many there were."""

    def __init__(self) -> None:
        self.kept: list[Issue] = []
        self.count = 0

    def add(self, path: bytes, kind: str, reason: str) -> None:
        self.count += 1
        if self.count <= MAX_KEPT:
            self.kept.append(Issue(shown(path), kind, reason))
