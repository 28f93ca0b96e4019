"""What an operation adds to the common course of tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

from protectd.common.errors import ProtectdError, Unavailable
from protectd.domain.submission import Submission
from protectd.model.unit_of_work import UnitOfWork
from protectd.tasks.env import TaskEnv
from protectd.tasks.run import Run
from protectd.vault.errors import VaultLocked

E = TypeVar("E")


class TaskHooks(ABC, Generic[E]):
    """The part that every operation fills in; when and how often each is called.

    :cvar kind: what the entity is called in messages.
    :cvar success_word: the contract's word for the good end; `failure_word` for the bad one.
    :cvar retry_on: errors after which the task comes back later, until its attempts are used up.
    :cvar wait_on: errors that only mean "not now": they cost no attempt, and the next one follows soon.
    :cvar patient: waiting never becomes a failure, because nobody waits for this operation.
    :cvar simulated: it moves rows and touches nothing else; its task says so.
    """

    operation: ClassVar[str]
    kind: ClassVar[str]
    success_word: ClassVar[str]
    failure_word: ClassVar[str]
    retry_on: ClassVar[tuple[type[ProtectdError], ...]] = (Unavailable,)
    wait_on: ClassVar[tuple[type[ProtectdError], ...]] = (VaultLocked,)
    patient: ClassVar[bool] = False
    simulated: ClassVar[bool] = False

    def __init__(self, env: TaskEnv) -> None:
        self.env = env

    def get_name(self) -> str:
        return f"{self.operation} {self.kind}"

    @abstractmethod
    def retrieve_entity(self, uow: UnitOfWork, entity_id: str) -> E:
        """:raises NotFound: it is gone; the task then ends without a word."""

    @abstractmethod
    def handle_begin(self, uow: UnitOfWork, entity: E, run: Run) -> None:
        """Move the entity to its working state and put into `run.facts` what the work needs. A repeated
        attempt finds it in the working state already."""

    @abstractmethod
    def handle_processing(self, run: Run) -> None:
        """Do the work; no transaction is open. May be repeated from the start after any interruption."""

    @abstractmethod
    def handle_success(self, uow: UnitOfWork, entity: E, run: Run) -> None:
        """Move the entity to its good end, in the transaction that ends the task. May be repeated whole."""

    @abstractmethod
    def handle_error(self, uow: UnitOfWork, entity: E, error: ProtectdError, run: Run) -> None:
        """Move the entity to its bad end, with code and reason, in the transaction that ends the task. Also
        called for a task whose worker vanished: `run.facts` may be None."""

    def handle_lost(self, run: Run) -> None:
        """Take away what only this attempt has made: another has the task. Nothing else may be touched."""

    def submit_follow_ons(self, submission: Submission, run: Run) -> None:
        """Add tasks that come after this one, in the transaction that ends it well."""
