"""Digests computed side by side are those that hashlib computes, with the module in C and without."""

from __future__ import annotations

import hashlib
import shutil
import sys
import sysconfig
import weakref
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protectd.vault import digests as module
from protectd.vault.digests import GROUP_BYTES, Whole, digests, grouped

EDGES = [0, 1, 54, 55, 56, 57, 63, 64, 65, 118, 119, 120, 121, 127, 128, 129, 1000]
pieces = st.lists(
    st.one_of(st.sampled_from(EDGES), st.integers(0, 3000)).map(lambda n: n * b"\xa5"), max_size=9
)


def oracle(piece: bytes) -> bytes:
    return hashlib.sha256(piece).digest()


@pytest.fixture(params=["native", "hashlib"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "hashlib":
        monkeypatch.setattr(module, "NATIVE", False)
    return str(request.param)


def test_the_module_in_c_is_there_where_it_can_be(way: str) -> None:
    flags = Path("/proc/cpuinfo").read_text().split()
    able = "sha_ni" in flags and "sse4_1" in flags
    header = Path(sysconfig.get_path("include")) / "Python.h"
    buildable = shutil.which("cc") is not None and header.exists()
    assert module.NATIVE or way == "hashlib" or not (able and buildable)


def test_the_examples_of_the_standard(way: str) -> None:
    """FIPS 180-4 and its examples: no block, one, two."""
    told = ["", "abc", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"]
    assert [each.hex() for each in digests([text.encode() for text in told])] == [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ]


def test_every_length_up_to_some_blocks(way: str) -> None:
    every = [bytes(range(256))[:length] * 3 for length in range(256)]
    assert digests(every) == list(map(oracle, every))


@given(pieces=pieces)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_pieces(pieces: list[bytes]) -> None:
    found = digests([memoryview(piece) for piece in pieces])
    assert found == list(map(oracle, pieces))


@given(whole=st.one_of(st.sampled_from(EDGES), st.integers(0, 20_000)), turns=st.lists(pieces, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_whole_gets_on_beside_any_pieces_and_comes_out_the_same(
    whole: int, turns: list[list[bytes]]
) -> None:
    data = (b"\x5a\xa6\x11" * whole)[:whole]
    under_way = Whole()
    for number, turn in enumerate(turns, 1):
        there = data[: whole * number // len(turns)]
        assert under_way.beside(turn, there) == list(map(oracle, turn))
    assert under_way.digest(data) == oracle(data)
    assert under_way.digest(data) == oracle(data)


def test_what_is_no_piece_is_refused_and_lets_go_of_the_others(way: str) -> None:
    held = bytearray(b"held")
    with pytest.raises(TypeError):
        digests([held, "text"])  # type: ignore[list-item]
    held.append(1)  # it could not grow while somebody looked into it


def test_bytes_that_were_not_begun_are_refused() -> None:
    native = pytest.importorskip("protectd.vault._sha256", reason="the module in C was not built")
    for begun in (
        bytearray(3),
        native.begin()[:-1] + b"\xff",
        native.begin()[:-8] + (65).to_bytes(8, "little"),
    ):
        with pytest.raises(ValueError, match="begin"):
            native.beside([b"x"], b"w" * 64, begun)
        with pytest.raises(ValueError, match="begin"):
            native.finish(b"w" * 64, begun)
    with pytest.raises(TypeError):
        native.digests((b"x",))
    with pytest.raises((TypeError, BufferError)):
        native.beside([b"x"], b"w" * 64, bytes(native.begin()))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="only C gives buffers before Python 3.12")
def test_a_list_that_loses_its_pieces_while_they_give_their_buffers_is_hashed_as_it_was() -> None:
    native = pytest.importorskip("protectd.vault._sha256", reason="the module in C was not built")

    class Thief:
        def __buffer__(self, flags: int) -> memoryview:
            pieces.clear()
            return memoryview(b"first")

    pieces = [Thief(), bytearray(b"second")]
    assert native.digests(pieces) == [oracle(b"first"), oracle(b"second")]


def test_things_are_gathered_until_they_are_worth_it() -> None:
    large, small = bytes(GROUP_BYTES // 2), b"x"
    groups = list(grouped([(0, large), (1, small), (2, large), (3, small)]))
    assert [[number for number, _ in group] for group in groups] == [[0, 1, 2], [3]]
    assert list(grouped([])) == []


def test_a_group_is_gone_before_the_next_is_gathered() -> None:
    piece = array("B", bytes(GROUP_BYTES // 2))
    made: list[weakref.ref[array[int]]] = []

    def items() -> Iterator[tuple[None, memoryview]]:
        for number in range(6):
            assert len([each for each in made if each() is not None]) == number % 2
            own = array("B", piece)
            made.append(weakref.ref(own))
            yield None, memoryview(own)
            del own

    for group in grouped(items()):
        assert len(group) == 2
        del group
    assert len(made) == 6
