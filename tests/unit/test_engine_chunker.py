"""Where large files are cut."""

from __future__ import annotations

import random
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protectd.common.units import KIB, MIB
from protectd.vault.chunker import SIZES, Chunker, ChunkSizes, seed_of

SMALL = ChunkSizes(smallest=64, average=256, largest=1024)


def cut(data: bytes, chunker: Chunker, window: int | None = None) -> list[bytes]:
    """All chunks, the data given in windows as a reader of a file does."""
    window = window or len(data) + 1
    chunks, buffer, place = [], b"", 0
    while True:
        buffer += data[place : place + window - len(buffer)]
        place = min(len(data), place + window)
        last = sum(map(len, chunks)) + len(buffer) == len(data)
        done = 0
        for length in chunker.lengths(memoryview(buffer), last=last):
            chunks.append(buffer[done : done + length])
            done += length
        buffer = buffer[done:]
        place = sum(map(len, chunks)) + len(buffer)
        if last:
            return chunks


@given(data=st.binary(max_size=20_000), seed=st.integers(1, 2**62 - 1), window=st.integers(1024, 5000))
@settings(max_examples=60, deadline=None)
def test_chunks_are_the_data_whatever_the_window(data: bytes, seed: int, window: int) -> None:
    chunker = Chunker(seed, SMALL)
    whole = cut(data, chunker)
    assert b"".join(whole) == data
    assert all(len(chunk) <= SMALL.largest for chunk in whole)
    assert all(len(chunk) >= SMALL.smallest for chunk in whole[:-1])
    assert cut(data, chunker, window) == whole


@pytest.mark.parametrize("window", [1024, 1025, 9_999, 10_000])
def test_nothing_is_left_over_but_the_chunk_that_the_window_cuts_off(window: int) -> None:
    data = random.Random(3).randbytes(20_000)
    whole = list(accumulate(map(len, cut(data, Chunker(5, SMALL)))))
    given = list(accumulate(Chunker(5, SMALL).lengths(memoryview(data)[:window], last=False)))
    assert given == [end for end in whole if end < window or end == window == SMALL.largest]


def test_a_chunk_as_long_as_any_may_be_is_given_at_the_end_of_a_window() -> None:
    assert list(Chunker(5, SMALL).lengths(memoryview(bytes(2048)), last=False)) == [1024, 1024]
    assert list(Chunker(5, SMALL).lengths(memoryview(bytes(2047)), last=False)) == [1024]


def test_an_insertion_moves_few_cuts() -> None:
    data = random.Random(1).randbytes(64 * KIB)
    chunker = Chunker(5, SMALL)
    before = set(cut(data, chunker))
    after = cut(data[:30_000] + b"inserted" + data[30_000:], chunker)
    assert sum(chunk not in before for chunk in after) <= 3


def test_another_seed_cuts_elsewhere() -> None:
    data = random.Random(2).randbytes(4 * MIB)
    assert list(map(len, cut(data, Chunker(1)))) != list(map(len, cut(data, Chunker(2))))


@pytest.mark.parametrize("polynomial", [0x3DA3358B4DC173, (1 << 54) - 1, 1 << 53 | 1])
def test_a_seed_is_fixed_by_the_polynomial_and_accepted_by_the_chunker(polynomial: int) -> None:
    assert seed_of(polynomial) == seed_of(polynomial) != seed_of(polynomial ^ 2)
    assert cut(bytes(1000), Chunker(seed_of(polynomial)), SIZES.largest) == [bytes(1000)]
