"""How much of a long suite runs: a sample that a seed chooses, or, with PROTECTD_TEST_FULL=1, all of it."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
FULL = os.environ.get("PROTECTD_TEST_FULL") == "1"
DRAWN = os.environ.setdefault("PROTECTD_TEST_DRAWN_SEED", str(random.SystemRandom().randrange(10**9)))
"""In the environment, because all processes that share a run have to draw the same."""
SEED = os.environ.get("PROTECTD_TEST_SEED") or DRAWN


def sample(cases: Sequence[T], count: int, *, of: str) -> list[T]:
    """`count` of the cases, in their order, or all in a full run. :param of: names what is drawn from.

    The same seed gives the same ones again: whoever fails prints `repeat()`.
    """
    if FULL or count >= len(cases):
        return list(cases)
    chosen = random.Random(f"{SEED} {of}").sample(range(len(cases)), count)
    return [cases[number] for number in sorted(chosen)]


def repeat() -> str:
    return f"repeat with PROTECTD_TEST_SEED={SEED}" + (" PROTECTD_TEST_FULL=1" if FULL else "")
