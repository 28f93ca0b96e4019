"""What is done to a site, one small function each. When it returns, the fault is over or is healed next."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

from tests.drills import points
from tests.drills.echo import Echo
from tests.drills.load import Load, Operation
from tests.drills.processes import family, signal_all
from tests.drills.site import BALLAST, LEASE_S, Site
from tests.drills.wires import ENDS_A_TASK, Scissors
from tests.fakes.daemons import Daemon, wait_for

HOUR_S = 3600
TAKEN_S = 60.0
"""A lost task is with another worker by then: a lease, and what a database gives a silent session beyond."""
SERVERS = frozenset({"postgresql", "mariadb"})
"""Whoever sleeps with SQLite's one lock keeps all others from writing, so nobody is put to sleep on it."""

SEPARATE = SERVERS | {"sqlite"}
TOGETHER = frozenset({"together"})


@dataclass
class Scene:
    """:ivar backlog: how many operations are asked for while nobody works."""

    site: Site
    load: Load
    chance: random.Random
    backlog: int = 60

    def pause(self, least_s: float, most_s: float) -> None:
        time.sleep(self.chance.uniform(least_s, most_s))

    def protect_big(self) -> Operation:
        return self.load.protect_big()

    def restore_big(self) -> Operation:
        """Of a big checkpoint, made first where there is none."""
        done = self.load.protect_big()
        records = self.site.records
        wait_for("a checkpoint", lambda: records.status("checkpoints", done.id) == "available", 60)
        self.load.checkpoints[done.id] = done.tree
        asked = self.load.restore(done.id)
        assert asked is not None
        return asked


@dataclass(frozen=True)
class Fault:
    """:ivar kinds: of sites that it can be done to.
    :ivar load: operations that are asked for meanwhile.
    :ivar slow: takes close to a minute, by its nature.
    """

    name: str
    inject: Callable[[Scene], None]
    kinds: frozenset[str] = SEPARATE
    load: int = 12
    slow: bool = False


def nothing(scene: Scene) -> None:
    scene.pause(1, 2)


# --- processes ---


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


# --- the broker ---


def cut_broker(scene: Scene) -> None:
    for _ in range(4):
        scene.pause(0.2, 1)
        assert scene.site.broker is not None
        scene.site.broker.cut()


def stall_broker(scene: Scene) -> None:
    assert scene.site.broker is not None
    scene.site.broker.hold()
    scene.pause(4, 6)
    scene.site.broker.release()


def stop_broker(scene: Scene) -> None:
    """As a restart of it looks from here."""
    assert scene.site.broker is not None
    scene.site.broker.down()
    scene.pause(4, 8)
    scene.site.broker.up()


def repeat_messages(scene: Scene) -> None:
    """Every message comes again, some late, some in another order, some never."""
    assert scene.site.bus is not None
    with Echo(scene.site.bus, scene.chance) as echo:
        scene.pause(3, 5)
    assert echo.repeated, "no message was heard"


# --- the database ---


def cut_database(scene: Scene) -> None:
    for _ in range(4):
        scene.pause(0.2, 1)
        assert scene.site.database is not None
        scene.site.database.cut()


def stop_database(scene: Scene) -> None:
    assert scene.site.database is not None
    scene.site.database.down()
    scene.pause(3, 6)
    scene.site.database.up()


def kill_connection_at_the_end(scene: Scene) -> None:
    """The server ends the session that is about to end a task."""
    with points.ending(scene.site, scene.protect_big) as met:
        assert met.connection is not None
        scene.site.records.end_connection(met.connection)


def lose_commit(scene: Scene) -> None:
    _cut_at_commit(scene, heard=False)


def lose_answer_to_commit(scene: Scene) -> None:
    _cut_at_commit(scene, heard=True)


def _cut_at_commit(scene: Scene, *, heard: bool) -> None:
    site = scene.site
    assert site.database is not None
    for _ in range(2):
        scissors = Scissors(ENDS_A_TASK[site.records.kind], heard)
        site.database.arm(scissors)
        scene.protect_big()
        assert scissors.cut.wait(30), "no task came to its end"


def fill_disk(scene: Scene) -> None:
    """Nothing more can be written to the database, for a while."""
    scene.pause(0.5, 1)
    ballast = scene.site.top / "state" / BALLAST
    with suppress(OSError), open(ballast, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    scene.pause(3, 5)
    ballast.unlink()


# --- clocks ---


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


# --- many ---


def back_up(scene: Scene) -> None:
    """Many wait when the workers start."""
    for worker in scene.site.workers:
        scene.site.kill(worker)
    for _ in range(scene.backlog):
        scene.load.ask("checkpoint")
    for worker in scene.site.workers:
        worker.start()


FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("nothing", nothing, SEPARATE | TOGETHER),
        Fault("kill-worker", kill_workers, SEPARATE | TOGETHER),
        Fault("kill-engine", kill_engines),
        Fault("kill-api", kill_apis),
        Fault("kill-everything", kill_everything, SEPARATE | TOGETHER),
        Fault("kill-worker-at-claim", kill_at(points.claimed), SERVERS),
        Fault("kill-worker-at-stream", kill_at(points.streaming)),
        Fault("kill-worker-at-snapshot", kill_at(points.stored)),
        Fault("kill-worker-at-end", kill_at(points.ending), SERVERS),
        Fault("kill-worker-in-restore", kill_at(points.streaming, restore=True)),
        Fault("stop-worker-at-claim", stop_at(points.claimed), SERVERS, load=6),
        Fault("stop-worker-at-stream", stop_at(points.streaming), SERVERS, load=6),
        Fault("stop-worker-at-snapshot", stop_at(points.stored), SERVERS, load=6),
        Fault("stop-worker-at-end", stop_at(points.ending), SERVERS, load=6, slow=True),
        Fault("stop-worker-in-restore", stop_at(points.streaming, restore=True), SERVERS, load=6),
        Fault("stop-engine", stop_engine, SERVERS),
        Fault("cut-broker", cut_broker),
        Fault("stall-broker", stall_broker),
        Fault("stop-broker", stop_broker),
        Fault("repeat-messages", repeat_messages),
        Fault("cut-database", cut_database, SERVERS),
        Fault("stop-database", stop_database, SERVERS),
        Fault("kill-connection-at-end", kill_connection_at_the_end, SERVERS),
        Fault("lose-commit", lose_commit, SERVERS),
        Fault("lose-answer-to-commit", lose_answer_to_commit, SERVERS),
        Fault("full-disk", fill_disk, TOGETHER),
        Fault("worker-clock-ahead", step_worker(1)),
        Fault("worker-clock-behind", step_worker(-1)),
        Fault("engine-clock-ahead", step_engine(1)),
        Fault("engine-clock-behind", step_engine(-1)),
        Fault("backlog", back_up, load=0, slow=True),
    )
}
