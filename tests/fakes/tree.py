"""A directory tree with everything that is hard to copy, and what two equal trees have in common."""

from __future__ import annotations

import hashlib
import os
import random
import stat
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

NAMES = [
    b"plain.txt",
    b"two words",
    b" leading and trailing ",
    b'double"quote',
    b"single'quote",
    b"back\\slash",
    b"new\nline",
    b"tab\there",
    b"-rf",
    b"caf\xc3\xa9",
    b"cafe\xcc\x81",
    b"not utf-8 \xff\xfe\x80",
    b"\xe2\x80\xa8separator",
    b"<html>&amp;",
    b"del\x7f and bell\x07",
    b"x" * 255,
    b"...",
    b"*",
]

SIZES = [0, 1, 31, 511, 512, 4095, 4096, 4097, 65_537, 524_288, 524_289, 1_500_000, 9_000_001]


@dataclass(frozen=True)
class Entry:
    """What is compared of one entry. `content` is a digest, a link's target or a device number."""

    kind: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    content: str
    size: int
    links: tuple[bytes, ...]
    xattrs: tuple[tuple[str, bytes], ...]


def tree(root: Path | str) -> dict[bytes, Entry]:
    """Every entry below `root`, itself included as b".": equal for trees that are the same."""
    top = os.fsencode(root)
    names = list(_walk(top))
    groups: dict[tuple[int, int], list[bytes]] = {}
    for name in names:
        found = os.lstat(os.path.join(top, name))
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            groups.setdefault((found.st_dev, found.st_ino), []).append(name)
    return {name: _entry(os.path.join(top, name), groups) for name in names}


def differences(left: dict[bytes, Entry], right: dict[bytes, Entry]) -> list[str]:
    """One line for each entry that is not the same in both; what `assert not differences(...)` shows."""
    lines = [f"only left: {name!r}" for name in sorted(left.keys() - right.keys())]
    lines += [f"only right: {name!r}" for name in sorted(right.keys() - left.keys())]
    for name in sorted(left.keys() & right.keys()):
        for field in Entry.__dataclass_fields__:
            ours, theirs = getattr(left[name], field), getattr(right[name], field)
            if ours != theirs:
                lines.append(f"{name!r}: {field} {ours!r} is not {theirs!r}")
    return lines


def _walk(top: bytes) -> Iterator[bytes]:
    yield b"."
    pending = [b""]
    while pending:
        folder = pending.pop()
        with os.scandir(os.path.join(top, folder) if folder else top) as entries:
            for entry in entries:
                name = os.path.join(folder, entry.name) if folder else entry.name
                yield name
                if entry.is_dir(follow_symlinks=False):
                    pending.append(name)


def _entry(path: bytes, groups: dict[tuple[int, int], list[bytes]]) -> Entry:
    found = os.lstat(path)
    kind = stat.S_IFMT(found.st_mode)
    content, size = "", 0
    if kind == stat.S_IFREG:
        content, size = _digest(path), found.st_size
    elif kind == stat.S_IFLNK:
        content = repr(os.readlink(path))
    elif kind in (stat.S_IFBLK, stat.S_IFCHR):
        content = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    links = tuple(sorted(groups.get((found.st_dev, found.st_ino), ())))
    return Entry(
        kind=stat.filemode(found.st_mode)[0],
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        mtime_ns=found.st_mtime_ns,
        content=content,
        size=size,
        links=links if len(links) > 1 else (),
        xattrs=_xattrs(path),
    )


