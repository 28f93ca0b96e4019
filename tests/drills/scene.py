"""Where faults happen: a site, what is asked of it, and chance."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from tests.drills.load import Load, Operation
from tests.drills.site import Site
from tests.fakes.daemons import wait_for


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
