"""What every bank promises."""

from __future__ import annotations

import errno
import os
import pickle
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from protectd.common.errors import ConfigurationError
from protectd.plugin.banks import filesystem
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.plugin.banks.memory import MemoryBank
from protectd.plugin.base import BankObject, BankObjectNotFound, BankPlugin, BankRefused, BankUnavailable

BANKS: dict[str, Callable[[Path], BankPlugin]] = {
    "filesystem": lambda directory: FilesystemBank.from_options({"path": str(directory / "bank")}),
    "filesystem-section": lambda directory: FilesystemBank(directory / "bank").section("provider/project"),
    "memory": lambda directory: MemoryBank.from_options({}),
    "memory-section": lambda directory: MemoryBank.from_options({}).section("provider/project"),
}


@pytest.fixture(params=sorted(BANKS))
def bank(request: pytest.FixtureRequest, tmp_path: Path) -> BankPlugin:
    made = BANKS[request.param](tmp_path)
    made.prepare()
    return made


@pytest.fixture
def disk(tmp_path: Path) -> FilesystemBank:
    made = FilesystemBank(tmp_path / "bank")
    made.prepare()
    return made


def keys(bank: BankPlugin, prefix: str = "") -> list[str]:
    return sorted(found.key for found in bank.list(prefix))


def test_gives_back_what_was_put(bank: BankPlugin) -> None:
    bank.put("data/ab/abcd", b"0123456789")
    assert bank.get("data/ab/abcd") == b"0123456789"
    assert bank.size("data/ab/abcd") == 10


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_takes_any_buffer_and_keeps_no_hold_of_it(bank: BankPlugin, kind: type) -> None:
    source = bytearray(b"packs")
    bank.put("config", kind(source))
    source[:] = b"other"
    assert bank.get("config") == b"packs"


def test_takes_a_slice_of_a_larger_buffer(bank: BankPlugin) -> None:
    bank.put("config", memoryview(bytearray(b"--inner--"))[2:7])
    assert bank.get("config") == b"inner"


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [(0, -1, b"0123456789"), (3, -1, b"3456789"), (3, 4, b"3456"), (8, 9, b"89"), (10, 5, b""), (99, 1, b"")]
    + [(0, 0, b"")],
)
def test_gives_a_range_and_stops_at_the_end(
    bank: BankPlugin, offset: int, length: int, expected: bytes
) -> None:
    bank.put("config", b"0123456789")
    assert bank.get("config", offset, length) == expected


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 10), (0, 4096), (1, 4096), (4095, 2), (4096, 8192), (5000, 70_000), (99_990, 100), (100_000, 1)]
    + [(200_000, 5), (7, 0)],
)
def test_reads_into_a_buffer_from_any_offset(bank: BankPlugin, offset: int, length: int, fresh: bool) -> None:
    content = os.urandom(100_000)
    bank.put("data/00/object", content)
    buffer = bytearray(b"\xee" * (length + 3))
    read = bank.read_into("data/00/object", memoryview(buffer)[:length], offset, fresh=fresh)
    expected = content[offset : offset + length]
    assert read == len(expected)
    assert buffer == expected + b"\xee" * (length + 3 - read)


def test_reads_an_object_larger_than_its_own_buffers_fresh(bank: BankPlugin) -> None:
    content = os.urandom(9_500_003)
    bank.put("data/00/object", content)
    buffer = bytearray(len(content) - 11)
    assert bank.read_into("data/00/object", memoryview(buffer), 11, fresh=True) == len(buffer)
    assert buffer == content[11:]


def test_holds_an_empty_object(bank: BankPlugin) -> None:
    bank.put("config", b"")
    assert bank.get("config") == b""
    assert bank.size("config") == 0
    assert list(bank.list("")) == [BankObject("config", 0)]


def test_a_second_put_replaces_the_object(bank: BankPlugin) -> None:
    bank.put("config", b"first, longer")
    bank.put("config", b"second")
    assert bank.get("config") == b"second"
    assert keys(bank) == ["config"]


@pytest.mark.parametrize("key", ["packs/cd", "config", "data/00/aa/too/deep"])
def test_names_the_key_it_does_not_have(bank: BankPlugin, key: str) -> None:
    for ask in (bank.get, bank.size, lambda key: bank.read_into(key, memoryview(bytearray(1)))):
        with pytest.raises(BankObjectNotFound) as caught:
            ask(key)
        assert caught.value.facts == {"key": key}


