"""Plug-ins that are asked what they find: slow ones, broken ones, and those that know each other's."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from protectd.common.context import RequestContext
from protectd.common.errors import InvalidField
from protectd.domain.discovery import Discovery, DiscoveryOptions, ProtectableUnavailable
from protectd.domain.providers import Protectables
from protectd.plugin.base import InvalidResource, Resource
from tests.fakes.clock import ManualClock
from tests.fakes.kinds import Kind

CONTEXT = RequestContext("req-1", "project", "user", ("member",))
ROOT = Resource("1", "house", "house")


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def discovery(*kinds: Kind, **options: float) -> Discovery:
    chosen = DiscoveryOptions(**{"deadline_s": 0.2, "keep_s": 10.0, "threads": 2} | options)  # type: ignore[arg-type]
    return Discovery(Protectables(kinds), ManualClock(), chosen)


def test_what_is_found_is_told_again_for_a_while() -> None:
    house, clock = Kind("house"), ManualClock()
    house.found = [ROOT]
    asking = Discovery(Protectables([house]), clock, DiscoveryOptions(keep_s=10))
    for _ in range(3):
        assert asking.instances("house", CONTEXT, {}) == [ROOT]
    assert house.asked == 1
    asking.instances("house", CONTEXT, {"street": "x"})
    asking.instances("house", RequestContext("req-2", "another", "user", ()), {})
    assert house.asked == 3
    clock.advance(11)
    house.found = []
    assert asking.instances("house", CONTEXT, {}) == []


@pytest.mark.parametrize("error", [RuntimeError("hush"), KeyError("hush")])
def test_a_plug_in_that_breaks_is_named_and_what_it_says_is_not_told(error: Exception) -> None:
    house = Kind("house")
    house.found = error
    with pytest.raises(ProtectableUnavailable) as caught:
        discovery(house).instances("house", CONTEXT, {})
    assert str(caught.value) == f"the plug-in for house failed with {type(error).__name__}"


def test_what_a_plug_in_refuses_is_the_callers_to_mend() -> None:
    house = Kind("house")
    house.found = InvalidResource(field="street", reason="is none")
    with pytest.raises(InvalidField):
        discovery(house).instances("house", CONTEXT, {})


def test_a_plug_in_that_hangs_is_given_up_and_holds_up_no_other(stuck: threading.Event) -> None:
    house, tree = Kind("house"), Kind("tree")
    house.found, tree.found = stuck, [Resource("2", "tree", "oak")]
    asking = discovery(house, tree)
    for reason in ("did not answer", "did not answer", "is still busy"):
        with pytest.raises(ProtectableUnavailable, match=reason):
            asking.instances("house", CONTEXT, {})
        assert asking.instances("tree", CONTEXT, {}) == tree.found


def test_it_is_asked_again_when_it_has_come_to_its_senses(stuck: threading.Event) -> None:
    house = Kind("house")
    house.found = stuck
    asking = discovery(house, threads=1)
    with pytest.raises(ProtectableUnavailable):
        asking.instances("house", CONTEXT, {})
    stuck.set()
    house.found = [ROOT]
    for _ in range(100):
        try:
            assert asking.instances("house", CONTEXT, {}) == [ROOT]
            return
        except ProtectableUnavailable:
            stuck.wait(0.05)
            threading.Event().wait(0.05)
    raise AssertionError("it was never asked again")


def test_children_are_found_by_whoever_declares_the_parent() -> None:
    house, tree, room = Kind("house"), Kind("tree"), Kind("room", ["house"])
    room.found = [Resource("3", "room", "hall")]
    asking = discovery(house, tree, room)
    assert asking.dependents("house", [ROOT]) == ([room.found], [])
    assert asking.dependents("tree", [Resource("2", "tree", "oak")]) == ([[]], [])


def test_children_of_a_broken_kind_are_left_out_by_name(stuck: threading.Event) -> None:
    kinds = [Kind("house"), Kind("room", ["house"]), Kind("door", ["house"]), Kind("wall", ["house"])]
    kinds[1].found = [Resource("3", "room", "hall")]
    kinds[2].found, kinds[3].found = RuntimeError(), stuck
    assert discovery(*kinds).dependents("house", [ROOT]) == ([kinds[1].found], ["door", "wall"])


def test_dependent_types_are_declared_by_either_side() -> None:
    protectables = Protectables([Kind("house"), Kind("room", ["house"]), Kind("door", ["house", "room"])])
    assert protectables.dependent_types("house") == ["door", "room"]
    assert protectables.dependent_types("room") == ["door"]
    assert protectables.dependent_types("door") == []


def test_the_graph_that_is_protected_leaves_nothing_out() -> None:
    house, room = Kind("house"), Kind("room", ["house"])
    room.found = [Resource("3", "room", "hall")]
    graph = Protectables([house, room]).graph([ROOT])
    assert [each.name for each in graph.children_first()] == ["hall", "house"]
    room.found = RuntimeError("broken")
    with pytest.raises(RuntimeError):
        Protectables([house, room]).graph([ROOT])
