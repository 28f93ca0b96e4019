"""Is all there, and as it was? What tests ask of the vaults of `vault_script` after something went wrong."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from protectd.common.reports import RestoreOptions
from protectd.vault.key_files import keys_of
from protectd.vault.snapshot import Snapshot
from protectd.vault.tags import checkpoint_of
from tests.fakes.tree import Entry, differences, tree
from tests.fakes.vault_kit import Restic
from tests.fakes.vault_script import SECOND_PASSWORD, STREAM, Held, Stage, stream_text


class Audit:
    """
    :param trees: what was saved, by checkpoint.
    :param room: a directory for what is restored.
    :param restic: says what restic makes of a vault; None where it cannot reach the banks.
    """

    def __init__(
        self,
        stage: Stage,
        trees: Mapping[str, dict[bytes, Entry]],
        room: Path,
        restic: Mapping[str, Restic] | None = None,
    ) -> None:
        self.stage = stage
        self._trees = trees
        self._room = room
        self._restic = restic or {}

    def assert_holds(self, least: Held, most: Held) -> None:
        """Every vault holds at least and at most these checkpoints, and each that it holds is whole."""
        for vault, checkpoints in least.items():
            session = self.stage.session(vault)
            snapshots = session.snapshots()
            assert checkpoints <= set(map(checkpoint_of, snapshots)) <= most[vault]
            with ThreadPoolExecutor(2) as threads:
                for _ in threads.map(partial(self.assert_restores, vault), snapshots):
                    pass
            assert session.check(None, read_data=True).errors == ()

    def assert_restic_agrees(self, vaults: Iterable[str]) -> None:
        """It finds no error; it may name garbage."""
        for vault in vaults:
            done = self._restic[vault].run("check", "--read-data")
            assert done.returncode == 0, done.stdout + done.stderr

    def assert_restores(self, vault: str, snapshot: Snapshot) -> None:
        """It comes back as it was saved, byte by byte."""
        checkpoint = checkpoint_of(snapshot)
        assert checkpoint is not None
        if checkpoint == "stream":
            pieces: list[bytes] = []
            self.stage.session(vault).restore_stream(snapshot.id, snapshot.tree, STREAM, pieces.append)
            assert b"".join(pieces) == stream_text()
        else:
            assert differences(self._trees[checkpoint], self._restored(vault, snapshot)) == []

    def _restored(self, vault: str, snapshot: Snapshot) -> dict[bytes, Entry]:
        target = self._room / f"{vault} {snapshot.id}"
        shutil.rmtree(target, ignore_errors=True)
        report = self.stage.session(vault).restore_tree(
            snapshot.id, snapshot.tree, str(self.stage.source), str(target), RestoreOptions(trusted=True)
        )
        assert report.issues == ()
        return tree(target)

    def assert_clean(self, vault: str) -> None:
        """After a prune nothing is there that nobody needs, in our eyes and in those of restic."""
        session = self.stage.session(vault)
        assert session.check(None, read_data=False).hints == ()
        assert session.stats().unneeded_bytes == 0
        if vault in self._restic:
            self._restic[vault].check()
        assert list(self.stage.bank(vault).list("locks")) == []

    def second_password_opens(self) -> bool:
        return bool(keys_of(self.stage.bank("here"), SECOND_PASSWORD))
