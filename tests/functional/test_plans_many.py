"""Lists of hundreds of plans and instances: whole, without a gap or a repeat, while others come and go."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import webtest

from tests.fakes.service import Client, Service, running

COUNT = 250
NAMES = (
    "nightly",
    "Nightly",
    "NIGHTLY ",
    "nächtlich",
    "nachtlich",
    "näCHTLICH",
    "夜",
    "🌙",
    "ß",
    "ss",
    "'%_\\",
)
"""Databases do not agree on which of these are the same, nor on their order."""

INSTANCES = "protectables/directory/instances"
SORTS = (
    "",
    "&sort=created_at:asc",
    "&sort=id",
    "&sort=name:asc",
    "&sort=name:desc,created_at:asc",
    "&sort=status:asc,name:asc",
    "&sort_key=updated_at&sort_dir=asc",
)


@pytest.fixture(scope="module")
def many(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    place = tmp_path_factory.mktemp("many")
    with running(place, database=database_url, quota={"plans": -1}) as made:
        yield made


@pytest.fixture(scope="module")
def owner(many: Service) -> Client:
    """Has the plans, of which every third is started, and an instance for each."""
    client = many.client()
    for number in range(COUNT):
        name = NAMES[number % len(NAMES)]
        plan = client.plan(many.allowed / str(number), name=name, description=f"number {number}")
        if number % 3 == 0:
            client.call("PUT", f"plans/{plan['id']}", {"plan": {"status": "started"}})
    return client


@pytest.fixture(scope="module")
def plans(owner: Client) -> dict[str, dict[str, Any]]:
    return {each["id"]: each for each in owner.get("plans")["plans"]}


@contextmanager
def others_at_work(service: Service, owner: Client) -> Iterator[None]:
    """Somebody who adds plans to the same project, and changes and deletes those, all the time."""
    client = Client(webtest.TestApp(service.app.app), owner.token, owner.project_id)
    over = threading.Event()

    def work() -> None:
        for number in range(1000):
            if over.is_set():
                return
            made = client.plan(service.allowed / "others", name=NAMES[number % len(NAMES)])
            client.call("PUT", f"plans/{made['id']}", {"plan": {"name": NAMES[number % 7]}})
            client.call("DELETE", f"plans/{made['id']}")

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        try:
            yield
        finally:
            over.set()
        done.result()


def walk(client: Client, noun: str, path: str, limit: int, query: str = "") -> list[str]:
    """Ids in the order of the pages."""
    seen: list[str] = []
    url = f"{path}?limit={limit}{query}"
    while url and len(seen) < 10 * COUNT:
        page = client.get(url)
        assert 0 < len(page[noun]) <= limit or url == f"{path}?limit={limit}{query}"
        seen += [each["id"] for each in page[noun]]
        url = page.get(f"{noun}_links", [{"href": ""}])[0]["href"].removeprefix("http://localhost:80")
    return seen


def test_there_are_as_many_as_were_made(plans: dict[str, Any]) -> None:
    assert len(plans) == COUNT
    assert {each["description"] for each in plans.values()} == {f"number {number}" for number in range(COUNT)}


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("limit", [3, 100, 250])
def test_pages_hold_each_plan_once_in_the_order_of_the_whole_list(
    owner: Client, plans: dict[str, Any], sort: str, limit: int
) -> None:
    whole = [each["id"] for each in owner.get(f"plans?{sort.removeprefix('&')}")["plans"]]
    assert walk(owner, "plans", "plans", limit, sort) == whole
    assert set(whole) == set(plans)


@pytest.mark.parametrize("sort", SORTS)
def test_nothing_is_missed_or_repeated_while_others_come_and_go(
    many: Service, owner: Client, plans: dict[str, Any], sort: str
) -> None:
    with others_at_work(many, owner):
        seen = walk(owner, "plans", "plans", 11, sort)
    assert len(seen) == len(set(seen))
    assert set(plans) <= set(seen)


@pytest.mark.parametrize(
    ("query", "keeps"),
    [
        ("&status=started", lambda plan: plan["status"] == "started"),
        ("&description=number 1", lambda plan: plan["description"].startswith("number 1")),
        ("&status=suspended&description=9", lambda plan: number_of(plan) % 3 and "9" in plan["description"]),
    ],
)
def test_a_filter_holds_on_every_page(owner: Client, plans: dict[str, Any], query: str, keeps: Any) -> None:
    wanted = {id for id, plan in plans.items() if keeps(plan)}
    for sort in ("", "&sort=name:asc"):
        seen = walk(owner, "plans", "plans", 9, query + sort)
        assert len(seen) == len(set(seen)) and set(seen) == wanted


def number_of(plan: dict[str, Any]) -> int:
    return int(plan["description"].removeprefix("number "))


def test_a_walk_goes_on_from_a_plan_that_is_changed_or_deleted_meanwhile(
    many: Service, owner: Client, plans: dict[str, Any]
) -> None:
    last = owner.plan(Path(many.allowed / "last"), name="last")
    first = owner.get("plans?limit=1")["plans"][0]["id"]
    assert first == last["id"]
    owner.call("DELETE", f"plans/{first}")
    assert set(walk(owner, "plans", "plans", 50, f"&marker={first}")) == set(plans)


def test_others_see_none_and_an_administrator_sees_all(many: Service, owner: Client, plans: Any) -> None:
    assert walk(many.client(), "plans", "plans", 10) == []
    admin = many.client(role="admin")
    assert walk(admin, "plans", "plans", 10) == []
    assert set(plans) <= set(walk(admin, "plans", "plans", 40, "&all_tenants=true"))


@pytest.mark.parametrize("limit", [7, 100])
def test_the_instances_of_hundreds_of_plans_are_paged_too(
    many: Service, owner: Client, plans: dict[str, Any], limit: int
) -> None:
    wanted = {plan["resources"][0]["id"] for plan in plans.values()}
    assert len(wanted) == COUNT
    with others_at_work(many, owner):
        seen = walk(owner, "instances", INSTANCES, limit)
    assert len(seen) == len(set(seen))
    assert wanted <= set(seen)
