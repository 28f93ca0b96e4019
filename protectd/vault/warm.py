"""A role that does nothing but have everything loaded, in a planner and in its workers."""

from __future__ import annotations

from dataclasses import dataclass

from protectd.vault.options import EngineOptions
from protectd.vault.pool import Channel, Pool, receive
from protectd.vault.restore import RestoreTree
from protectd.vault.save import SaveTree
from protectd.vault.verify import CheckVault
from protectd.vault.warm_worker import WarmWorker

ROLES = (SaveTree, RestoreTree, CheckVault)
"""Whoever unpickles a role of this module has loaded what these need."""


@dataclass(frozen=True)
class WarmPlanner:
    options: EngineOptions

    def run(self, channel: Channel, pool: Pool) -> None:
        places = [pool.start(WarmWorker()) for _ in range(self.options.worker_count)]
        for place in places:
            receive(place)
            pool.release(place)
