"""From one secret store to another, while both are in use: nothing is without a seal, and everything opens.

The key of a project keeps its id and is sealed by the other store, so its secrets open all the while: those
that are being read, and those that someone is about to keep. Each batch is one transaction. Whoever is killed
in between leaves some in one store and some in the other; the next run goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from protectd.common.errors import ConfigurationError
from protectd.domain.key_rotation import BATCH, Told, reseal
from protectd.domain.project_keys import ProjectKeys
from protectd.model.models import ProjectKeyRow
from protectd.model.unit_of_work import Database, UnitOfWork
from protectd.plugin.base import NoMasterKey, SecretDamaged, WrappedKey

MOST_PASSES = 5
"""What others put into the store meanwhile is moved by the next pass; whoever goes on doing so is told of."""

Position = tuple[str, int]
"""Project and generation of a key."""


class Trail(Protocol):
    """What is told before it is done: it is on the disk when `settle` returns."""

    def note(self, event: str, project_id: str, **subject: str) -> None: ...

    def settle(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Held:
    """What a store has. :ivar secrets: that stand in it, whoever has sealed them.
    :ivar preferences: projects that prefer it."""

    project_keys: int
    secrets: int
    preferences: int


@dataclass(frozen=True, slots=True)
class Moved:
    """:ivar damaged: ids of keys and secrets that do not open, and are where they were.
    :ivar left: what the store still has."""

    project_keys: int
    secrets: int
    preferences: int
    damaged: list[str]
    left: Held

    @property
    def is_empty(self) -> bool:
        return self.left == Held(0, 0, 0)


class StoreMove:
    """Out of `source`, into `target`. Any number may work at once, beside rewraps and all services.

    :raises StoreNotConfigured: one of them is not there.
    :raises ConfigurationError: both are the same.
    :raises NoMasterKey: the target has no master key yet.
    """

    def __init__(self, database: Database, keys: ProjectKeys, source: str, target: str, trail: Trail) -> None:
        if source == target:
            raise ConfigurationError(where=f"secret store {source}", reason="it cannot be moved to itself")
        self._database = database
        self._keys = keys
        self._source, self._from = source, keys.store(source)
        self._target, self._into = target, keys.store(target)
        self._trail = trail
        if not self._into.master_key_ids():
            raise NoMasterKey(secret_id=f"what {source} has")

    def run(self, batch: int = BATCH, told: Told = lambda _: None) -> Moved:
        """Safe to repeat, and to break off."""
        run = _Run(self, batch, told)
        for _ in range(MOST_PASSES):
            if not run.one_pass():
                break
        damaged = sorted(run.damaged)
        return Moved(run.project_keys, run.secrets, run.preferences, damaged, self.left())

    def left(self) -> Held:
        with self._database.read() as uow:
            return Held(
                uow.project_keys.count(self._source),
                uow.secrets.count_in(self._source),
                uow.secret_stores.count_preferring(self._source),
            )

    # --- one batch ---

    def preferences(self, batch: int) -> int:
        """Let projects prefer the target, before anything else: or they would fill the source again."""
        with self._database.write() as uow:
            project_ids = uow.secret_stores.preferring(self._source, batch)
            for project_id in project_ids:
                self._note("store.preferred", project_id)
            self._trail.settle()
            uow.secret_stores.prefer_instead(self._source, self._target, project_ids)
        return len(project_ids)

    def keys(self, batch: int, after: Position | None) -> tuple[Position | None, int, list[str]]:
        """:returns: where to go on (None: that was all), how many were moved, and ids of damaged ones."""
        with self._database.write() as uow:
            uow.project_keys.lock_master_keys()
            rows = uow.project_keys.of_store(self._source, batch, after)
            opened, damaged = self._opened(rows)
            numbers = self._generations(uow, [row for row, _ in opened])
            for row, _ in opened:
                self._note("key.moved", row.project_id, key_id=row.id)
            self._trail.settle()
            moved = [(row.id, numbers[row.id], self._sealed(row, raw)) for row, raw in opened]
            uow.project_keys.move(self._source, self._target, moved)
            last = (rows[-1].project_id, rows[-1].generation) if len(rows) == batch else None
        return last, len(opened), damaged

    def _opened(self, rows: Sequence[ProjectKeyRow]) -> tuple[list[tuple[ProjectKeyRow, bytes]], list[str]]:
        opened, damaged = [], []
        for row in rows:
            wrapped = WrappedKey(row.master_key_id, bytes(row.wrapped))
            try:
                raw = self._from.take_out(wrapped, key_id=row.id, project_id=row.project_id)
            except SecretDamaged:
                damaged.append(row.id)
            else:
                opened.append((row, raw))
        return opened, damaged

    def _sealed(self, row: ProjectKeyRow, raw: bytes) -> tuple[str, bytes]:
        made = self._into.take_in(raw, key_id=row.id, project_id=row.project_id)
        return made.master_key_id, made.wrapped

    def _generations(self, uow: UnitOfWork, rows: Sequence[ProjectKeyRow]) -> dict[str, int]:
        """By id. Before those that a project has in the target, whose newest goes on sealing; a project's
        keys come the newest first."""
        lowest = uow.project_keys.lowest_generations(self._target, {row.project_id for row in rows})
        numbers = {}
        for row in rows:
            number = lowest.get(row.project_id, row.generation + 1) - 1
            lowest[row.project_id] = numbers[row.id] = number
        return numbers

    def direct_names(self) -> list[str]:
        """Master keys that seal secrets themselves, as nobody does any more."""
        with self._database.read() as uow:
            return sorted(name for store, name in uow.project_keys.direct_counts() if store == self._source)

    def direct(self, name: str, batch: int, skipped: Sequence[str]) -> tuple[int, list[str]]:
        """Give secrets that a master key seals itself to their projects' keys; how many, and damaged ones."""
        with self._database.write() as uow:
            found = uow.project_keys.directly_sealed(self._source, name, batch + len(skipped))
            wanted = [row for row in found if row.id not in skipped][:batch]
            for secret in wanted:
                self._note("secret.moved", secret.project_id, secret_id=secret.id)
            self._trail.settle()
            return reseal(uow, self._keys, wanted, self._target)

    def secrets(self, batch: int, after_id: str) -> tuple[str | None, int]:
        """Let those whose keys are in the target, or that have no payload yet, stand there, too.

        :returns: the id to go on after (None: that was all), and how many there were."""
        with self._database.write() as uow:
            ids = uow.secrets.left_in(self._source, self._target, batch, after_id)
            uow.secrets.put_in(self._source, self._target, ids)
        return (ids[-1] if len(ids) == batch else None), len(ids)

    def _note(self, event: str, project_id: str, **subject: str) -> None:
        self._trail.note(event, project_id, source=self._source, target=self._target, **subject)


