"""Directory trees to measure with: the same at each call, much like real ones."""

from __future__ import annotations

import os
import random
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

KIB, MIB = 1024, 1024 * 1024
_COPIED_FROM = ("/usr/lib", "/usr/share", "/usr/bin", "/usr/include")
_WORDS = [
    f"{a}{b}" for a in ("pro", "re", "con", "de", "in", "un", "") for b in ("tect", "store", "cord", "sume")
]


SETS = ("mixed", "large", "small")
_SMALL_BYTES = 4 * KIB
_SMALL_A_FOLDER = 100


def make_set(name: str, root: Path, *, size: int, files: int) -> None:
    """Fill `root`: `mixed` see `make_tree`; `large` one file of `size` bytes; `small` `files` of 4 KiB."""
    if name == "mixed":
        make_tree(root, size=size, files=files)
    elif name == "large":
        root.mkdir(parents=True)
        _one_file(root / "one", _system_files(), size, random.Random(20_240_602))
    else:
        _equal_files(root, files)


def _equal_files(root: Path, count: int) -> None:
    content = _pieces_of_system_files()
    for number in range(count):
        if number % _SMALL_A_FOLDER == 0:
            folder = root / f"{number // 10_000}" / f"{number // _SMALL_A_FOLDER}"
            folder.mkdir(parents=True)
        (folder / f"{number}.dat").write_bytes(next(content))


def _pieces_of_system_files() -> Iterator[bytes]:
    """Of 4 KiB each; no end."""
    while True:
        for path in _system_files():
            with path.open("rb") as file:
                while len(piece := file.read(_SMALL_BYTES)) == _SMALL_BYTES:
                    yield piece


def make_tree(root: Path, *, size: int, files: int) -> None:
    """Fill `root` with `size` bytes: half are system files as they are; then small files up to the number;
    for the rest large ones, put together from other system files, as archives and images of disks are."""
    chance = random.Random(20_240_601)
    root.mkdir(parents=True)
    source = _system_files()
    copied_files, copied_bytes = _copy(source, root / "system", size // 2, files)
    written = _small_files(root / "small", max(0, files - copied_files), chance)
    _large_files(source, root / "large", max(0, size - copied_bytes - written), chance)


def measure_tree(root: Path) -> tuple[int, int]:
    """(files, bytes)."""
    sizes = [path.lstat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    return len(sizes), sum(sizes)


def _copy(source: Iterator[Path], target: Path, limit: int, max_files: int) -> tuple[int, int]:
    files = total = 0
    for path in source:
        if files >= max_files or total >= limit:
            break
        place = target / path.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, place)
        files, total = files + 1, total + place.stat().st_size
    return files, total


def _system_files() -> Iterator[Path]:
    for top in _COPIED_FROM:
        for folder, names, entries in os.walk(top):
            names.sort()
            for name in sorted(entries):
                path = Path(folder, name)
                if stat.S_ISREG(path.lstat().st_mode):
                    yield path


def _small_files(target: Path, count: int, chance: random.Random) -> int:
    """Text of about 4 KiB each, a hundred to a directory."""
    total = 0
    for number in range(count):
        if number % 100 == 0:
            folder = target / f"{number // 10_000}" / f"{number // 100}"
            folder.mkdir(parents=True)
        data = _text(chance, min(int(chance.lognormvariate(8, 1)), 200 * KIB))
        (folder / f"{number}.txt").write_bytes(data)
        total += len(data)
    return total


def _text(chance: random.Random, size: int) -> bytes:
    words = chance.choices(_WORDS, k=40) + [f"{chance.getrandbits(64):x}" for _ in range(size // 60 + 1)]
    return " ".join(chance.choices(words, k=size // 7 + 1)).encode()[:size]


def _large_files(source: Iterator[Path], target: Path, size: int, chance: random.Random) -> None:
    """One file of half the size, then smaller ones."""
    target.mkdir()
    number = 0
    while size > 0:
        part = max(min(size, 4 * MIB), size // 2)
        _one_file(target / f"{number}.bin", source, part, chance)
        size -= part
        number += 1


def _one_file(target: Path, source: Iterator[Path], size: int, chance: random.Random) -> None:
    """Put together from other files; where there are too few of them, noise."""
    with target.open("wb") as file:
        while (left := size - file.tell()) > 0:
            path = next(source, None)
            file.write(path.read_bytes()[:left] if path else chance.randbytes(min(MIB, left)))
