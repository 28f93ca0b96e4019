"""Resources and what hangs below them: an acyclic graph, walked in linear time and kept as JSON text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from protectd.common.errors import Conflict, ProtectdError
from protectd.plugin.base import Resource


class GraphCycle(Conflict):
    code = "graph.cycle"
    message = "resource {resource} depends on itself"


class GraphDamaged(ProtectdError):
    code = "graph.damaged"
    message = "a stored resource graph cannot be read: {reason}"


@dataclass(frozen=True)
class Graph:
    """:ivar resources: by key (`type#id`), children before their parents.
    :ivar children: keys of direct children by the parent's key; leaves are left out.
    """

    resources: Mapping[str, Resource]
    children: Mapping[str, tuple[str, ...]]

    @classmethod
    def build(cls, roots: Iterable[Resource], dependents: Callable[[Resource], Iterable[Resource]]) -> Self:
        """The graph below `roots`. `dependents` is asked once for each resource, however often it is met.

        :raises GraphCycle: a resource is below itself.
        """
        return cls(*_Walk(dependents).run(roots))

    def children_first(self) -> Iterator[Resource]:
        return iter(self.resources.values())

    def parents_first(self) -> Iterator[Resource]:
        return reversed(list(self.resources.values()))

    def roots(self) -> list[Resource]:
        """Resources that are nobody's child."""
        below = {child for children in self.children.values() for child in children}
        return [resource for key, resource in self.resources.items() if key not in below]

    def to_json(self) -> str:
        """`[{"0x0": [type, id, name, extra], ...}, [["0x1", ["0x0"]]]]`: nodes, then children by parent."""
        names = {key: hex(number) for number, key in enumerate(self.resources)}
        nodes = {names[key]: _node(resource) for key, resource in self.resources.items()}
        edges = [[names[key], [names[child] for child in below]] for key, below in self.children.items()]
        return json.dumps([nodes, edges])

    @classmethod
    def from_json(cls, text: str) -> Self:
        """:raises GraphDamaged: `text` is not what `to_json` writes."""
        try:
            nodes, edges = json.loads(text)
            resources = {name: _resource(*node) for name, node in nodes.items()}
            below = {name: tuple(resources[child] for child in children) for name, children in edges}
            children = {resources[name].key: found for name, found in below.items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise GraphDamaged(reason=f"{type(error).__name__}: {error}") from error
        return cls.build(resources.values(), lambda resource: children.get(resource.key, ()))


def _node(resource: Resource) -> list[Any]:
    extra = None if resource.extra_info is None else dict(resource.extra_info)
    return [resource.type, resource.id, resource.name, extra]


def _resource(type_: str, id_: str, name: str, extra: Mapping[str, Any] | None) -> Resource:
    return Resource(id=id_, type=type_, name=name, extra_info=extra)


class _Walk:
    """Depth first with a stack of its own, so that depth is bounded by memory alone."""

    def __init__(self, dependents: Callable[[Resource], Iterable[Resource]]) -> None:
        self._dependents = dependents
        self._open: dict[str, Resource] = {}
        self._children: dict[str, tuple[str, ...]] = {}
        self._done: dict[str, Resource] = {}

    def run(self, roots: Iterable[Resource]) -> tuple[dict[str, Resource], dict[str, tuple[str, ...]]]:
        stack: list[tuple[Resource | None, Iterator[Resource]]] = [(None, iter(list(roots)))]
        while stack:
            parent, rest = stack[-1]
            resource = next(rest, None)
            if resource is not None:
                stack.extend(self._entered(resource))
            else:
                stack.pop()
                self._leave(parent)
        return self._done, {key: self._children[key] for key in self._done if key in self._children}

    def _entered(self, resource: Resource) -> Sequence[tuple[Resource, Iterator[Resource]]]:
        """What to walk next: nothing when this resource was walked before."""
        if resource.key in self._open:
            raise GraphCycle(resource=resource.key)
        if resource.key in self._done:
            return ()
        self._open[resource.key] = resource
        children = list({child.key: child for child in self._dependents(resource)}.values())
        if children:
            self._children[resource.key] = tuple(child.key for child in children)
        return ((resource, iter(children)),)

    def _leave(self, resource: Resource | None) -> None:
        if resource is not None:
            self._done[resource.key] = self._open.pop(resource.key)
