"""What is remembered for a moment, and no longer."""

from __future__ import annotations

from protectd.common.memory import Memory
from tests.fakes.clock import ManualClock


def memory(keep_s: float = 10, most: int = 3) -> tuple[Memory[str, str | None], ManualClock]:
    clock = ManualClock()
    return Memory(keep_s, most, clock.monotonic), clock


def test_what_was_noted_is_known_for_its_time_only() -> None:
    known, clock = memory()
    known.note("a", "one")
    clock.advance(9.9)
    assert known.recall("a") == "one"
    clock.advance(0.1)
    assert known.recall("a") is None


def test_nothing_is_known_without_time() -> None:
    known, _ = memory(keep_s=0)
    known.note("a", "one")
    assert known.recall("a") is None


def test_what_was_noted_again_counts_from_then() -> None:
    known, clock = memory()
    known.note("a", "one")
    known.note("b", "two")
    clock.advance(6)
    known.note("a", "three")
    clock.advance(6)
    assert (known.recall("a"), known.recall("b")) == ("three", None)


def test_what_is_over_is_not_held_either() -> None:
    known, clock = memory()
    known.note("a", "one")
    known.note("b", "two")
    clock.advance(10)
    known.note("c", "three")
    assert len(known) == 1


def test_the_oldest_are_forgotten_when_there_are_too_many() -> None:
    known, clock = memory()
    for each in "abcd":
        known.note(each, each)
        clock.advance(1)
    assert [known.recall(each) for each in "abcd"] == [None, "b", "c", "d"]
