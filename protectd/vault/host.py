"""A child process of the engine: runs one role after the other, started by exec, kept warm.

`python -m protectd.vault.host <parent> <descriptor> [<held>]`: roles come pickled over the socket; secrets
are part of them, so they are in no argument, file or environment.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

from protectd.common.trail import trail
from protectd.common.units import MIB
from protectd.vault.pool import Prepare, ProcessPool, Start, serve

_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""See mallopt(3)."""

_LARGEST_FROM_HEAP_BYTES = 9 * MIB
"""A largest blob, and what an allocator adds."""

_KEPT_BYTES = 32 * MIB
"""Two groups of blobs, each with a largest one too many."""

_YOUNG_OBJECTS = 100_000
"""Rows of plans and trees live long and refer to nothing that refers to them: looking through them for cycles
was a tenth of a restore's processor time."""

NICENESS = 10
"""Whoever answers requests goes before whoever moves data; alone on the machine, it changes nothing."""


def main(parent: int, descriptor: int, held: int | None = None) -> None:
    """Serve until the other end of the socket is gone, which it is when the parent dies.

    :param held: a descriptor to be held open, here and in children.
    """
    _die_with(parent)
    keep_memory()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 50, 50)
    if os.getpriority(os.PRIO_PROCESS, 0) < NICENESS:
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Files of a restore are made with the mode they shall have; whatever needs less asks for less.
    os.umask(0)
    os.chdir("/")
    channel: Connection[Any, Any] = Connection(descriptor)
    with ProcessPool(held=held) as pool:
        while True:
            try:
                message = channel.recv()
            except (EOFError, ConnectionError):
                return
            if isinstance(message, Prepare):
                pool.prepare = message.call
                message.call()
            elif isinstance(message, Start):
                with trail(**message.about):
                    serve(message.role, channel, pool)
                del message  # its role may hold an index, and has a key
                give_back_memory()


def keep_memory() -> None:
    """Let the allocator of glibc keep what a few blobs take: given back after each group of them, their pages
    are zeroed by the kernel again and again, which costs half as much as decompressing into them."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_FROM_HEAP_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def give_back_memory() -> None:
    """Whoever waits for the next role holds nothing of the last one. Planners refer to themselves, and the
    collector comes rarely; what was there before the first role is frozen, so it has little to look at."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))


def _die_with(parent: int) -> None:
    """Be killed when the thread that started this process ends, which may have happened already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
