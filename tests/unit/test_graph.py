"""The graph of resources."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from protectd.plugin.base import Resource
from protectd.plugin.graph import Graph, GraphCycle, GraphDamaged


def node(name: str, extra: dict[str, object] | None = None) -> Resource:
    return Resource(id=name, type="t", name=name.upper(), extra_info=extra)


def asker(edges: dict[str, str]) -> Callable[[Resource], Iterable[Resource]]:
    return lambda resource: [node(child) for child in edges.get(resource.id, "")]


def order(graph: Graph) -> str:
    return "".join(resource.id for resource in graph.children_first())


def test_children_come_before_their_parents_and_the_other_way_round() -> None:
    graph = Graph.build([node("a")], asker({"a": "bc", "b": "d"}))
    assert order(graph) == "dbca"
    assert "".join(resource.id for resource in graph.parents_first()) == "acbd"


def test_a_resource_met_twice_is_asked_and_kept_once() -> None:
    asked: Counter[str] = Counter()
    edges = asker({"a": "bc", "b": "d", "c": "d"})

    def dependents(resource: Resource) -> Iterable[Resource]:
        asked[resource.id] += 1
        return edges(resource)

    graph = Graph.build([node("a"), node("d"), node("a")], dependents)
    assert asked == Counter("abcd")
    assert sorted(order(graph)) == list("abcd")
    assert [root.id for root in graph.roots()] == ["a"]


def test_a_child_named_twice_by_one_parent_is_one_child() -> None:
    assert Graph.build([node("a")], asker({"a": "bb"})).children == {"t#a": ("t#b",)}


@pytest.mark.parametrize("edges", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "bc", "c": "d", "d": "a"}])
def test_a_resource_below_itself_is_refused(edges: dict[str, str]) -> None:
    with pytest.raises(GraphCycle) as caught:
        Graph.build([node("a")], asker(edges))
    assert caught.value.status == 409


def test_an_empty_graph_has_a_form_too() -> None:
    graph = Graph.build([], asker({}))
    assert graph.to_json() == "[{}, []]"
    assert Graph.from_json("[{}, []]") == graph


def test_the_stored_form_is_the_contracts() -> None:
    volume = Resource("2533", "volume", "data", {"availability_zone": "az1"})
    server = Resource("cb4e", "server", "web")
    graph = Graph.build([server], lambda resource: [volume] if resource is server else [])
    assert json.loads(graph.to_json()) == [
        {
            "0x0": ["volume", "2533", "data", {"availability_zone": "az1"}],
            "0x1": ["server", "cb4e", "web", None],
        },
        [["0x1", ["0x0"]]],
    ]


def test_a_stored_graph_is_read_back_as_it_was() -> None:
    choice = random.Random(7)
    names = [f"n{number}" for number in range(200)]
    edges = {name: choice.sample(names[place + 1 :], 3) for place, name in enumerate(names[:-4])}
    graph = Graph.build(
        [node(name, {"n": 1}) for name in names],
        lambda resource: [node(child, {"n": 1}) for child in edges.get(resource.id, ())],
    )
    again = Graph.from_json(graph.to_json())
    assert again == graph
    assert again.to_json() == graph.to_json()


@pytest.mark.parametrize(
    "text",
    ["", "null", "{}", "[]", "[{}]", "[[], []]", '[{"0x0": ["t"]}, []]', '[{}, [["0x0", []]]]', "[1, 2]"]
    + ['[{"0x0": ["t", "a", "A", null]}, [["0x0", ["0x9"]]]]', '[{"0x0": null}, []]'],
)
def test_a_stored_graph_that_makes_no_sense_is_damaged(text: str) -> None:
    with pytest.raises(GraphDamaged):
        Graph.from_json(text)


def test_a_stored_cycle_is_refused() -> None:
    with pytest.raises(GraphCycle):
        Graph.from_json('[{"0x0": ["t", "a", "A", null]}, [["0x0", ["0x0"]]]]')


def test_a_long_chain_needs_no_deep_stack() -> None:
    length = 20_000
    graph = Graph.build(
        [node("0")],
        lambda resource: [node(str(int(resource.id) + 1))] if int(resource.id) < length else [],
    )
    assert len(graph.resources) == length + 1
    assert next(graph.children_first()).id == str(length)
