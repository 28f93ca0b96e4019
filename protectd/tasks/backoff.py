"""When to try again."""

from __future__ import annotations

from collections.abc import Callable


def retry_delay_s(attempt: int, base_s: float, cap_s: float, random: Callable[[], float]) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1): doubled each time up to `cap_s`.

    The upper half of it is drawn by lot, so that what failed together does not come back together.

    :param random: gives numbers from 0 up to 1.
    """
    # 2.0**64 seconds is beyond any cap; a larger exponent would only overflow.
    ceiling = min(cap_s, base_s * 2.0 ** min(attempt - 1, 64))
    return ceiling * (0.5 + random() / 2)
