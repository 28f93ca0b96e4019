"""The unit of work: one session, one transaction, every repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.orm import Session, sessionmaker

from protectd.model import witness
from protectd.model.base import Base
from protectd.model.engine import make_engine
from protectd.model.errors import ConnectionLost
from protectd.model.repositories.acls import AclRepository
from protectd.model.repositories.audit_anchors import AuditAnchorRepository
from protectd.model.repositories.balances import BalanceRepository
from protectd.model.repositories.base import HASTY
from protectd.model.repositories.checkpoints import CheckpointRepository
from protectd.model.repositories.containers import ContainerRepository
from protectd.model.repositories.expiry import ExpiryRepository
from protectd.model.repositories.idempotency_keys import IdempotencyKeyRepository
from protectd.model.repositories.instances import InstanceRepository
from protectd.model.repositories.orders import OrderRepository
from protectd.model.repositories.plans import PlanRepository
from protectd.model.repositories.project_keys import ProjectKeyRepository
from protectd.model.repositories.quotas import QuotaRepository
from protectd.model.repositories.restores import RestoreRepository
from protectd.model.repositories.scheduled_operations import (
    OccurrenceRepository,
    ScheduledOperationRepository,
)
from protectd.model.repositories.secret_stores import SecretStoreRepository
from protectd.model.repositories.secrets import SecretRepository
from protectd.model.repositories.services import ServiceRepository
from protectd.model.repositories.tasks import TaskRepository
from protectd.model.repositories.tokens import TokenRepository
from protectd.model.repositories.triggers import TriggerRepository
from protectd.model.repositories.vaults import VaultRepository
from protectd.model.repositories.verifications import VerificationRepository
from protectd.model.resting import READS
from protectd.model.sqlite import WRITES, fold_log
from protectd.model.witness import WITNESS, Witness

T = TypeVar("T")
E = TypeVar("E", bound=Base)


class UnitOfWork:
    """Begins at its first statement. Used by one thread; entities stay readable after it ends.

    A reading one refuses to write. Nothing but `commit` makes a change last.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.plans = PlanRepository(session)
        self.checkpoints = CheckpointRepository(session)
        self.restores = RestoreRepository(session)
        self.verifications = VerificationRepository(session)
        self.tasks = TaskRepository(session)
        self.tokens = TokenRepository(session)
        self.instances = InstanceRepository(session)
        self.secrets = SecretRepository(session)
        self.secret_stores = SecretStoreRepository(session)
        self.containers = ContainerRepository(session)
        self.orders = OrderRepository(session)
        self.audit_anchors = AuditAnchorRepository(session)
        self.acls = AclRepository(session)
        self.project_keys = ProjectKeyRepository(session)
        self.vaults = VaultRepository(session)
        self.services = ServiceRepository(session)
        self.triggers = TriggerRepository(session)
        self.scheduled_operations = ScheduledOperationRepository(session)
        self.occurrences = OccurrenceRepository(session)
        self.expiry = ExpiryRepository(session)
        self.balances = BalanceRepository(session)
        self.quotas = QuotaRepository(session)
        self.idempotency_keys = IdempotencyKeyRepository(session)

    @property
    def witness(self) -> Witness | None:
        """A row that is there from the commit on, and only then. None: nothing that was flushed is fit."""
        return self.session.info.get(WITNESS)

    def again(self, entity: E) -> E:
        """An entity that another unit of work has left, as it was there; it is not read anew."""
        self.session.add(entity)
        return entity

    @contextmanager
    def hasty(self) -> Iterator[None]:
        """Within, an entity that another has locked is not waited for: `DatabaseUnavailable` at once."""
        self.session.info[HASTY] = True
        try:
            yield
        finally:
            del self.session.info[HASTY]

    def flush(self) -> None:
        """Send pending changes, so that the database checks them now."""
        self.session.flush()

    def commit(self) -> None:
        self.session.commit()

    def rollback(self) -> None:
        self.session.rollback()

    def close(self) -> None:
        """Give the connection back; what was not committed is gone."""
        self.session.close()


class Database:
    """One database of the service. Safe for use from many threads; connects at first use.

    :param url: an SQLAlchemy URL of an SQLite file, PostgreSQL or MariaDB/MySQL.
    :raises ConfigurationError: the URL is no such thing.

    Every method of it and of its units of work raises `DatabaseUnavailable` when the database cannot be
    reached, has no free connection or stays locked.
    """

    def __init__(self, url: str, *, pool_size: int = 10, max_overflow: int = 5) -> None:
        self.engine = make_engine(url, pool_size=pool_size, max_overflow=max_overflow)
        writing = self.engine.execution_options(**{WRITES: True})
        self._writers = sessionmaker(writing, expire_on_commit=False)
        reading = self.engine.execution_options(**{READS: True})
        self._readers = sessionmaker(reading, expire_on_commit=False, autoflush=False)
        event.listen(self._readers, "before_flush", _refuse)
        event.listen(self._writers, "after_flush", witness.note)

    def __repr__(self) -> str:
        return f"Database({self.engine.url.render_as_string(hide_password=True)!r})"

    def begin(self, *, write: bool) -> UnitOfWork:
        """A unit of work whose end is the caller's: `commit` or `rollback`, then always `close`."""
        return UnitOfWork((self._writers if write else self._readers)())

    @contextmanager
    def read(self) -> Iterator[UnitOfWork]:
        """A unit of work that is rolled back at the end of the block."""
        uow = self.begin(write=False)
        try:
            yield uow
        finally:
            uow.close()

    def ask(self, question: Callable[[UnitOfWork], T]) -> T:
        """Read, and read anew over a fresh connection when the one that was used is lost."""
        return _twice(self.read, question)

    def tell(self, change: Callable[[UnitOfWork], T]) -> T:
        """As `ask`, to write what may be written twice."""
        return _twice(self.write, change)

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        """A unit of work that commits at the end of the block, and rolls back when the block raises."""
        uow = self.begin(write=True)
        try:
            yield uow
            uow.commit()
        finally:
            uow.close()

    def fold_log(self) -> None:
        """Housekeeping, to be done every few seconds: spares those who commit to SQLite a part of their
        waiting. Elsewhere there is nothing to do."""
        if self.engine.dialect.name == "sqlite":
            fold_log(self.engine)

    def dispose(self) -> None:
        """Close idle connections. Safe to repeat; the next use connects again."""
        self.engine.dispose()


def _twice(begin: Callable[[], AbstractContextManager[UnitOfWork]], work: Callable[[UnitOfWork], T]) -> T:
    try:
        with begin() as uow:
            return work(uow)
    except ConnectionLost:
        with begin() as uow:
            return work(uow)


def _refuse(session: Session, context: Any, instances: Any) -> None:
    if session.new or session.deleted or any(session.is_modified(entity) for entity in session.dirty):
        raise RuntimeError("a reading unit of work was asked to write")
