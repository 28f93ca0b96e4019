"""A broker that is away: for a few seconds, or with PROTECTD_TEST_FULL=1 for ten minutes."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.drills.absence import Watch, away
from tests.drills.audit import Auditor
from tests.drills.builders import separate
from tests.drills.load import Load
from tests.fakes.sampling import FULL

AWAY_S = 600 if FULL else 12
PARTS = 5 if FULL else 2
BEFORE_S = 60 if FULL else 4
RATE = 4
THREADS = 4
"""As many may be there for a moment: one that tries to connect, one that ends."""

GROWTH_MIB = 24.0
"""Less than so much for each daemon is the noise of an allocator."""


@pytest.mark.timeout(3600)
def test_a_broker_that_is_away_costs_nothing_that_was_accepted(tmp_path: Path) -> None:
    with separate(tmp_path, "postgresql", handler="noop") as site:
        load = Load(site, random.Random(1))
        watch = Watch(site, load, RATE)
        watch.stretch("there", BEFORE_S)
        first, *_, last = away(site, watch, AWAY_S, PARTS)
        report = Auditor(site, load).audit(over_s=time.monotonic())
        print(f"{load.accepted} accepted, all ended {report.recovery_s:.1f} s after the broker was back")
        assert report.problems == []
        assert set(load.door.answers) <= {200, 201, 202}
        assert site.records.value("SELECT MAX(attempts) FROM tasks") == 1
        watch.stretch("back", BEFORE_S)
    for name in first.threads:
        assert last.threads[name] <= first.threads[name] + THREADS, name
        assert last.resident_mib[name] <= first.resident_mib[name] + GROWTH_MIB, name
