"""What every bank promises."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from protectd.plugin.banks import swift
from protectd.plugin.banks.azure import AzureBank
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.plugin.banks.gcs import GcsBank
from protectd.plugin.banks.memory import MemoryBank
from protectd.plugin.banks.rest import RestBank
from protectd.plugin.banks.s3 import S3Bank
from protectd.plugin.banks.swift import SwiftBank
from protectd.plugin.banks.webdav import WebdavBank
from protectd.plugin.base import BankObject, BankObjectNotFound, BankPlugin, BankRefused
from protectd.plugin.wrappers.options import wrapped
from protectd.plugin.wrappers.retrying import Backoff, RetryingBank
from tests.fakes.object_servers import SECRET

Make = Callable[[pytest.FixtureRequest, Path], BankPlugin]


def on_server(plugin: type[BankPlugin], server: str) -> Make:
    """A place of its own on a server of the session."""

    def make(request: pytest.FixtureRequest, directory: Path) -> BankPlugin:
        options = request.getfixturevalue(server)
        return plugin.from_options(options).section(f"test/{uuid.uuid4().hex}")

    return make


def in_wrappers(request: pytest.FixtureRequest, directory: Path) -> BankPlugin:
    options = {"retries": "2", "timeout_s": "60", "trace": "true"}
    limits = {"upload_kib_s": "999999999", "download_kib_s": "999999999"}
    return wrapped(FilesystemBank(directory / "bank"), options | limits)


SOON = Backoff(retries=20, base_s=0.01, cap_s=0.1)
"""A server may hold back what is just being written; whoever wants it meanwhile tries again."""

BANKS: dict[str, Make] = {
    "azure": on_server(AzureBank, "azurite"),
    "filesystem": lambda _, directory: FilesystemBank.from_options({"path": str(directory / "bank")}),
    "filesystem-section": lambda _, directory: FilesystemBank(directory / "bank").section("provider/project"),
    "filesystem-wrapped": in_wrappers,
    "gcs": on_server(GcsBank, "fake_gcs"),
    "memory": lambda *_: MemoryBank.from_options({}),
    "memory-section": lambda *_: MemoryBank.from_options({}).section("provider/project"),
    "rest": on_server(RestBank, "rest_server"),
    "s3": on_server(S3Bank, "seaweedfs"),
    "swift": on_server(SwiftBank, "swift"),
    "webdav": lambda *args: RetryingBank(on_server(WebdavBank, "webdav_server")(*args), SOON),
}
ANY_KEY = sorted(BANKS.keys() - {"rest"})
"""Those that hold more than the objects of a vault."""
REPLACE_AT_ONCE = sorted(BANKS.keys() - {"rest", "webdav"})
"""Those that have one object or the other at every moment when one is replaced. A vault replaces none."""
SHARED = sorted(name for name in BANKS if not name.startswith("memory"))


@pytest.fixture(params=sorted(BANKS))
def bank(request: pytest.FixtureRequest, tmp_path: Path) -> BankPlugin:
    made = BANKS[request.param](request, tmp_path)
    made.prepare()
    return made


def only(names: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bank", names, indirect=True)


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
    bank.put("data/00/00ab", content)
    buffer = bytearray(b"\xee" * (length + 3))
    read = bank.read_into("data/00/00ab", memoryview(buffer)[:length], offset, fresh=fresh)
    expected = content[offset : offset + length]
    assert read == len(expected)
    assert buffer == expected + b"\xee" * (length + 3 - read)


def test_reads_an_object_larger_than_its_own_buffers_fresh(bank: BankPlugin) -> None:
    content = os.urandom(9_500_003)
    bank.put("data/00/00ab", content)
    buffer = bytearray(len(content) - 11)
    assert bank.read_into("data/00/00ab", memoryview(buffer), 11, fresh=True) == len(buffer)
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
    for key in ("config", "index/aa", "data/00/00cc", "data/ff/ffdd"):
        bank.put(key, key.encode())
    assert keys(bank) == ["config", "data/00/00cc", "data/ff/ffdd", "index/aa"]
    assert keys(bank, "index") == ["index/aa"]
    assert keys(bank, "data/00") == ["data/00/00cc"]
    assert keys(bank, "index/a") == []
    assert keys(bank, "index/aa") == []
    assert list(bank.list("data/ff")) == [BankObject("data/ff/ffdd", 12)]


@only(ANY_KEY)
def test_a_segment_is_not_the_beginning_of_another(bank: BankPlugin) -> None:
    for key in ("index/aa", "index2/bb", "index.3/cc", "index-4/d.d_d"):
        bank.put(key, b"x")
    assert keys(bank, "index") == ["index/aa"]
    assert keys(bank, "index-4") == ["index-4/d.d_d"]
    assert bank.size("index-4/d.d_d") == 1


def test_lists_more_objects_than_a_server_gives_at_once(
    bank: BankPlugin, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swift, "PAGE", 100)
    count = 1203 if request.node.callspec.params["bank"] in ("s3", "gcs") else 203
    expected = [f"data/{number % 3:02x}/{number % 3:02x}{number:04}" for number in range(count)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: bank.put(key, key[-1].encode()), expected))
    found = list(bank.list("data"))
    assert sorted(each.key for each in found) == sorted(expected)
    assert {each.size for each in found} == {1}


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
    for name, content in (("one/a", b"1"), ("one/b", b"2")):
        bank.section(name).prepare()
        bank.section(name).put("config", content)
    assert bank.section("one").section("a").get("config") == b"1"
    assert keys(bank.section("one/b")) == ["config"]


@only(ANY_KEY)
def test_a_bank_sees_its_sections(bank: BankPlugin) -> None:
    bank.section("one/a").put("config", b"1")
    bank.section("one/b").put("config", b"2")
    assert keys(bank, "one") == ["one/a/config", "one/b/config"]


def test_preparing_again_keeps_what_is_there(bank: BankPlugin) -> None:
    bank.put("config", b"x")
    bank.prepare()
    bank.section("other").prepare()
    assert bank.get("config") == b"x"


def test_many_threads_write_and_read_at_once(bank: BankPlugin) -> None:
    def work(number: int) -> None:
        for turn in range(10):
            key = f"data/{turn:02}/{turn:02}{number}"
            bank.put(key, key.encode())
            assert bank.get(key) == key.encode()
            bank.put("config", b"same for all")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(keys(bank, "data")) == 80
    assert bank.get("config") == b"same for all"


@only(REPLACE_AT_ONCE)
def test_a_reader_sees_one_whole_object_or_the_other_while_it_is_replaced(bank: BankPlugin) -> None:
    contents = [bytes([number]) * 50_000 for number in (1, 2)]
    bank.put("config", contents[0])
    done = threading.Event()

    def replace() -> None:
        for turn in range(40):
            bank.put("config", contents[turn % 2])
        done.set()

    # Swift with one replica has nobody else to ask for an object that is just being replaced: it answers 503.
    reader = RetryingBank(bank, SOON) if isinstance(bank, SwiftBank) else bank
    writer = threading.Thread(target=replace)
    writer.start()
    while not done.is_set():
        assert reader.get("config") in contents
    writer.join()


@only(SHARED)
def test_a_shared_bank_reaches_the_same_objects_from_another_process(bank: BankPlugin) -> None:
    assert bank.shared
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


@only(SHARED)
def test_what_is_printed_of_a_bank_tells_no_secret(bank: BankPlugin) -> None:
    bank.get("config") if keys(bank) else bank.put("config", b"x")
    assert SECRET not in repr(bank) + bank.location + repr(vars(bank))
    assert SECRET.encode() not in pickle.dumps(bank)


@only(["rest"])
def test_a_rest_server_has_no_place_for_other_keys(bank: BankPlugin) -> None:
    for key in ("other", "other/aa", "data/aa", "data/00/11aa", "index/aa/bb"):
        with pytest.raises(BankRefused):
            bank.put(key, b"x")
        bank.delete(key)
    assert keys(bank) == []
