"""The operations without their work: each is claimed and ended as simulated, and nothing is touched.

For drills of load and upgrades: all rows move as they would, while no bank and no host is asked for anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from protectd.model.models import Checkpoint, Order
from protectd.model.states import ResourceStatus
from protectd.model.unit_of_work import UnitOfWork
from protectd.plugin.base import HandlerPlugin
from protectd.tasks.base import BaseTask
from protectd.tasks.copy import CopyCheckpoint
from protectd.tasks.delete import DeleteCheckpoint
from protectd.tasks.entities import move_resources
from protectd.tasks.operations import makers
from protectd.tasks.order import BeginTypeOrder
from protectd.tasks.preview import PreviewRestore
from protectd.tasks.protect import ProtectCheckpoint
from protectd.tasks.prune import PruneVault
from protectd.tasks.reset import ResetCheckpoint
from protectd.tasks.restore import RestoreCheckpoint
from protectd.tasks.retain import RetainCheckpoints
from protectd.tasks.run import Run
from protectd.tasks.saved import Saved
from protectd.tasks.verify import VerifyCheckpoint


class Simulation(BaseTask[Any]):
    """Comes before an operation in the bases of a class, and takes its work away."""

    simulated = True

    def _entity(self, uow: UnitOfWork, run: Run) -> Any:
        """Nothing has taken any time since its begin, so it is not read anew. It moves only as far as its row
        is what it seems."""
        return super()._entity(uow, run) if run.entity is None else uow.again(run.entity)

    def handle_processing(self, run: Run) -> None:
        run.progress.check()

    def handle_lost(self, run: Run) -> None:
        """There is nothing to take away."""


class SimulatedProtect(Simulation, ProtectCheckpoint):
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
    """No key is made."""

    def handle_success(self, uow: UnitOfWork, order: Order, run: Run) -> None:
        self.orders.fulfil(uow, order, ())


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
)


class NoopHandler(HandlerPlugin):
    def operations(self, env: Any) -> Mapping[str, Callable[[], BaseTask[Any]]]:
        return makers(env, SIMULATED)
