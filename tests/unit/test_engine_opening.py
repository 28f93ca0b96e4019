"""Opening what was seen, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from protectd.vault.opening import READ_DIRECTORY, READ_FILE, Identity, Replaced, open_long, open_seen


def identity(path: Path) -> Identity:
    return Identity.of(os.lstat(path))


def test_the_file_that_was_seen_opens(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"seen")
    descriptor, status = open_seen(os.fsencode(file), READ_FILE, identity(file))
    assert os.read(descriptor, 10) == b"seen" and status.st_size == 4
    os.close(descriptor)


def test_a_file_of_the_same_name_is_another_one(tmp_path: Path) -> None:
    file, other = tmp_path / "file", tmp_path / "other"
    file.write_bytes(b"seen")
    seen = identity(file)
    other.write_bytes(b"another")
    other.rename(file)
    with pytest.raises(Replaced):
        open_seen(os.fsencode(file), READ_FILE, seen)


def test_a_link_in_place_of_a_directory_on_the_way_leads_nowhere(tmp_path: Path) -> None:
    for name in ("inside", "outside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(name.encode())
    file = tmp_path / "inside" / "file"
    seen = identity(file)
    (tmp_path / "inside").rename(tmp_path / "moved")
    (tmp_path / "inside").symlink_to("outside")
    with pytest.raises(Replaced):
        open_seen(os.fsencode(file), READ_FILE, seen)


def test_a_fifo_in_place_of_a_file_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    seen = identity(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(Replaced):
        open_seen(os.fsencode(path), READ_FILE, (seen.device, -1))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_another_one_whatever_its_number(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "file")  # a file system likes to give it the number of the file that was removed
    with pytest.raises(Replaced):
        open_seen(os.fsencode(tmp_path / "file"), READ_FILE, identity(tmp_path / "file"))


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        open_long(os.fsencode(tmp_path / "link"), READ_FILE)


def test_paths_longer_than_the_kernel_takes_open(tmp_path: Path) -> None:
    folder, path = os.open(tmp_path, READ_DIRECTORY), os.fsencode(tmp_path)
    for _ in range(30):
        os.mkdir(b"d" * 200, dir_fd=folder)
        inner = os.open(b"d" * 200, READ_DIRECTORY, dir_fd=folder)
        os.close(folder)
        folder, path = inner, path + b"/" + b"d" * 200
    assert len(path) > 5000
    descriptor = open_long(path, READ_DIRECTORY)
    assert Identity.of(os.fstat(descriptor)) == Identity.of(os.fstat(folder))
    os.close(descriptor)
    os.close(folder)
