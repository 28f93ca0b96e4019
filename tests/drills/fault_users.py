"""Users who ask for much, and who think better of it."""

from __future__ import annotations

from tests.drills.load import Operation
from tests.drills.scene import Scene
from tests.fakes.daemons import wait_for

CANCEL_S = 10.0


def nothing(scene: Scene) -> None:
    scene.pause(1, 2)


def back_up(scene: Scene) -> None:
    """Many wait when the workers start."""
    for worker in scene.site.workers:
        scene.site.kill(worker)
    for _ in range(scene.backlog):
        scene.load.ask("checkpoint")
    for worker in scene.site.workers:
        worker.start()


def cancel_some(scene: Scene) -> None:
    """Big ones are asked to end, at any moment; the worker of some dies of it."""
    for _ in range(4):
        operation = scene.chance.choice((scene.protect_big, scene.restore_big))()
        scene.pause(0, 0.6)
        worker = scene.site.records.worker_of(operation.id)
        if not scene.load.cancel(operation):
            continue
        if worker is not None and scene.chance.random() < 0.3:
            daemon = scene.site.worker_with(worker)
            scene.site.kill(daemon)
            daemon.start()
        else:
            _wait_for_the_end(scene, operation)


def _wait_for_the_end(scene: Scene, operation: Operation) -> None:
    def ended() -> bool:
        return scene.site.records.task(operation.id).state not in ("pending", "running")

    wait_for(f"the end of {operation.kind} {operation.id} that was cancelled", ended, CANCEL_S)
