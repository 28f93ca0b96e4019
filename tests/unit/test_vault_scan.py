"""Looking at directories for a backup: what is counted when something changes between two looks."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest

from protectd.vault.issues import Issues
from protectd.vault.opening import Identity
from protectd.vault.previous import EMPTY
from protectd.vault.scan import FileEntry, Folder, Scanner, Tally


@pytest.fixture
def scanner() -> Scanner:
    return Scanner((), lambda tree_id: EMPTY, lambda content: False, Issues(), own_directory=False)


def only_file(scanner: Scanner, top: Path) -> FileEntry:
    """What a scan gives of a directory that holds one file."""
    folder = Folder(os.fsencode(top), Identity.of(top.lstat()), b"", None, 0)
    (found,) = chain.from_iterable(scanner.scan(folder))
    assert isinstance(found, FileEntry)
    return found


@pytest.mark.parametrize(
    ("make", "counted"),
    [
        (os.mkdir, Tally()),
        (os.mkfifo, Tally(others=1)),
        (lambda path: path.write_bytes(b"four"), Tally(files=1, logical_bytes=4)),
        (lambda path: path.write_bytes(b""), Tally(files=1)),
        (lambda path: None, Tally()),
    ],
)
def test_what_has_taken_the_place_of_a_file_is_counted_if_it_is_saved(
    scanner: Scanner, tmp_path: Path, make: Callable[[Path], None], counted: Tally
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    entry = only_file(scanner, tmp_path)
    path.unlink()
    make(path)
    scanner.again(entry)
    assert scanner.tally == counted
