"""A sample of the drills that a seed chooses; `python -m tests.drills` runs as many as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drills.faults import FAULTS, OWN
from tests.drills.rounds import drill
from tests.fakes.sampling import FULL, SEED, repeat, sample

ROUNDS = {"postgresql": 2, "mariadb": 1, "together": 1}
"""Of each kind of site, how many faults are tried when not all are."""

KINDS = (*ROUNDS, *(sorted(OWN) if FULL else ()))
"""Not every machine that runs all tests may start servers."""


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost_doubled_or_left(kind: str, tmp_path: Path) -> None:
    fitting = [fault for fault in FAULTS.values() if kind in fault.kinds and (FULL or not fault.slow)]
    with drill(tmp_path, kind, hash_of(SEED)) as made:
        for fault in sample(fitting, ROUNDS.get(kind, 1), of=kind):
            accepted, report = made.round(fault)
            print(f"{fault.name}: {accepted} accepted, recovered after {report.recovery_s:.1f} s")
            assert report.problems == [], f"{fault.name} on {kind}: {repeat()}"
        assert made.check_vault() == []


def hash_of(seed: str) -> int:
    """The same number for the same seed, whatever it is."""
    return int.from_bytes(seed.encode(), "big") % 10**9
