"""A quick look at a directory says "the same" only when a thorough one would."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from protectd.vault.same_folder import SameFolder, look
from protectd.vault.scan import prefix_of
from protectd.vault.tree import directory_node, file_node, other_node

BLOB = bytes(31) + b"\1"
TREE = bytes(31) + b"\2"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a file").write_bytes(b"content")
    (tmp_path / "empty").touch()
    (tmp_path / "inner").mkdir()
    (tmp_path / "link").symlink_to("a file")
    return tmp_path


def saved(folder: Path) -> list[bytes]:
    """The nodes of a directory as a backup writes them."""
    return [_node(folder, name) for name in names(folder)]


def _node(folder: Path, name: bytes) -> bytes:
    path = folder / os.fsdecode(name)
    target = os.fsencode(os.readlink(path)) if path.is_symlink() else b""
    prefix = prefix_of(name, path.lstat(), link_target=target)
    if path.is_symlink() or path.is_fifo():
        return other_node(prefix)
    if path.is_dir():
        return directory_node(prefix, TREE)
    return file_node(prefix, [BLOB] if path.lstat().st_size else [])


def names(folder: Path) -> list[bytes]:
    return sorted(map(os.fsencode, os.listdir(folder)))


def compare(folder: Path, nodes: list[bytes], known: set[bytes] | None = None) -> SameFolder | None:
    top = os.fsencode(folder)
    return look(
        names(folder),
        nodes,
        lambda name: os.lstat(os.path.join(top, name)),
        lambda name: os.readlink(os.path.join(top, name)),
        ({BLOB} if known is None else known).issuperset,
    )


def test_tells_what_lies_in_an_unchanged_directory(folder: Path) -> None:
    same = compare(folder, saved(folder))
    assert same is not None
    status = (folder / "inner").lstat()
    assert same.inner == [(b"inner", status.st_dev, status.st_ino, TREE)]
    assert same.tally.numbers() == (2, 1, 1, 2, 7, 7)


CHANGES: dict[str, Callable[[Path], object]] = {
    "written to": lambda folder: (folder / "a file").write_bytes(b"other!!"),
    "another mode": lambda folder: (folder / "a file").chmod(0o600),
    "one more": lambda folder: (folder / "new").touch(),
    "one less": lambda folder: (folder / "empty").unlink(),
    "another name": lambda folder: (folder / "empty").rename(folder / "emptz"),
    "a file for a directory": lambda folder: ((folder / "inner").rmdir(), (folder / "inner").touch()),
    "another target": lambda folder: ((folder / "link").unlink(), (folder / "link").symlink_to("empty")),
    "an attribute": lambda folder: os.setxattr(folder / "a file", "user.note", b"1"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_gives_up_when_anything_is_not_the_same(folder: Path, change: Callable[[Path], object]) -> None:
    nodes = saved(folder)
    change(folder)
    assert compare(folder, nodes) is None


def test_gives_up_when_a_blob_is_not_stored_any_more(folder: Path) -> None:
    assert compare(folder, saved(folder), known=set()) is None


def test_leaves_what_it_cannot_judge_to_a_thorough_look(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert compare(folder, saved(folder)) is None
