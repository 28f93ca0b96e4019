from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from protectd.tasks.backoff import retry_delay_s

CHANCE = random.Random(0).random


@given(st.integers(1, 10_000), st.floats(0.1, 3600), st.floats(0.1, 86_400))
def test_a_delay_is_never_longer_than_the_cap_nor_shorter_than_half_of_what_is_due(attempt, base_s, cap_s):
    due = min(cap_s, base_s * 2.0 ** min(attempt - 1, 64))
    assert due / 2 <= retry_delay_s(attempt, base_s, cap_s, CHANCE) <= due


def test_delays_double():
    delays = [retry_delay_s(attempt, 5, 600, lambda: 1.0) for attempt in range(1, 10)]
    assert delays == [5, 10, 20, 40, 80, 160, 320, 600, 600]


def test_what_failed_together_does_not_come_back_together():
    assert len({retry_delay_s(3, 5, 600, CHANCE) for _ in range(100)}) > 90
