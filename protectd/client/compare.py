"""Are two directory trees the same? With allowance for a source that goes on changing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

BLOCK = 1 << 20
SET_ID = stat.S_ISUID | stat.S_ISGID
LABELS = ("security.selinux",)
"""Set by the system for each place anew, so never compared."""

Moment = tuple[int, int, int, int]


@dataclass
class Comparison:
    files: int = 0
    size_bytes: int = 0
    same: int = 0
    differences: list[str] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    """Entries that changed while the comparison's subject was made, so that nothing can be said of them."""


def photograph(root: str, skip: str) -> dict[str, Moment]:
    """When each entry below `root` last changed: size, modification, status change, identity.

    :param skip: a directory left out with all below it.
    """
    return {name: _moment(found) for name, found in _walk(root, skip)}


def compare(source: str, copy: str, before: dict[str, Moment], skip: str) -> Comparison:
    """Compare names, kinds, bytes, modes, times, links, attributes and, for root, owners.

    :param before: `photograph` of the source before the copy was begun; what changed since is unsettled.
    :param skip: a directory of the source that is left out on both sides.
    """
    result = Comparison()
    there = os.path.join(copy, os.path.relpath(skip, source)) if skip else ""
    now, copied = dict(_walk(source, skip)), dict(_walk(copy, there))
    links = _Links(now, copied)
    for name in sorted(now.keys() | copied.keys() | before.keys()):
        found = now.get(name)
        if found is not None and stat.S_ISSOCK(found.st_mode):
            continue
        problem = _problem(source, copy, name, found, copied.get(name)) or links.problem(name)
        if problem is None:
            result.same += 1
        elif _moved_on(name, now, before):
            result.unsettled.append(f"{name}: changed meanwhile")
        elif problem.startswith("unreadable"):
            result.unsettled.append(f"{name}: {problem}")
        else:
            result.differences.append(f"{name}: {problem}")
        if found is not None and stat.S_ISREG(found.st_mode):
            result.files += 1
            result.size_bytes += found.st_size
    return result


def _walk(root: str, skip: str) -> Iterator[tuple[str, os.stat_result]]:
    """Relative names with what lstat says, the root itself as "."; unreadable directories are passed over."""
    yield ".", os.lstat(root)
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            names = os.listdir(os.path.join(root, folder))
        except OSError:
            continue
        for name in names:
            relative = os.path.join(folder, name)
            path = os.path.join(root, relative)
            try:
                found = os.lstat(path)
            except OSError:
                continue
            if path == skip:
                continue
            yield relative, found
            if stat.S_ISDIR(found.st_mode):
                pending.append(relative)


def _moment(found: os.stat_result) -> Moment:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _moved_on(name: str, now: dict[str, os.stat_result], before: dict[str, Moment]) -> bool:
    """Whether the source's entry is another than before. One that it has neither now nor had before may
    have come and gone if its directory changed."""
    if name in now or name in before:
        return name not in now or before.get(name) != _moment(now[name])
    return _moved_on(os.path.dirname(name) or ".", now, before)


def _problem(
    source: str, copy: str, name: str, left: os.stat_result | None, right: os.stat_result | None
) -> str | None:
    if left is None or right is None:
        where = "source" if left is None else "copy"
        return f"is missing in the {where}" if _readable(source, name, left) else "unreadable"
    if stat.S_IFMT(left.st_mode) != stat.S_IFMT(right.st_mode):
        return "is of another kind"
    ours, theirs = os.path.join(source, name), os.path.join(copy, name)
    return _metadata(left, right) or _content(ours, theirs, left) or _attributes(ours, theirs)


def _readable(source: str, name: str, found: os.stat_result | None) -> bool:
    if found is None or stat.S_ISLNK(found.st_mode):
        return True
    return os.access(os.path.join(source, name), os.R_OK)


def _metadata(left: os.stat_result, right: os.stat_result) -> str | None:
    root = os.geteuid() == 0
    mode, other = stat.S_IMODE(left.st_mode), stat.S_IMODE(right.st_mode)
    if not root and left.st_uid != os.geteuid():
        mode, other = mode & ~SET_ID, other & ~SET_ID
    if mode != other:
        return f"mode {other:o} is not {mode:o}"
    if left.st_mtime_ns != right.st_mtime_ns:
        return f"time {right.st_mtime_ns} is not {left.st_mtime_ns}"
    if root and (left.st_uid, left.st_gid) != (right.st_uid, right.st_gid):
        return f"owner {right.st_uid}:{right.st_gid} is not {left.st_uid}:{left.st_gid}"
    return None


def _content(ours: str, theirs: str, left: os.stat_result) -> str | None:
    if stat.S_ISLNK(left.st_mode):
        return None if os.readlink(ours) == os.readlink(theirs) else "the link has another target"
    if stat.S_ISBLK(left.st_mode) or stat.S_ISCHR(left.st_mode):
        return None if left.st_rdev == os.lstat(theirs).st_rdev else "is another device"
    if not stat.S_ISREG(left.st_mode):
        return None
    try:
        with open(ours, "rb") as one, open(theirs, "rb") as two:
            while True:
                block = one.read(BLOCK)
                if block != two.read(BLOCK):
                    return "the bytes differ"
                if not block:
                    return None
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _attributes(ours: str, theirs: str) -> str | None:
    left, right = _xattrs(ours), _xattrs(theirs)
    wrong = sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))
    return f"attribute {wrong[0]} differs" if wrong else None


def _xattrs(path: str) -> dict[str, bytes]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return {name: os.getxattr(path, name, follow_symlinks=False) for name in names if name not in LABELS}
    except OSError:
        return {}


class _Links:
    """Which names are one file. The copy has to join the same names, no more and no fewer."""

    def __init__(self, left: dict[str, os.stat_result], right: dict[str, os.stat_result]) -> None:
        self._left, self._right = _groups(left), _groups(right)

    def problem(self, name: str) -> str | None:
        ours, theirs = self._left.get(name, frozenset()), self._right.get(name, frozenset())
        return None if ours == theirs else "is not linked to the same names"


def _groups(tree: dict[str, os.stat_result]) -> dict[str, frozenset[str]]:
    inodes: dict[tuple[int, int], set[str]] = {}
    for name, found in tree.items():
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            inodes.setdefault((found.st_dev, found.st_ino), set()).add(name)
    groups = (frozenset(names) for names in inodes.values() if len(names) > 1)
    return {name: group for group in groups for name in group}
