"""What is done to a site. When it returns, the fault is over or is healed next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.drills import points
from tests.drills.fault_clocks import step_engine, step_worker
from tests.drills.fault_processes import (
    kill_apis,
    kill_at,
    kill_engines,
    kill_everything,
    kill_workers,
    stop_at,
    stop_engine,
)
from tests.drills.fault_servers import (
    cut_at_commit,
    cut_broker,
    cut_database,
    fill_disk,
    kill_connection_at_the_end,
    repeat_messages,
    restart_broker,
    restart_database,
    stall_broker,
    stop_broker,
    stop_database,
)
from tests.drills.fault_storms import storm
from tests.drills.fault_users import back_up, cancel_some, nothing
from tests.drills.scene import Scene

SERVERS = frozenset({"postgresql", "mariadb"})
"""Whoever sleeps with SQLite's one lock keeps all others from writing, so nobody is put to sleep on it."""

SEPARATE = SERVERS | {"sqlite"}
TOGETHER = frozenset({"together"})
OWN = frozenset({"own-postgresql", "own-mariadb"})


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
        Fault("lose-end", cut_at_commit("end", heard=False), SERVERS),
        Fault("lose-answer-to-end", cut_at_commit("end", heard=True), SERVERS),
        Fault("lose-claim", cut_at_commit("claim", heard=False), SERVERS),
        Fault("lose-answer-to-claim", cut_at_commit("claim", heard=True), SERVERS),
        Fault("lose-request", cut_at_commit("request", heard=False), SERVERS),
        Fault("lose-answer-to-request", cut_at_commit("request", heard=True), SERVERS),
        Fault("restart-broker", restart_broker, OWN, load=0),
        Fault("restart-database", restart_database, OWN),
        Fault("full-disk", fill_disk, TOGETHER),
        Fault("worker-clock-ahead", step_worker(1)),
        Fault("worker-clock-behind", step_worker(-1)),
        Fault("engine-clock-ahead", step_engine(1)),
        Fault("engine-clock-behind", step_engine(-1)),
        Fault("storm", storm, SERVERS, load=20),
        Fault("cancel", cancel_some, SEPARATE | TOGETHER),
        Fault("backlog", back_up, load=0, slow=True),
    )
}
