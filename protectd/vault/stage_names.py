"""What the directories are called that restores write to before they put anything in its place."""

from __future__ import annotations

import re
import secrets

_PREFIX = rb"\.protectd-[0-9a-f]{16}"
NEW = b".new"
"""Ends the name of a stage that is being written."""

WHOLE = b".whole"
"""Ends the name of one that is being put in place."""

_NAMES = {ending: re.compile(_PREFIX + re.escape(ending)) for ending in (NEW, WHOLE)}


def new_stage() -> bytes:
    """A name that nothing has."""
    return b".protectd-" + secrets.token_hex(8).encode() + NEW


def is_stage(name: bytes, *endings: bytes) -> bool:
    """Whether a directory is a stage, by its name. What only begins and ends like one is somebody's own.

    :param endings: that count; none given: any.
    """
    return any(_NAMES[ending].fullmatch(name) for ending in endings or _NAMES)
