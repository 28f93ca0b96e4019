"""What restore and verify share: a run over the saved data of an available checkpoint."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from protectd.common.errors import ProtectdError
from protectd.common.progress import Progress
from protectd.domain import parameters
from protectd.domain.providers import Provider
from protectd.model.models import Checkpoint, CheckpointResource, Restore, Verification
from protectd.model.states import CheckpointStatus, ResourceStatus, RunStatus, move
from protectd.model.unit_of_work import UnitOfWork
from protectd.plugin import runner
from protectd.plugin.base import Resource
from protectd.plugin.outcomes import Job, Outcome
from protectd.tasks.base import BaseTask
from protectd.tasks.entities import flat_graph, plugin_resource, provider_of, reasons, statuses
from protectd.tasks.env import OpenVault
from protectd.tasks.errors import EntityNotReady, NotSaved
from protectd.tasks.run import Run

R = TypeVar("R", Restore, Verification)


@dataclass(frozen=True)
class Saved:
    """Where one resource's data lies, as its row says: the bank is not asked."""

    resource: Resource
    snapshot_id: str
    tree_id: str
    info: Mapping[str, Any]
    files: int
    entries: int = 0
    data_bytes: int = 0


@dataclass
class SavedFacts:
    checkpoint_id: str
    parameters: parameters.Parameters
    saved: dict[str, Saved]
    depth: str = ""
    paths: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What of a resource is wanted, by `type#id`; everything of those that are not here."""

    outcomes: list[Outcome] = field(default_factory=list)


class SavedDataTask(BaseTask[R]):
    model: ClassVar[type[Any]]
    facts: ClassVar[type[SavedFacts]] = SavedFacts
    working_word: ClassVar[str]
    """What a resource is said to be while the run works on it."""

    success_word = RunStatus.SUCCESS
    failure_word = RunStatus.FAIL

    @abstractmethod
    def make_job(
        self, run: Run, provider: Provider, vault: OpenVault, saved: Saved, progress: Progress
    ) -> Job:
        """The plug-in's operation on one resource."""

    @abstractmethod
    def figures(self, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        """What the run's row tells of the work, whether it went well or not."""

    def told(self, run: Run) -> dict[str, Any]:
        """As `figures`: what is not in the outcomes."""
        return {}

    def judge(self, facts: SavedFacts, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """What came of the run, when a report can tell of a failure that nobody raised."""
        return list(outcomes)

    def saved_of(self, checkpoint: Checkpoint) -> dict[str, Saved]:
        """By `type#id`. :raises NotSaved: there is no data of one of its resources."""
        return {row.key: _saved(row) for row in checkpoint.resources}

    def wanted_of(self, entity: R, saved: dict[str, Saved]) -> dict[str, Saved]:
        """What of it the run is about."""
        return saved

    def handle_begin(self, uow: UnitOfWork, entity: R, run: Run) -> None:
        if entity.status not in (RunStatus.PENDING, RunStatus.IN_PROGRESS):
            raise EntityNotReady(
                kind=self.kind, id=entity.id, status=entity.status, expected=RunStatus.PENDING
            )
        checkpoint = uow.checkpoints.get(entity.checkpoint_id, entity.project_id)
        run.facts = self.facts(
            checkpoint_id=checkpoint.id,
            parameters=entity.parameters,
            saved=self.wanted_of(entity, self.saved_of(checkpoint)),
            depth=getattr(entity, "depth", ""),
            paths=getattr(entity, "chosen", None) or {},
        )
        self._start(uow, entity, run.facts)
        _check_available(checkpoint)

    def handle_processing(self, run: Run) -> None:
        facts: SavedFacts = run.facts
        provider = provider_of(self.env, run)
        with self.env.vaults.session(provider, run.context.project_id) as vault:
            facts.outcomes = self.judge(
                facts,
                runner.run(
                    flat_graph(saved.resource for saved in facts.saved.values()),
                    lambda resource, progress: self.make_job(
                        run, provider, vault, facts.saved[resource.key], progress
                    ),
                    run.progress,
                ),
            )
        error = runner.first_error(facts.outcomes)
        if error is not None:
            raise error

    def handle_success(self, uow: UnitOfWork, entity: R, run: Run) -> None:
        self._end(uow, entity, run, RunStatus.SUCCESS)

    def handle_error(self, uow: UnitOfWork, entity: R, error: ProtectdError, run: Run) -> None:
        self._end(uow, entity, run, RunStatus.FAIL, error_code=error.code, error_message=str(error))

    def _start(self, uow: UnitOfWork, entity: R, facts: SavedFacts) -> None:
        if entity.status == RunStatus.PENDING:
            move(
                uow.session,
                self.model,
                entity.id,
                RunStatus.PENDING,
                RunStatus.IN_PROGRESS,
                started_at=self.env.clock.now(),
                resources_status=dict.fromkeys(facts.saved, self.working_word),
            )

    def _end(self, uow: UnitOfWork, entity: R, run: Run, target: str, **values: Any) -> None:
        if entity.status not in (RunStatus.PENDING, RunStatus.IN_PROGRESS):
            return
        outcomes = run.facts.outcomes if run.facts else []
        move(
            uow.session,
            self.model,
            entity.id,
            entity.status,
            target,
            ended_at=self.env.clock.now(),
            resources_status=_ended(entity.resources_status) | statuses(outcomes),
            resources_reason=reasons(outcomes),
            **self.figures(outcomes),
            **(self.told(run) if run.facts else {}),
            **values,
        )


def _ended(before: Mapping[str, str]) -> dict[str, str]:
    """Nothing is under way in a run that has ended."""
    return dict.fromkeys(before, ResourceStatus.ERROR)


def _check_available(checkpoint: Checkpoint) -> None:
    if checkpoint.status != CheckpointStatus.AVAILABLE:
        raise EntityNotReady(
            kind="checkpoint",
            id=checkpoint.id,
            status=checkpoint.status,
            expected=CheckpointStatus.AVAILABLE,
        )


def _saved(row: CheckpointResource) -> Saved:
    """:raises NotSaved: an available checkpoint without data is a fault of ours, not an empty success."""
    if not row.snapshot_id or not row.tree_id:
        raise NotSaved(resource=row.key)
    return Saved(
        plugin_resource(row),
        row.snapshot_id,
        row.tree_id,
        row.saved_info or {},
        row.files,
        row.files + row.directories,
        row.logical_bytes,
    )