class _Run:
    """Ways through everything that the source has."""

    def __init__(self, move: StoreMove, batch: int, told: Callable[[int], object]) -> None:
        self._move = move
        self._batch = batch
        self._told = told
        self.project_keys = 0
        self.secrets = 0
        self.preferences = 0
        self.damaged: set[str] = set()

    def one_pass(self) -> bool:
        """:returns: whether anything was moved."""
        before = self._done()
        self._preferences()
        self._keys()
        self._direct()
        self._secrets()
        return self._done() > before

    def _done(self) -> int:
        return self.project_keys + self.secrets + self.preferences

    def _preferences(self) -> None:
        while done := self._move.preferences(self._batch):
            self.preferences += done
            self._told(self._done())

    def _keys(self) -> None:
        after, more = None, True
        while more:
            after, done, damaged = self._move.keys(self._batch, after)
            self.project_keys += done
            self.damaged.update(damaged)
            self._told(self._done())
            more = after is not None

    def _direct(self) -> None:
        for name in self._move.direct_names():
            more = True
            while more:
                done, damaged = self._move.direct(name, self._batch, sorted(self.damaged))
                self.secrets += done
                self.damaged.update(damaged)
                self._told(self._done())
                more = bool(done + len(damaged))

    def _secrets(self) -> None:
        after: str | None = ""
        while after is not None:
            after, done = self._move.secrets(self._batch, after)
            self.secrets += done
            self._told(self._done())
