"""What every task is given: the parts of the service, and how patient to be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from protectd.common.clock import Clock
from protectd.common.metrics import Metrics
from protectd.common.progress import Progress
from protectd.common.reports import CopyReport, PruneReport
from protectd.domain.key_manager.orders import Orders
from protectd.domain.providers import Protectables, Provider, Providers
from protectd.domain.quota import QuotaOptions
from protectd.model.repositories.waiting import Claimer, Limits
from protectd.model.unit_of_work import Database
from protectd.plugin.base import VaultSession
from protectd.queue.contract import TaskRef
from protectd.tasks.errands import Errands
from protectd.tasks.hands import Hands
from protectd.tasks.lease_watch import LeaseWatch
from protectd.tasks.scratch import Scratch
from protectd.vault.notes import Notes
from protectd.vault.prune import Waits
from protectd.vault.reading import Reading
from protectd.vault.snapshot import Snapshot


class Announcer(Protocol):
    """Where follow-on tasks are announced. See `protectd.queue.dispatcher.Dispatcher`."""

    def dispatch(self, submitted: Sequence[TaskRef], *, wait_for_direct: bool = True) -> bool: ...


class OpenVault(VaultSession, Protocol):
    """What tasks do with a vault beyond what protections do."""

    def snapshots(self) -> list[Snapshot]: ...

    def copy(
        self,
        target: Any,
        snapshot_ids: Sequence[str] | None = None,
        progress: Progress | None = None,
        *,
        tags: Mapping[str, Sequence[str]] | None = None,
    ) -> CopyReport:
        """Have snapshots in another open vault, or in this one, under other tags. Safe to repeat: what is
        there is not moved again."""

    def forget(self, snapshot_ids: Sequence[str]) -> None:
        """Remove snapshots. Safe to repeat; no byte comes back before a prune."""

    def notes(self, progress: Progress | None = None) -> AbstractContextManager[Notes]:
        """Take small files into the vault; their lock is taken meanwhile."""

    def reading(self, progress: Progress | None = None) -> AbstractContextManager[Reading]:
        """Look into the vault from this thread."""

    def prune(self, progress: Progress | None = None, *, waits: Waits | None = None) -> PruneReport:
        """Give back what no snapshot needs.

        :param waits: what a former call that raised PacksInUse has said.
        """


class VaultOpener(Protocol):
    """See `protectd.domain.vaults.Vaults`."""

    def session(self, provider: Provider, project_id: str) -> AbstractContextManager[OpenVault]: ...


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """Seconds. See the option group `tasks`."""

    lease_s: float = 60.0
    max_attempts: int = 5
    retry_base_s: float = 5.0
    retry_cap_s: float = 600.0
    wait_retry_s: float = 5.0
    wait_cap_s: float = 60.0
    """A vault that others use is tried for again soon: deleted bytes are to come back within minutes. Who has
    waited long waits longer between two tries, so that a worker's threads are free for others meanwhile."""

    wait_limit_s: float = 3600.0
    """Waiting is no failure, but after this long somebody has to know."""

    stall_s: float = 900.0
    """Work that gives no sign of life for so long does not keep its lease any more."""

    deadline_s: float | None = None
    """From the request until a task has to be at its end."""

    limits: Limits = Limits()
    weights: Mapping[str, float] = field(default_factory=dict)
    """Of projects in the order of turns; those that are left out have 1."""

    quotas: QuotaOptions = QuotaOptions()


@dataclass
class TaskEnv:
    """One for a process.

    :ivar owner: host and boot of this process: the name under which it holds leases.
    :ivar stopping: set when the process has to end; running tasks then hand themselves back.
    :ivar announcer: set once it exists; without it follow-on tasks wait for the relay.
    :ivar operations: set once they exist: a maker for each operation.
    :ivar in_turn: a message says only that there is something to do; what is done is whose turn it is.
    :ivar is_brief: no operation takes longer than its rows.
    :ivar service_id: this process's row in `services`, once it has one.
    :ivar scratch: where restore drills write; without it there are none.
    :ivar orders: keeps what is ordered; without it no order is fulfilled.
    :ivar disabled: an operator wants this process to take no more tasks.
    """

    database: Database
    clock: Clock
    providers: Providers
    protectables: Protectables
    vaults: VaultOpener
    owner: str
    host: str
    options: TaskOptions = field(default_factory=TaskOptions)
    stopping: threading.Event = field(default_factory=threading.Event)
    announcer: Announcer | None = None
    operations: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    hands: Hands = field(default_factory=Hands)
    errands: Errands = field(default_factory=Errands)
    watch: LeaseWatch = field(default_factory=LeaseWatch)
    in_turn: bool = False
    is_brief: bool = False
    service_id: int | None = None
    disabled: threading.Event = field(default_factory=threading.Event)
    metrics: Metrics = field(default_factory=Metrics)
    scratch: Scratch | None = None
    orders: Orders | None = None

    def goes_together(self, brief: bool) -> bool:
        """Whether a task is done together with others by one thread. With a limit, each has to pass its gate.

        :param brief: what the task says of itself.
        """
        return (brief or self.is_brief) and not self.options.limits

    @property
    def all_go_together(self) -> bool:
        return self.goes_together(False)

    @property
    def claimer(self) -> Claimer:
        options = self.options
        return Claimer(self.owner, self.host, options.lease_s, options.limits, self.service_id)
