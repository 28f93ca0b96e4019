"""Statements that each route of an API sends, in a small world and in a large one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import webtest

from tests.fakes.service import Client, Service

Route = tuple[str, str]
Ask = Callable[[], webtest.TestResponse]
Counted = dict[Route, tuple[int, int, list[str]]]
"""Status, number of statements, and these."""

CONFIGURED = "[api]\ntoken_memory_s = 300\n"
"""A token that was seen once is not looked for again, however busy the machine is."""

FRAMES = ("BEGIN", "SAVEPOINT", "RELEASE", "SET autocommit")


def count(service: Service, client: Client, asks: Mapping[Route, Ask]) -> Counted:
    found: Counted = {}
    for route, ask in asks.items():
        client.get("protectables")  # its token is known
        with service.counted_statements() as seen:
            answer = ask()
        sent = [each for each in seen if not each.startswith(FRAMES)]
        found[route] = answer.status_int, len(sent), sent
    return found


def check(few: Counted, many: Counted, route: Route, most: int) -> None:
    """It sends few, and no more for many rows."""
    assert few[route][0] < 400 and many[route][0] < 400, "it was to be done"
    assert few[route][1] == many[route][1], many[route][2]
    assert many[route][1] <= most, many[route][2]
