"""An installation: two APIs, two workers and two engines over real servers; or everything in one process."""

from __future__ import annotations

import signal
import uuid
from dataclasses import dataclass
from pathlib import Path

from tests.drills.clocks import StepClock
from tests.drills.own_servers import Servers
from tests.drills.processes import MARK, family, kill, signal_all
from tests.drills.records import Records
from tests.drills.wires import Wire
from tests.fakes.daemons import Daemon, healthy, manage, restic_environment, wait_for
from tests.fakes.servers import Bus

LEASE_S = 3
BALLAST = "ballast"


@dataclass(frozen=True)
class Tenant:
    token: str
    project_id: str


class Site:
    """Its daemons, the wires they hang on, and what is known of them from outside.

    :ivar records: the database, by a way of its own.
    :ivar options: of `protectd-manage`.
    :ivar servers: those that are its own; None: it shares them, and hangs on wires to them alone.
    """

    def __init__(self, top: Path, records: Records, options: list[str], simulated: bool = False) -> None:
        self.top = top
        self.mark = uuid.uuid4().hex
        self.records = records
        self.options = options
        self.simulated = simulated
        self.apis: list[Daemon] = []
        self.workers: list[Daemon] = []
        self.engines: list[Daemon] = []
        self.endpoints: list[str] = []
        self.broker: Wire | None = None
        self.database: Wire | None = None
        self.bus: Bus | None = None
        self.servers: Servers | None = None
        self.tenant = Tenant("", "")

    # --- processes ---

    @property
    def daemons(self) -> list[Daemon]:
        return list(dict.fromkeys([*self.apis, *self.workers, *self.engines]))

    def add(self, module: str, name: str, *arguments: str) -> Daemon:
        daemon = Daemon(module, arguments, self.top / f"{name}.log")
        daemon.root_on_path()
        daemon.environment[MARK] = self.mark
        return daemon

    def revive(self) -> None:
        """As a supervisor does: start what is dead, until all of it stays and serves."""
        wait_for("the site", self._all_serve, 90)

    def _all_serve(self) -> bool:
        dead = [daemon for daemon in self.daemons if not daemon.alive()]
        for daemon in dead:
            daemon.start()
        return not dead and all(map(healthy, self.endpoints))

    def kill(self, daemon: Daemon, *, whole: bool = True) -> None:
        kill(daemon, whole=whole)

    def restart_with(self, daemon: Daemon, environment: dict[str, str]) -> None:
        """:param environment: beside its own; what an earlier call has added is taken away."""
        self.kill(daemon)
        daemon.environment = {
            "PYTHONPATH": daemon.environment["PYTHONPATH"],
            MARK: self.mark,
            **environment,
        }
        daemon.start()

    def clock(self, name: str) -> StepClock:
        return StepClock(self.top / f"{name}.clock")

    def thaw(self) -> None:
        """Let go on what was stopped."""
        for daemon in self.daemons:
            if daemon.alive():
                signal_all(family(daemon.pid), signal.SIGCONT)

    def heal(self) -> None:
        """Whatever was done to it, all is in order again."""
        for wire in (self.broker, self.database):
            if wire is not None:
                wire.arm(None)
                wire.up()
        (self.top / "state" / BALLAST).unlink(missing_ok=True)
        self.thaw()
        for daemon in self.daemons:
            if "LD_PRELOAD" in daemon.environment:
                self.restart_with(daemon, {})
        self.revive()

    def worker_with(self, pid: int) -> Daemon:
        return next(daemon for daemon in self.workers if daemon.alive() and pid in family(daemon.pid))

    # --- what is there ---

    @property
    def bank(self) -> Path:
        return self.top / "bank"

    @property
    def vault(self) -> Path:
        """Of its one project."""
        return next((path for path in self.bank.glob(f"*/{self.tenant.project_id}")), self.bank / "none")

    def enroll(self) -> None:
        """Make the tenant and its token."""
        project = str(uuid.uuid4())
        made = manage(*self.options, "token", "create", "--project", project, "--role", "admin")
        self.tenant = Tenant(made["token"], project)

    def restic(self) -> dict[str, str]:
        return restic_environment(self.options, self.tenant.project_id)
