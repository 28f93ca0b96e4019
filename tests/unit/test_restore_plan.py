"""The plan of a restore: packs are read as early as possible, and each place of each blob is filled once."""

from __future__ import annotations

import os
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from protectd.vault.attributes import Wanted
from protectd.vault.index import BlobIndex
from protectd.vault.pack import DATA, BlobEntry
from protectd.vault.restore_plan import FileTarget, Plan, Portion

WANTED = Wanted(0o644, 0, 0, 0)
SIZE = 100


def blob(number: int) -> bytes:
    return b"%032d" % number


def index_of(*packs: list[int]) -> BlobIndex:
    """Packs that hold the blobs of these numbers, each of 100 bytes."""
    return BlobIndex.of(
        {
            b"pack%028d" % place: [
                BlobEntry(DATA, blob(number), offset * (SIZE + 32), SIZE + 32, None)
                for offset, number in enumerate(numbers)
            ]
            for place, numbers in enumerate(packs)
        }
    )


def add(plan: Plan, *numbers: int) -> FileTarget | bytes:
    return plan.add(b"folder", b"name", WANTED, [blob(number) for number in numbers])


def filled(portion: Portion | None) -> list[tuple[int, int, int]]:
    """(blob, file, position) of a portion."""
    assert portion is not None
    return [(int(each.entry.id), number, place) for each in portion[1] for number, place in each.places]


def test_a_pack_is_ready_when_all_of_it_was_asked_for() -> None:
    plan = Plan(index_of([1, 2], [3, 4]))
    add(plan, 1)
    assert plan.ready() is None
    add(plan, 3, 2)
    assert filled(plan.ready()) == [(1, 0, 0), (2, 1, SIZE)]
    assert plan.ready() is None
    assert filled(plan.rest()) == [(3, 1, 0)]
    assert plan.rest() is None


def test_a_place_that_is_found_later_gets_a_read_of_its_own() -> None:
    plan = Plan(index_of([1, 2]))
    add(plan, 1, 2)
    assert filled(plan.ready()) == [(1, 0, 0), (2, 0, SIZE)]
    add(plan, 2)
    assert plan.ready() is None
    assert filled(plan.rest()) == [(2, 1, 0)]


def test_a_blob_that_no_index_knows_is_named_and_plans_nothing() -> None:
    plan = Plan(index_of([1]))
    assert add(plan, 1, 7) == blob(7)
    assert plan.files == [] and plan.total_bytes == 0


@settings(deadline=None)
@given(
    packs=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    files=st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=6), max_size=30),
    early=st.lists(st.booleans(), min_size=30, max_size=30),
)
def test_every_place_is_filled_once_whenever_packs_are_taken(
    packs: list[int], files: list[list[int]], early: list[bool]
) -> None:
    numbers = iter(range(1000))
    index = index_of(*([next(numbers) for _ in range(count)] for count in packs))
    plan, known, done = Plan(index), sum(packs), Counter()
    wanted: Counter[tuple[int, int, int]] = Counter()
    for content, take in zip(files, early, strict=False):
        content = [number % known for number in content]
        plan.expect(map(blob, content))
        file = add(plan, *content)
        assert isinstance(file, FileTarget)
        wanted.update((number, file.number, place * SIZE) for place, number in enumerate(content))
        while take and (portion := plan.ready()) is not None:
            done.update(filled(portion))
    while (portion := plan.rest()) is not None:
        done.update(filled(portion))
    assert done == wanted


def test_looking_up_many_says_what_looking_up_one_says() -> None:
    index = index_of([1, 2, 3], [4, 5])
    asked = [blob(number) for number in (5, 9, 1, 4)] + [os.urandom(32)]
    assert index.lookup_all(DATA, asked) == [index.lookup(DATA, each) for each in asked]
