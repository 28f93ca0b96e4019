"""Importing: rows of checkpoints made anew from what their vault says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from protectd.common.errors import ProtectdError, Unavailable
from protectd.domain import describing, hold_notes, manifests, quota
from protectd.domain.hold_notes import Hold
from protectd.domain.manifests import Manifest, ManifestDamaged
from protectd.model.states import CheckpointStatus
from protectd.model.unit_of_work import Database, UnitOfWork
from protectd.vault.reading import Reading
from protectd.vault.snapshot import Snapshot

UNREAD = "the vault says that it is held; why, cannot be read"
IMPORT = "vault import"


@dataclass
class Imported:
    """By ids of checkpoints.

    :ivar known: there was a row, whatever it says, so no more was done than to hold it.
    :ivar held: their vault says that they are, and their rows do from now on.
    :ivar left_out: and why.
    """

    imported: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Importer:
    """Safe to repeat, and beside a running service: a checkpoint that has a row is left alone, one that was
    deleted with it. What is imported belongs to the place of its vault, whatever its manifest says.

    A hold is placed also where there is a row: the database may be older than the hold. One that was lifted
    when the database was lost comes back with it, and an administrator lifts it again.

    :ivar host: where restores go, where the host of the data is gone; None: as it was.
    """

    database: Database
    provider_id: str
    project_id: str
    dry_run: bool = False
    host: str | None = None

    def run(self, looking: Reading) -> Imported:
        """:param looking: into the open vault of this provider and project."""
        done = Imported()
        snapshots = looking.snapshots()
        for checkpoint_id, found in describing.described(snapshots).items():
            if self._is_known(checkpoint_id):
                done.known.append(checkpoint_id)
                continue
            self._import(looking, snapshots, checkpoint_id, found, done)
        self._hold_all(looking, [id for id in hold_notes.noted(snapshots) if id not in done.left_out], done)
        return done

    def _import(
        self,
        looking: Reading,
        snapshots: list[Snapshot],
        checkpoint_id: str,
        found: list[Snapshot],
        done: Imported,
    ) -> None:
        """From the newest description whose data is there: a late attempt may have left another."""
        for made in self._usable(looking, snapshots, found):
            if isinstance(made, ProtectdError):
                done.left_out.setdefault(checkpoint_id, str(made))
                continue
            done.left_out.pop(checkpoint_id, None)
            (done.imported if self._add(*made) else done.known).append(checkpoint_id)
            return

    def _hold_all(self, looking: Reading, ids: Sequence[str], done: Imported) -> None:
        """What is imported takes its time, so the vault is asked anew. Of what it says then, a row knows if
        it has not been told since that it says something else."""
        if not ids:
            return
        told = {id: self._last_told(id) for id in ids}
        found = hold_notes.noted(looking.snapshots())
        for id in filter(found.__contains__, ids):
            if self._hold(id, _said(looking, found[id]), told[id], done):
                done.held.append(id)

    def _last_told(self, checkpoint_id: str) -> str | None:
        with self.database.read() as uow:
            return _last_note(uow, checkpoint_id)

    def _hold(self, checkpoint_id: str, hold: Hold, told: str | None, done: Imported) -> bool:
        """Whether it is one that is held from now on. :param told: the task that had told the vault of it
        last, when that was not asked yet."""
        if self.dry_run and checkpoint_id in done.imported:
            return True
        with self.database.write() as uow:
            row = uow.checkpoints.find(checkpoint_id, self.project_id, lock=True)
            if row is None or row.provider_id != self.provider_id or row.held_at is not None:
                return False
            if row.status == CheckpointStatus.DELETING:
                return False
            # Somebody has changed it, and the vault is about to say so; or it has said so meanwhile.
            if uow.tasks.live("hold", checkpoint_id) or _last_note(uow, checkpoint_id) != told:
                done.left_out[checkpoint_id] = "its hold is being changed; run it again"
                return False
            if not self.dry_run:
                hold.place(row)
        return True

    def _is_known(self, checkpoint_id: str) -> bool:
        with self.database.read() as uow:
            return uow.checkpoints.find(checkpoint_id, include_deleted=True) is not None

    def _add(self, manifest: Manifest, located: dict[str, str], manifest_id: str) -> bool:
        if self.dry_run:
            return True
        with self.database.write() as uow:
            vault = uow.vaults.of(self.provider_id, self.project_id)
            if vault is not None:
                uow.vaults.get(vault.id, lock=True)  # of two imports at once one waits
            if uow.checkpoints.find(manifest.id, include_deleted=True) is not None:
                return False
            row = manifests.row_of(manifest, self.provider_id, self.project_id, located)
            row.manifest_id, row.host = manifest_id, self.host or row.host
            quota.keep(uow, uow.checkpoints.add(row), row.stored_bytes)
        return True

    def _usable(
        self, looking: Reading, snapshots: list[Snapshot], found: list[Snapshot]
    ) -> Iterator[tuple[Manifest, dict[str, str], str] | ProtectdError]:
        for snapshot in found:
            try:
                manifest = describing.read(looking, snapshot)
                self._check_named(manifest)
                yield manifest, manifests.located(manifest, snapshots), snapshot.id
            except Unavailable:
                raise
            except ProtectdError as error:
                yield error

    def _check_named(self, manifest: Manifest) -> None:
        """Whoever has the password of a vault writes there what they like, and what a plan has made decides
        what its retention lets go.

        :raises ManifestDamaged: it names something of another project.
        """
        said = manifest.checkpoint
        with self.database.read() as uow:
            named = {
                "plan": uow.plans.find(said["plan"]["id"]),
                "checkpoint": uow.checkpoints.find(said.get("source_id") or ""),
            }
        for noun, row in named.items():
            if row is not None and row.project_id != self.project_id:
                reason = f"it names a {noun} of another project"
                raise ManifestDamaged(checkpoint_id=manifest.id, reason=reason)


def _last_note(uow: UnitOfWork, checkpoint_id: str) -> str | None:
    ended = uow.tasks.newest_ended("hold", checkpoint_id, "note")
    return None if ended is None else ended.id


def _said(looking: Reading, notes: Sequence[Snapshot]) -> Hold:
    """What the notes of one checkpoint say; it is held even where none of them reads."""
    said = hold_notes.readable(looking, notes)
    return next(iter(said.values()), Hold(UNREAD, IMPORT, notes[0].time))
