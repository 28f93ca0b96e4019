"""What a bank in a directory promises beyond the contract."""

from __future__ import annotations

import errno
import os
import pickle
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from protectd.common.errors import ConfigurationError, InvalidField
from protectd.plugin.banks import filesystem
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.plugin.base import BankPlugin, BankRefused, BankUnavailable


@pytest.fixture
def disk(tmp_path: Path) -> FilesystemBank:
    made = FilesystemBank(tmp_path / "bank")
    made.prepare()
    return made


def keys(bank: BankPlugin) -> list[str]:
    return sorted(found.key for found in bank.list(""))


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.mark.parametrize("path", ["bank", "./bank", "/tmp/../bank"])
def test_a_path_must_be_absolute_and_plain(path: str) -> None:
    with pytest.raises(ConfigurationError):
        FilesystemBank.from_options({"path": path})


def test_a_url_is_a_path_as_well(tmp_path: Path) -> None:
    assert FilesystemBank.from_options({"url": f"file://{tmp_path}"}).root == tmp_path
    assert FilesystemBank.from_options({"url": str(tmp_path)}).root == tmp_path


@pytest.mark.parametrize("options", [{}, {"path": "/srv/one", "url": "file:///srv/two"}])
def test_a_place_is_given_once(options: dict[str, str]) -> None:
    with pytest.raises(InvalidField):
        FilesystemBank.from_options(options)


def test_making_a_bank_touches_nothing(tmp_path: Path) -> None:
    FilesystemBank.from_options({"path": str(tmp_path / "a" / "bank")}).section("x")
    assert list(tmp_path.iterdir()) == []


def test_objects_and_directories_are_for_the_owner_alone(disk: FilesystemBank) -> None:
    disk.put("data/00/aa", b"x")
    assert stat.S_IMODE((disk.root / "data/00/aa").stat().st_mode) == 0o400
    for directory in (disk.root, disk.root / "data", disk.root / "data/00"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_half_written_objects_never_show(disk: FilesystemBank) -> None:
    disk.put("index/aa", b"x")
    (disk.root / "index/bb-tmp-0123456789abcdef").write_bytes(b"half")
    (disk.root / "index/cc-tmp-123456").write_bytes(b"half, from restic")
    assert keys(disk) == ["index/aa"]


def test_a_name_that_listing_would_hide_is_refused(disk: FilesystemBank) -> None:
    with pytest.raises(BankRefused):
        disk.put("index/aa-tmp-12", b"x")


def test_preparing_sweeps_leftovers_of_more_than_a_day_only(disk: FilesystemBank) -> None:
    disk.put("index/aa", b"x")
    old, new = disk.root / "index/bb-tmp-00", disk.root / "index/cc-tmp-00"
    old.touch()
    new.touch()
    os.utime(disk.root / "index/aa", (0, 0))
    os.utime(old, (time.time() - 25 * 3600,) * 2)
    disk.prepare()
    assert sorted(path.name for path in (disk.root / "index").iterdir()) == ["aa", "cc-tmp-00"]


def test_a_root_that_went_away_is_not_made_again_by_writing(disk: FilesystemBank) -> None:
    disk.root.rmdir()
    with pytest.raises(BankUnavailable):
        disk.put("data/00/aa", b"x")
    assert not disk.root.exists()


def test_a_writer_killed_at_any_moment_leaves_nothing_or_a_whole_object(disk: FilesystemBank) -> None:
    code = (
        "import pickle, sys; b = pickle.load(sys.stdin.buffer); print('on', flush=True)\n"
        "while True: b.put('data/00/aa', bytes(200_000)); b.put('data/00/aa', b'\\1' * 200_000)"
    )
    for delay_s in (0.0, 0.01, 0.03):
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
        )
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(pickle.dumps(disk))
        child.stdin.close()
        child.stdout.readline()
        time.sleep(delay_s)
        child.kill()
        child.wait()
        child.stdout.close()
        for key in keys(disk):
            assert disk.get(key) in (bytes(200_000), b"\1" * 200_000)


def test_the_object_and_then_its_directory_are_synced(
    disk: FilesystemBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync = os.fsync

    def noted(descriptor: int) -> None:
        order.append(os.readlink(f"/proc/self/fd/{descriptor}").removeprefix(str(disk.root)))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    disk.put("data/00/aa", b"x")
    assert order[:2] == ["", "/data"]
    assert order[2].startswith("/data/00/aa-tmp-")
    assert order[3:] == ["/data/00"]


@contextmanager
def _writes_fail(monkeypatch: pytest.MonkeyPatch, code: int) -> Iterator[None]:
    def fail(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        yield


@pytest.mark.parametrize(
    ("code", "expected"),
    [(errno.ENOSPC, BankRefused), (errno.EROFS, BankRefused), (errno.EACCES, BankRefused)]
    + [(errno.EDQUOT, BankRefused), (errno.EIO, BankUnavailable), (errno.ESTALE, BankUnavailable)],
)
def test_a_failed_write_says_whether_to_try_again_and_leaves_the_former_object(
    disk: FilesystemBank, monkeypatch: pytest.MonkeyPatch, code: int, expected: type[Exception]
) -> None:
    disk.put("index/aa", b"former")
    with _writes_fail(monkeypatch, code), pytest.raises(expected):
        disk.put("index/aa", b"new")
    assert disk.get("index/aa") == b"former"
    assert [path.name for path in (disk.root / "index").iterdir()] == ["aa"]


def test_a_full_disk_is_a_refusal() -> None:
    with pytest.raises(BankRefused) as caught, filesystem._translated("x"):
        Path("/dev/full").write_bytes(b"x")
    assert "space" in str(caught.value)


def test_a_fresh_read_falls_back_where_the_file_system_needs_its_cache(
    disk: FilesystemBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.put("data/00/aa", b"0123456789")
    opened = os.open

    def without_direct(path: str | Path, flags: int, *rest: int) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return opened(path, flags, *rest)

    monkeypatch.setattr(os, "open", without_direct)
    buffer = bytearray(4)
    assert disk.read_into("data/00/aa", memoryview(buffer), 2, fresh=True) == 4
    assert buffer == b"2345"
