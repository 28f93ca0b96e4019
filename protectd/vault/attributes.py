"""What a restored entry is given beside its content."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from protectd.vault.tree import Node, Xattrs

ACL = "system.posix_acl_"
HARMLESS = ("user.", ACL)
SET_ID = stat.S_ISUID | stat.S_ISGID


class Wanted(NamedTuple):
    """`mode` without the type. Attributes with ACLs last."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: Sequence[tuple[str, bytes]] = ()


class Policy(NamedTuple):
    """What of a node is believed. Without `trusted` all belongs to the owner of the target, no program gets
    rights by it, and only attributes without power are set. `owners`: as `trusted`, save for set-id bits."""

    trusted: bool
    uid: int
    gid: int
    owners: bool = False

    def wanted(self, node: Node) -> Wanted:
        mode = stat.S_IMODE(node.mode)
        xattrs = [(os.fsdecode(name), bytes(value)) for name, value in node.xattrs]
        mode = mode if self.trusted else mode & ~SET_ID
        if self.trusted or self.owners:
            return Wanted(mode, node.uid, node.gid, node.mtime_ns, _acls_last(xattrs))
        xattrs = [(name, value) for name, value in xattrs if name.startswith(HARMLESS)]
        return Wanted(mode, self.uid, self.gid, node.mtime_ns, _acls_last(xattrs))


_MAY_GIVE_AWAY = 0b1011
"""CAP_CHOWN, CAP_DAC_OVERRIDE and CAP_FOWNER: what it takes to make entries of others whole."""


def may_give_away() -> bool:
    """Whether this thread may make entries that belong to others, and finish them."""
    lines = Path("/proc/thread-self/status").read_text().splitlines()
    effective = next(line.split()[1] for line in lines if line.startswith("CapEff:"))
    return int(effective, 16) & _MAY_GIVE_AWAY == _MAY_GIVE_AWAY


def _acls_last(xattrs: list[tuple[str, bytes]]) -> Sequence[tuple[str, bytes]]:
    # A change of mode writes into an ACL and an ACL into the mode; what was saved is the mode after both.
    return sorted(xattrs, key=lambda each: each[0].startswith(ACL)) if len(xattrs) > 1 else xattrs


def read_attributes(path: bytes) -> Xattrs:
    """Extended attributes of a file, not of what a link points to; none where the file system has none."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise
    if not names:
        return ()
    return [(os.fsencode(name), os.getxattr(path, name, follow_symlinks=False)) for name in names]


def present(descriptor: int) -> Wanted:
    """What an open directory has now, for `apply` to give it back; its time is now, for it is written to."""
    status = os.fstat(descriptor)
    xattrs = []
    with suppress(OSError):
        names = [name for name in os.listxattr(descriptor) if name.startswith(HARMLESS)]
        xattrs = [(name, os.getxattr(descriptor, name)) for name in names]
    mode = stat.S_IMODE(status.st_mode)
    return Wanted(mode, status.st_uid, status.st_gid, time.time_ns(), _acls_last(xattrs))


def apply(descriptor: int | str, status: os.stat_result, wanted: Wanted) -> list[str]:
    """Give an open entry its owner, mode, attributes and time; one sentence for each that it did not take.

    :param descriptor: or the path below /proc/self/fd of one that is not open for reading or writing.
    :param status: of the entry now.
    """
    troubles = []
    if (status.st_uid, status.st_gid) != (wanted.uid, wanted.gid):
        try:
            os.chown(descriptor, wanted.uid, wanted.gid)
        except OSError as error:
            troubles.append(f"its owner {wanted.uid}:{wanted.gid}: {error.strerror}")
    # A change of owner clears the set-id bits and the capabilities of a program, so both come after it.
    troubles += _set_attributes(descriptor, wanted, acls=False)
    if stat.S_IMODE(status.st_mode) != wanted.mode or wanted.mode & SET_ID or wanted.xattrs:
        try:
            os.chmod(descriptor, wanted.mode)
        except OSError as error:
            troubles.append(f"its mode {wanted.mode:o}: {error.strerror}")
    troubles += _set_attributes(descriptor, wanted, acls=True)
    os.utime(descriptor, ns=(wanted.mtime_ns, wanted.mtime_ns))
    return troubles


def _set_attributes(descriptor: int | str, wanted: Wanted, *, acls: bool) -> list[str]:
    troubles = []
    for name, value in wanted.xattrs:
        if name.startswith(ACL) != acls:
            continue
        try:
            os.setxattr(descriptor, name, value)
        except OSError as error:
            troubles.append(f"its attribute {name}: {error.strerror}")
    return troubles


def drop_other_attributes(descriptor: int, wanted: Wanted) -> None:
    """Remove a user's attributes that the entry shall not have."""
    kept = {name for name, _ in wanted.xattrs}
    with suppress(OSError):
        for name in os.listxattr(descriptor):
            if name.startswith("user.") and name not in kept:
                os.removexattr(descriptor, name)
