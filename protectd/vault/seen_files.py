"""Files as the scan saw them: the state of each, and reading what is still in it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from struct import Struct
from typing import NamedTuple

from protectd.common.errors import Cancelled
from protectd.vault.opening import READ_FILE, Identity, Replaced, open_seen

_STATE = Struct("=QQQQQIII")
_WRAP = 2**64 - 1

State = tuple[int, int, int, int, int, int, int, int]
"""What tells one state of one file from another: device, inode, size, times of modification and of change in
nanoseconds, mode, owner and group. Times are taken modulo 2^64."""


class FileResult(NamedTuple):
    """What became of a file. `trouble` is an issue's kind, or "replaced", or None; with "changed" there is
    content all the same."""

    ids: bytes
    """32 bytes for each blob, in order."""
    read_bytes: int
    trouble: str | None = None
    reason: str = ""


def pack_state(status: os.stat_result) -> bytes:
    """52 bytes, for `unpack_states`."""
    return _STATE.pack(
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns & _WRAP,
        status.st_ctime_ns & _WRAP,
        status.st_mode,
        status.st_uid,
        status.st_gid,
    )


def identity_in(state: bytes) -> Identity:
    """Of one that `pack_state` made."""
    return Identity._make(_STATE.unpack(state)[:2])


def unpack_states(states: bytes) -> Sequence[State]:
    return list(_STATE.iter_unpack(states))


def is_as(status: os.stat_result, state: State) -> bool:
    """Whether an open file, which is the one that was seen, is in the same state, too.

    :raises Replaced: it belongs to somebody else or has other rights now, as a new file with an old number
        may: its content must not be kept under those that were seen. Of ACLs nothing is known here.
    """
    if (status.st_mode, status.st_uid, status.st_gid) != state[5:]:
        raise Replaced
    mtime, ctime = status.st_mtime_ns & _WRAP, status.st_ctime_ns & _WRAP
    return status.st_size == state[2] and mtime == state[3] and ctime == state[4]


REPLACED = FileResult(b"", 0, "replaced")
_NO_FILE = (errno.ELOOP, errno.ENXIO)
"""A symbolic link or a socket does not open at all."""


def changed(read_bytes: int, ids: bytes = b"") -> FileResult:
    return FileResult(ids, read_bytes, "changed", "it was written to while it was read")


def failure(error: OSError) -> FileResult:
    if error.errno in _NO_FILE:
        return REPLACED
    gone = error.errno in (errno.ENOENT, errno.ENOTDIR)
    return FileResult(b"", 0, "vanished" if gone else "unreadable", error.strerror or "")


def read_small(
    paths: Sequence[bytes], states: Sequence[State], window: memoryview, cancelled: Callable[[], bool]
) -> tuple[list[int], dict[int, FileResult]]:
    """Read files whole, one behind the other, into a window that has room for the sizes that were seen.

    :returns: how many bytes of each were read, and by its number what is to be said of a file that was not
        read as it was seen.
    """
    lengths, troubles, end = [], {}, 0
    for number, (path, state) in enumerate(zip(paths, states, strict=True)):
        if cancelled():
            raise Cancelled
        length, same = 0, True
        try:
            descriptor, _ = open_seen(path, READ_FILE, state[:2])
            try:
                length = fill(descriptor, window[end : end + state[2]], 0)
                same = is_as(os.fstat(descriptor), state) and length == state[2]
            finally:
                os.close(descriptor)
        except Replaced:
            length, troubles[number] = 0, REPLACED
        except OSError as error:
            length, troubles[number] = 0, failure(error)
        if not same:
            troubles[number] = changed(length)
        lengths.append(length)
        end += length
    return lengths, troubles


def fill(descriptor: int, buffer: memoryview, offset: int) -> int:
    """Read until `buffer` is full or the file ends."""
    done = os.preadv(descriptor, [buffer], offset)
    while 0 < done < len(buffer):
        read = os.preadv(descriptor, [buffer[done:]], offset + done)
        if not read:
            break
        done += read
    return done
