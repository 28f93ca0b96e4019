"""Listings that may be behind: some banks update theirs after their objects.

One that shows what its reader has stored shows what others had stored before that. So whoever draws
conclusions from what a listing lacks stores something first, and waits until it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from protectd.common.clock import Clock
from protectd.vault.errors import ListingBehind

LISTED_WITHIN_S = 15.0
_LOOK_S = 0.5


def await_listed(
    names: Collection[str],
    look: Callable[[], Collection[str]],
    kind: str,
    clock: Clock,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Look until all of the names are listed.

    :param look: lists the names of a kind. :param check: called between two looks; may raise.
    :raises ListingBehind: one of them is not, after 15 seconds.
    """
    if not names:
        return
    deadline = clock.monotonic() + LISTED_WITHIN_S
    while missing := set(names).difference(look()):
        check()
        if clock.monotonic() >= deadline:
            reason = f"was stored {LISTED_WITHIN_S:g} s ago and does not show"
            raise ListingBehind(object=f"{kind}/{min(missing)}", reason=reason)
        clock.sleep(_LOOK_S)
