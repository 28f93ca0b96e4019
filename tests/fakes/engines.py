"""One vault in a directory with an engine on it, as tests of the engine use it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from protectd.common.errors import Cancelled
from protectd.common.progress import Counts, Progress
from protectd.common.reports import Issue, RestoreOptions, RestoreReport, SaveReport
from protectd.plugin.base import BankPlugin
from protectd.vault.engine import VaultEngine, VaultSession
from protectd.vault.repository import Repository
from tests.fakes.vault_kit import file_vault, new_vault


class Rig:
    """A new vault below `top`, a source directory and a session. Restores go to further names below `top`."""

    def __init__(self, engine: VaultEngine, top: Path, bank: BankPlugin | None = None) -> None:
        self.top = top
        self.source = top / "source"
        self.source.mkdir()
        self.repository: Repository = new_vault(bank) if bank is not None else file_vault(top / "vault")
        self.bank = self.repository.bank
        with engine.session(self.bank, self.repository.key) as session:
            self.session: VaultSession = session

    def save(
        self, *, excludes: tuple[str, ...] = (), progress: Progress | None = None, parent: str | None = None
    ) -> SaveReport:
        return self.session.save_tree(
            str(self.source), tags=["protectd:test=1"], parent=parent, excludes=excludes, progress=progress
        )

    def restore(
        self, saved: SaveReport, name: str = "restored", *, overwrite: bool = False, trusted: bool = True
    ) -> RestoreReport:
        return self.session.restore_tree(
            saved.snapshot_id,
            saved.tree_id,
            str(self.source),
            str(self.top / name),
            RestoreOptions(overwrite=overwrite, trusted=trusted),
        )

    def locks(self) -> list[str]:
        return [item.key for item in self.bank.list("locks")]

    def file(self, name: str, data: bytes = b"content") -> Path:
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path


class Recorder(Progress):
    """Keeps every picture; asks for the end once `stop_when` says so of one."""

    def __init__(self, stop_when: Callable[[Counts], bool] = lambda counts: False) -> None:
        self.pictures: list[Counts] = []
        self._stop_when = stop_when

    def report(self, counts: Counts) -> None:
        self.pictures.append(counts)

    def check(self) -> None:
        if any(map(self._stop_when, self.pictures)):
            raise Cancelled


def kinds(issues: tuple[Issue, ...]) -> dict[str, str]:
    """Kind of issue by the last part of the path."""
    return {os.path.basename(issue.path): issue.kind for issue in issues}
