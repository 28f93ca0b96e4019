"""As `warm`, for a worker."""

from __future__ import annotations

from dataclasses import dataclass

from protectd.vault.pool import Channel, Pool
from protectd.vault.probe_worker import ProbeWorker
from protectd.vault.restore_worker import RestoreWorker
from protectd.vault.save_worker import SaveWorker

ROLES = (SaveWorker, RestoreWorker, ProbeWorker)


@dataclass(frozen=True)
class WarmWorker:
    def run(self, channel: Channel, pool: Pool) -> None:
        """Loaded by now."""
