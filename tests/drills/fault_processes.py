"""Processes that die or sleep."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager

from tests.drills import points
from tests.drills.processes import family, signal_all
from tests.drills.scene import Scene
from tests.drills.site import LEASE_S, Site
from tests.fakes.daemons import Daemon, wait_for

TAKEN_S = 60.0
"""A lost task is with another worker by then: a lease, and what a database gives a silent session beyond."""


def kill_workers(scene: Scene) -> None:
    """Three times, at any moment."""
    _kill_some(scene, scene.site.workers, 3)


def kill_engines(scene: Scene) -> None:
    _kill_some(scene, scene.site.engines, 3)


def kill_apis(scene: Scene) -> None:
    """The whole of it, its parent alone, or one that answers."""
    for _ in range(3):
        scene.pause(0.2, 1)
        api = scene.chance.choice(scene.site.apis)
        pids = family(api.pid)
        way = scene.chance.choice(("whole", "parent", "child"))
        if way == "child" and len(pids) > 1:
            signal_all([scene.chance.choice(pids[1:])], signal.SIGKILL)
        else:
            scene.site.kill(api, whole=way == "whole")
        scene.site.revive()


def kill_everything(scene: Scene) -> None:
    scene.pause(0.5, 1.5)
    for daemon in scene.site.daemons:
        scene.site.kill(daemon)
    scene.pause(0, 1)
    scene.site.revive()


def _kill_some(scene: Scene, daemons: list[Daemon], times: int) -> None:
    for _ in range(times):
        scene.pause(0.2, 1.2)
        daemon = scene.chance.choice(daemons)
        scene.site.kill(daemon, whole=scene.chance.random() < 0.5)
        scene.pause(0, 0.5)
        daemon.start()


At = Callable[[Site, points.Ask], AbstractContextManager[points.Met]]


def kill_at(point: At, *, restore: bool = False) -> Callable[[Scene], None]:
    """The worker dies there, its children by themselves."""

    def inject(scene: Scene) -> None:
        with point(scene.site, scene.restore_big if restore else scene.protect_big) as met:
            worker = scene.site.worker_with(met.pid)
            scene.site.kill(worker, whole=False)
        worker.start()

    return inject


def stop_at(point: At, *, restore: bool = False) -> Callable[[Scene], None]:
    """The worker sleeps there until another has taken the task over, or its whole machine does."""

    def inject(scene: Scene) -> None:
        with point(scene.site, scene.restore_big if restore else scene.protect_big) as met:
            whole = scene.chance.random() < 0.5
            pids = family(met.pid) if whole else [met.pid]
            signal_all(pids, signal.SIGSTOP)
            met.go_on()
            try:
                _wait_for_another(scene, met)
                scene.pause(0, 2)
            finally:
                signal_all(pids, signal.SIGCONT)

    return inject


def _wait_for_another(scene: Scene, met: points.Met) -> None:
    """Beyond the lease; a task that ended before its worker slept needs nobody."""
    records, id = scene.site.records, met.operation.id

    def taken() -> bool:
        task = records.task(id)
        return task.state not in ("pending", "running") or records.worker_of(id) not in (met.pid, None)

    wait_for(f"another worker for {id} whose own sleeps", taken, TAKEN_S)


def stop_engine(scene: Scene) -> None:
    """One sleeps; the other does for both."""
    engine = scene.site.engines[0]
    signal_all([engine.pid], signal.SIGSTOP)
    kill_workers(scene)
    scene.pause(LEASE_S, LEASE_S + 1)
    signal_all([engine.pid], signal.SIGCONT)