def test_a_place_between_objects_is_no_object(bank: BankPlugin) -> None:
    bank.put("data/ab/abcd", b"x")
    for ask in (bank.get, bank.size):
        for key in ("data", "data/ab", "data/ab/abcd/more"):
            with pytest.raises(BankObjectNotFound):
                ask(key)


def test_lists_objects_below_a_whole_segment(bank: BankPlugin) -> None:
    for key in ("config", "index/aa", "index2/bb", "data/00/cc", "data/ff/dd"):
        bank.put(key, key.encode())
    assert keys(bank) == ["config", "data/00/cc", "data/ff/dd", "index/aa", "index2/bb"]
    assert keys(bank, "index") == ["index/aa"]
    assert keys(bank, "data/00") == ["data/00/cc"]
    assert list(bank.list("data/ff")) == [BankObject("data/ff/dd", 10)]


def test_a_prefix_without_objects_is_empty(bank: BankPlugin) -> None:
    bank.put("config", b"x")
    assert keys(bank, "locks") == []
    assert keys(bank, "config") == []


def test_deleting_is_safe_to_repeat(bank: BankPlugin) -> None:
    bank.put("locks/aa", b"x")
    bank.delete("locks/aa")
    bank.delete("locks/aa")
    bank.delete("never/was")
    assert keys(bank) == []


def test_may_delete_while_listing(bank: BankPlugin) -> None:
    for number in range(20):
        bank.put(f"locks/{number:02}", b"x")
    for found in bank.list("locks"):
        bank.delete(found.key)
    assert keys(bank) == []


def test_sections_do_not_see_each_other(bank: BankPlugin) -> None:
    bank.section("one/a").put("config", b"1")
    bank.section("one/b").put("config", b"2")
    assert bank.section("one").section("a").get("config") == b"1"
    assert keys(bank.section("one/b")) == ["config"]
    assert keys(bank, "one") == ["one/a/config", "one/b/config"]


def test_preparing_again_keeps_what_is_there(bank: BankPlugin) -> None:
    bank.put("config", b"x")
    bank.prepare()
    bank.section("other").prepare()
    assert bank.get("config") == b"x"


def test_many_threads_write_and_read_at_once(bank: BankPlugin) -> None:
    def work(number: int) -> None:
        for turn in range(10):
            key = f"data/{turn:02}/{number}"
            bank.put(key, key.encode())
            assert bank.get(key) == key.encode()
            bank.put("config", b"same for all")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(keys(bank, "data")) == 80
    assert bank.get("config") == b"same for all"


def test_a_reader_sees_one_whole_object_or_the_other_while_it_is_replaced(bank: BankPlugin) -> None:
    contents = [bytes([number]) * 50_000 for number in (1, 2)]
    bank.put("config", contents[0])
    done = threading.Event()

    def replace() -> None:
        for turn in range(40):
            bank.put("config", contents[turn % 2])
        done.set()

    writer = threading.Thread(target=replace)
    writer.start()
    while not done.is_set():
        assert bank.get("config") in contents
    writer.join()


@pytest.mark.parametrize("name", [name for name in BANKS if name.startswith("filesystem")])
def test_a_shared_bank_reaches_the_same_objects_from_another_process(name: str, tmp_path: Path) -> None:
    bank = BANKS[name](tmp_path)
    assert bank.shared
    bank.prepare()
    bank.put("config", b"from here")
    code = "import pickle, sys; b = pickle.load(sys.stdin.buffer); b.put('index/aa', b.get('config')[::-1])"
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(bank), check=True, env=_environment())
    assert bank.get("index/aa") == b"ereh morf"


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def test_a_memory_bank_is_not_shared_and_two_of_them_are_two_worlds() -> None:
    one, two = MemoryBank.from_options({}), MemoryBank.from_options({})
    one.put("config", b"x")
    assert not one.shared
    assert keys(two) == []


# --- the filesystem bank's own promises ---


@pytest.mark.parametrize("path", ["bank", "./bank", "/tmp/../bank"])
def test_a_path_must_be_absolute_and_plain(path: str) -> None:
    with pytest.raises(ConfigurationError):
        FilesystemBank.from_options({"path": path})


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
