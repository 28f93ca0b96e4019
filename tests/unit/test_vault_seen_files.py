"""Files as a scan saw them: what is as it was seen, and what is said of the rest."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from protectd.common.errors import Cancelled
from protectd.vault.opening import Identity
from protectd.vault.seen_files import (
    REPLACED,
    FileResult,
    changed,
    fill,
    identity_in,
    is_as,
    pack_state,
    read_small,
    unpack_states,
)

ROOM = 1000


class Read:
    """What `read_small` gives for files, and the window after it."""

    def __init__(self, paths: list[Path], states: bytes) -> None:
        window = bytearray(ROOM)
        names = [os.fsencode(path) for path in paths]
        with memoryview(window) as view:
            self.lengths, self.others = read_small(names, unpack_states(states), view, lambda: False)
        self.bytes = bytes(window[: sum(self.lengths)])


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = [tmp_path / name for name in ("one", "two", "three")]
    for path in made:
        path.write_text(path.name)
    return made


def states(files: list[Path]) -> bytes:
    return b"".join(pack_state(path.lstat()) for path in files)


def test_files_come_one_behind_the_other(files: list[Path]) -> None:
    read = Read(files, states(files))
    assert (read.lengths, read.others, read.bytes) == ([3, 3, 5], {}, b"onetwothree")


def test_a_file_that_grew_is_read_as_far_as_it_was_seen_and_told(files: list[Path]) -> None:
    seen = states(files)
    files[1].write_text("two and more")
    read = Read(files, seen)
    assert (read.lengths, read.others, read.bytes) == ([3, 3, 5], {1: changed(3)}, b"onetwothree")


@pytest.mark.parametrize("left", ["", "t"])
def test_a_file_that_shrank_is_read_to_its_end_and_told(files: list[Path], left: str) -> None:
    seen = states(files)
    files[1].write_text(left)
    read = Read(files, seen)
    assert read.lengths == [3, len(left), 5]
    assert (read.others, read.bytes) == ({1: changed(len(left))}, f"one{left}three".encode())


def test_a_file_of_the_same_size_that_was_written_to_is_told(files: list[Path]) -> None:
    seen = states(files)
    files[1].write_text("six")
    os.utime(files[1], ns=(0, unpack_states(seen)[1][3]))  # the time of change tells all the same
    assert Read(files, seen).others == {1: changed(3)}


def test_no_other_file_is_read_in_the_place_of_one(files: list[Path], tmp_path: Path) -> None:
    seen = states(files)
    files[0].rename(tmp_path / "away")
    files[0].write_text("one")
    files[1].unlink()
    files[1].symlink_to(files[2])
    read = Read(files, seen)
    assert [read.others[number].trouble for number in (0, 1)] == ["replaced", "replaced"]
    assert (read.lengths, read.bytes) == ([0, 0, 5], b"three")


def test_no_content_is_kept_under_rights_that_it_does_not_have(files: list[Path]) -> None:
    files[1].chmod(0o644)
    seen = states(files)
    files[1].write_text("key")  # the same number, as if a new file had got it
    files[1].chmod(0o600)
    read = Read(files, seen)
    assert (read.lengths, read.others, read.bytes) == ([3, 0, 5], {1: REPLACED}, b"onethree")


def test_what_is_gone_or_no_file_any_more_is_told(files: list[Path]) -> None:
    seen = states(files)
    files[0].unlink()
    files[1].unlink()
    os.mkfifo(files[1])  # must not be waited for
    read = Read(files, seen)
    assert read.others == {
        0: FileResult(b"", 0, "vanished", "No such file or directory"),
        1: FileResult(b"", 0, "replaced"),
    }


def test_a_socket_has_taken_the_place_of_a_file(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = states(files)
    files[0].unlink()
    monkeypatch.chdir(files[0].parent)  # the whole path may be too long for its name
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(files[0].name)
        assert Read(files, seen).others == {0: FileResult(b"", 0, "replaced")}


def test_a_cancel_is_seen_before_each_file(files: list[Path]) -> None:
    looks = iter([False, False, True])
    window = memoryview(bytearray(ROOM))
    with pytest.raises(Cancelled):
        read_small(
            [os.fsencode(path) for path in files], unpack_states(states(files)), window, lambda: next(looks)
        )
    assert bytes(window[:7]) == b"onetwo\0"


def test_times_that_64_bits_do_not_hold_are_compared_all_the_same(files: list[Path]) -> None:
    status = files[0].lstat()
    far = os.stat_result(
        (*status[:7], 0, 0, 0), {"st_mtime_ns": 2**64 + 5, "st_ctime_ns": -7, "st_dev": status.st_dev}
    )
    state = unpack_states(pack_state(far))[0]
    assert is_as(far, state)
    assert not is_as(status, state)


def test_a_state_knows_which_file_it_is_of(files: list[Path]) -> None:
    status = files[0].lstat()
    assert identity_in(pack_state(status)) == Identity.of(status)


def test_a_buffer_is_filled_from_a_place_on_up_to_the_end(files: list[Path]) -> None:
    descriptor = os.open(files[2], os.O_RDONLY)
    try:
        buffer = memoryview(bytearray(10))
        assert fill(descriptor, buffer[:2], 1) == 2
        assert bytes(buffer[:3]) == b"hr\0"
        assert fill(descriptor, buffer, 1) == 4
        assert fill(descriptor, buffer[:0], 1) == 0
    finally:
        os.close(descriptor)
