"""Clocks that jump."""

from __future__ import annotations

from collections.abc import Callable

from tests.drills.scene import Scene
from tests.fakes.daemons import wait_for

HOUR_S = 3600


def step_worker(hours: int) -> Callable[[Scene], None]:
    """A worker's clock jumps in the middle of its work; then it dies."""

    def inject(scene: Scene) -> None:
        worker, clock = scene.site.workers[1], scene.site.clock("worker")
        scene.site.restart_with(worker, clock.environment)
        wait_for("the worker", lambda: worker.text().count("listening"), 30, worker)
        scene.protect_big()
        clock.step(hours * HOUR_S)
        scene.pause(2, 4)
        scene.protect_big()
        scene.pause(0.2, 0.8)
        scene.site.kill(worker)

    return inject


def step_engine(hours: int) -> Callable[[Scene], None]:
    """One engine's clock jumps while the other's is right."""

    def inject(scene: Scene) -> None:
        engine, clock = scene.site.engines[1], scene.site.clock("engine")
        scene.site.restart_with(engine, clock.environment)
        wait_for("the engine", lambda: "looking" in engine.text(), 30, engine)
        scene.protect_big()
        clock.step(hours * HOUR_S)
        scene.pause(2, 4)
        scene.protect_big()
        scene.pause(3, 5)

    return inject