def _digest(path: bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _xattrs(path: bytes) -> tuple[tuple[str, bytes], ...]:
    names = os.listxattr(path, follow_symlinks=False)
    return tuple(sorted((name, os.getxattr(path, name, follow_symlinks=False)) for name in names))


def build_hard_tree(root: Path | str, seed: int = 1) -> None:
    """Fill `root` (made when missing) with every kind of entry a backup has to bring back.

    Devices, foreign owners and set-id bits that only root may make are left out for anyone else, extended
    attributes and ACLs where the file system has none. There is no socket: a backup skips those.
    """
    top = os.fsencode(root)
    os.makedirs(top, exist_ok=True)
    chance = random.Random(seed)
    _names(os.path.join(top, b"names"), chance)
    _sizes(os.path.join(top, b"sizes"), chance)
    _links(os.path.join(top, b"links"))
    _special(os.path.join(top, b"special"))
    _modes(os.path.join(top, b"modes"))
    _attributes(os.path.join(top, b"attributes"))
    _deep(os.path.join(top, b"deep"))
    _times(top)


def _write(path: bytes, data: bytes = b"") -> bytes:
    with open(path, "wb") as file:
        file.write(data)
    return path


def _names(folder: bytes, chance: random.Random) -> None:
    os.mkdir(folder)
    for name in NAMES:
        _write(os.path.join(folder, name), name + chance.randbytes(20))
    for name in NAMES:
        os.mkdir(os.path.join(folder, b"d" + name[:254]))


def _sizes(folder: bytes, chance: random.Random) -> None:
    os.mkdir(folder)
    for size in SIZES:
        _write(os.path.join(folder, b"random-%d" % size), chance.randbytes(size))
        _write(os.path.join(folder, b"text-%d" % size), (b"the same line again\n" * (size // 20 + 1))[:size])
    shared = chance.randbytes(3_000_000)
    _write(os.path.join(folder, b"duplicate-1"), shared)
    _write(os.path.join(folder, b"duplicate-2"), b"moved by some bytes" + shared)
    with open(os.path.join(folder, b"sparse"), "wb") as file:
        file.write(b"head")
        file.seek(20_000_000)
        file.write(b"tail")
        file.truncate(24_000_000)
    _write(os.path.join(folder, b"zeros"), bytes(2_000_000))


def _links(folder: bytes) -> None:
    os.mkdir(folder)
    _write(os.path.join(folder, b"first"), b"three names, one file")
    os.link(os.path.join(folder, b"first"), os.path.join(folder, b"second"))
    os.mkdir(os.path.join(folder, b"below"))
    os.link(os.path.join(folder, b"first"), os.path.join(folder, b"below", b"third"))
    targets = {
        b"to-file": b"first",
        b"to-directory": b"below",
        b"dangling": b"/nowhere/at all",
        b"upwards": b"../names",
        b"to-itself": b"to-itself",
        b"odd target": b"not utf-8 \xff\nnew line",
        b"long": b"y/" * 500,
    }
    for name, target in targets.items():
        os.symlink(target, os.path.join(folder, name))


def _special(folder: bytes) -> None:
    os.mkdir(folder)
    os.mkfifo(os.path.join(folder, b"fifo"), 0o640)
    os.mkdir(os.path.join(folder, b"empty directory"))
    if os.geteuid() == 0:
        with suppress(PermissionError):
            os.mknod(os.path.join(folder, b"null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
            os.mknod(os.path.join(folder, b"loop"), stat.S_IFBLK | 0o660, os.makedev(7, 300))


def _modes(folder: bytes) -> None:
    os.mkdir(folder)
    modes = [0o600, 0o400, 0o644, 0o755, 0o777, 0o4755, 0o2755, 0o6711]
    if os.geteuid() == 0:
        modes += [0o000, 0o200]
    for mode in modes:
        os.chmod(_write(os.path.join(folder, b"file-%o" % mode), b"mode"), mode)
    for mode in (0o700, 0o755, 0o1777, 0o2775, 0o500):
        path = os.path.join(folder, b"directory-%o" % mode)
        os.mkdir(path)
        _write(os.path.join(path, b"inside"), b"here")
        os.chmod(path, mode)
    if os.geteuid() == 0:
        os.chown(_write(os.path.join(folder, b"other owner"), b"mine"), 12345, 54321)
        os.chown(_write(os.path.join(folder, b"other owner set-id"), b"mine"), 12345, 54321)
        os.chmod(os.path.join(folder, b"other owner set-id"), 0o6755)
        link = os.path.join(folder, b"other owner link")
        os.symlink(b"other owner", link)
        os.lchown(link, 12345, 54321)


def _attributes(folder: bytes) -> None:
    os.mkdir(folder)
    file = _write(os.path.join(folder, b"file"), b"attributes")
    with suppress(OSError):
        os.setxattr(file, "user.comment", b"any bytes \x00\xff")
        os.setxattr(file, "user.empty", b"")
        os.setxattr(folder, "user.on-directory", b"yes")
    guarded = _write(os.path.join(folder, b"guarded"), b"acl")
    with suppress(OSError):
        os.setxattr(guarded, "system.posix_acl_access", _acl())
        os.setxattr(folder, "system.posix_acl_default", _acl())
    if os.geteuid() == 0:
        with suppress(OSError):
            os.setxattr(file, "trusted.note", b"for root")


def _acl() -> bytes:
    """owner rw, user 12345 r, group r, mask r, others none, in the kernel's form."""
    nobody = 0xFFFFFFFF
    entries = [(0x01, 6, nobody), (0x02, 4, 12345), (0x04, 4, nobody), (0x10, 4, nobody), (0x20, 0, nobody)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def _deep(folder: bytes) -> None:
    for _ in range(40):
        os.mkdir(folder)
        folder = os.path.join(folder, b"level")
    _write(folder, b"at the bottom")


def _times(top: bytes) -> None:
    """Times of every kind, set last and from the bottom up, so that nothing moves them again."""
    moments = [
        0,
        1,
        -1,
        -86_400_000_000_001,
        999_999_999,
        1_700_000_000_123_456_789,
        -1_000_000_000_500_000_000,
        4_102_444_800_000_000_001,
    ]
    for number, name in enumerate(sorted(_walk(top), reverse=True)):
        moment = moments[number % len(moments)]
        os.utime(os.path.join(top, name), ns=(moment, moment), follow_symlinks=False)
