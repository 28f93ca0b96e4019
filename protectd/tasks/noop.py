"""The operations without their work: each is claimed and ended as simulated, and nothing is touched.

For drills of load and upgrades: all rows move as they would, while no bank and no host is asked for anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from protectd.model.models import Checkpoint, CheckpointResource, Order
from protectd.model.states import CheckpointStatus, ResourceStatus, move_all
from protectd.model.unit_of_work import UnitOfWork
from protectd.plugin.base import HandlerPlugin
from protectd.tasks.base import BaseTask
from protectd.tasks.copy import CopyCheckpoint
from protectd.tasks.delete import DeleteCheckpoint
from protectd.tasks.entities import move_resources
from protectd.tasks.errors import EntityNotReady
from protectd.tasks.hold import end_all
from protectd.tasks.note import NoteHold
from protectd.tasks.operations import makers
from protectd.tasks.order import BeginTypeOrder
from protectd.tasks.preview import PreviewRestore
from protectd.tasks.protect import ProtectCheckpoint, ProtectFacts
from protectd.tasks.prune import PruneVault
from protectd.tasks.reset import ResetCheckpoint
from protectd.tasks.restore import RestoreCheckpoint
from protectd.tasks.retain import RetainCheckpoints
from protectd.tasks.run import Run
from protectd.tasks.saved import Saved
from protectd.tasks.saving import sums
from protectd.tasks.verify import VerifyCheckpoint

PLAIN = object()
"""In place of an entity that was not read, because it is as a request leaves it."""


class Simulation(BaseTask[Any]):
    """Comes before an operation in the bases of a class, and takes its work away."""

    simulated = True

    def _entity(self, uow: UnitOfWork, run: Run) -> Any:
        """Nothing has taken any time since its begin, so it is not read anew. It moves only as far as its row
        is what it seems. Once: it shows what was written of it, also where that is rolled back."""
        entity, run.entity = run.entity, None
        return super()._entity(uow, run) if entity is None else uow.again(entity)

    def handle_processing(self, run: Run) -> None:
        run.progress.check()

    def handle_lost(self, run: Run) -> None:
        """There is nothing to take away."""


class SimulatedProtect(Simulation, ProtectCheckpoint):
    """However many go together, each of their moves is one statement."""

    def begin_all(self, uow: UnitOfWork, runs: Sequence[Run]) -> None:
        """Of those that are as a request leaves them. Others begin each for itself."""
        for run in runs:
            run.progress.check()
        plain = uow.checkpoints.lock_plain([run.entity_id for run in runs])
        chosen = [run for run in runs if run.entity_id in plain]
        source, target = CheckpointStatus.PENDING, CheckpointStatus.PROTECTING
        self._move(uow, chosen, source, target, started_at=self.env.clock.now())
        for run in chosen:
            run.facts, run.entity = ProtectFacts([], {}, {}, repeated=False), PLAIN
            run.begun = True

    def end_all(self, uow: UnitOfWork, runs: Sequence[Run]) -> None:
        if not all(run.entity is PLAIN for run in runs):
            return super().end_all(uow, runs)
        end_all(self.env, uow, runs, self.success_word, simulated=True)
        source, target = CheckpointStatus.PROTECTING, CheckpointStatus.AVAILABLE
        values = {"ended_at": self.env.clock.now(), "resource_graph": None, "partial": False}
        return self._move(uow, runs, source, target, manifest_id=None, **values, **sums(()))

    def _move(self, uow: UnitOfWork, runs: Sequence[Run], source: str, target: str, **values: Any) -> None:
        """:raises EntityNotReady: one of them is not what it was; the transaction must not go on."""
        ids = [run.entity_id for run in runs]
        move_all(uow.session, CheckpointResource, "checkpoint_id", ids, source, target)
        if move_all(uow.session, Checkpoint, "id", ids, source, target, **values) != len(ids):
            raise EntityNotReady(kind=self.kind, id=f"among {len(ids)}", status="moved", expected=source)

    def previous_of(self, uow: UnitOfWork, checkpoint: Checkpoint) -> dict[str, str]:
        return {}

    def handle_success(self, uow: UnitOfWork, checkpoint: Checkpoint, run: Run) -> None:
        move_resources(uow, checkpoint.resources, (ResourceStatus.PROTECTING,), ResourceStatus.AVAILABLE)
        super().handle_success(uow, checkpoint, run)


class SimulatedRestore(Simulation, RestoreCheckpoint):
    def saved_of(self, checkpoint: Checkpoint) -> dict[str, Saved]:
        return {}


class SimulatedVerify(Simulation, VerifyCheckpoint):
    def saved_of(self, checkpoint: Checkpoint) -> dict[str, Saved]:
        return {}

    def told(self, run: Run) -> dict[str, Any]:
        """No report: it is what tells a proof."""
        return {}


class SimulatedDelete(Simulation, DeleteCheckpoint):
    pass


class SimulatedPrune(Simulation, PruneVault):
    pass


class SimulatedCopy(Simulation, CopyCheckpoint):
    pass


class SimulatedReset(Simulation, ResetCheckpoint):
    pass


class SimulatedPreview(Simulation, PreviewRestore):
    def saved_of(self, checkpoint: Checkpoint) -> dict[str, Saved]:
        return {}


class SimulatedRetain(Simulation, RetainCheckpoints):
    pass


class SimulatedOrder(Simulation, BeginTypeOrder):
    """No key is made, so there is nothing to keep of several at once."""

    begin_all = BaseTask.begin_all
    end_all = BaseTask.end_all

    def handle_success(self, uow: UnitOfWork, order: Order, run: Run) -> None:
        self.orders.fulfil(uow, order, ())


class SimulatedNote(Simulation, NoteHold):
    pass


SIMULATED: tuple[type[BaseTask[Any]], ...] = (
    SimulatedProtect,
    SimulatedRestore,
    SimulatedVerify,
    SimulatedDelete,
    SimulatedPrune,
    SimulatedCopy,
    SimulatedReset,
    SimulatedPreview,
    SimulatedRetain,
    SimulatedOrder,
    SimulatedNote,
)


class NoopHandler(HandlerPlugin):
    is_brief = True

    def operations(self, env: Any) -> Mapping[str, Callable[[], BaseTask[Any]]]:
        return makers(env, SIMULATED)
