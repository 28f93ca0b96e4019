"""How many statements each route sends: few, and as many for twenty rows as for two.

A token and the policy's decisions are remembered, so what is counted is the request's own.
"""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from typing import Any

import pytest
import webtest
from sqlalchemy import event

from protectd.api.routes import routes
from protectd.domain.events import sign
from protectd.model.base import utc_now
from protectd.model.models import Occurrence
from tests.fakes.route_counts import CONFIGURED as CONFIGURED
from tests.fakes.route_counts import Ask, Counted, check, count
from tests.fakes.service import FILES_ID, MEMORY_ID, Service, run_body

OURS = ("/v1/{project_id}", "/v1/triggers", "/v1/openapi.json", "/v1/key-manager.json")
ROUTES = [(verb, path) for verb, path in routes() if path.startswith(OURS) or path in ("/", "/v1")]
"""Those of the data-protection contract."""

FEW, MANY = 2, 20
P = "/v1/{project_id}"
CHECKPOINT = f"{P}/providers/{{provider_id}}/checkpoints/{{checkpoint_id}}"
OPERATION = f"{P}/scheduled_operations/{{scheduled_operation_id}}"

MOST = {
    ("GET", "/"): 0,
    ("GET", "/v1"): 0,
    ("GET", "/v1/openapi.json"): 0,
    ("GET", "/v1/key-manager.json"): 0,
    ("GET", f"{P}/plans"): 2,
    ("POST", f"{P}/plans"): 4,
    ("GET", f"{P}/plans/{{plan_id}}"): 2,
    ("GET", f"{P}/protectables"): 0,
    ("GET", f"{P}/protectables/{{protectable_type}}"): 0,
    ("GET", f"{P}/providers"): 0,
    ("GET", f"{P}/providers/{{provider_id}}"): 0,
    ("POST", f"{P}/providers/{{provider_id}}/checkpoints"): 8,
    ("POST", f"{P}/providers/{{provider_id}}/checkpoints/action"): 14,
    ("GET", f"{OPERATION}/retention"): 7,
    ("GET", f"{P}/plans/{{plan_id}}/retention"): 4,
}
"""What is known to need no more. Writes send more than one statement for what hangs together."""

LIST, READ, WRITE = 4, 6, 24


def most(verb: str, path: str) -> int:
    lists = verb == "GET" and not path.endswith("}")
    return MOST.get((verb, path), LIST if lists else READ if verb == "GET" else WRITE)


class World:
    """A project with `size` things of each kind, of which nothing runs."""

    def __init__(self, service: Service, size: int) -> None:
        self.size = size
        self.service = service
        self.client = service.client(role="admin")
        self.place = service.allowed / uuid.uuid4().hex
        self.plans = [self._plan(number) for number in range(size)]
        self.spare_plan = self._plan(size)
        self.checkpoints = [self._available(plan) for plan in self.plans]
        self.copied = [self._available(self.spare_plan) for _ in range(size)]
        self.spare_checkpoint = self._available(self.plans[0])
        self.restores = [self._post("restores", "restore", made) for made in self.checkpoints]
        self.verifications = [self._post("verifications", "verification", made) for made in self.checkpoints]
        self.triggers = [self._trigger() for _ in range(size + 1)]
        self.event = self._trigger(type="event", properties={})
        self.operations = [self._operation(plan) for plan in self.plans]
        self.retaining = self._operation(self.plans[0], "retention_protect", max_backups=2)
        self._occurrences()
        path = f"/os-services?host={self._daemons()}"
        self.daemon = self.client.get(f"/v1/{self.client.project_id}{path}")["services"][0]

    def _plan(self, number: int) -> dict[str, Any]:
        paths = [self.place / f"{number}-{each}" for each in "ab"]
        resources = [
            {"type": "directory", "name": path.name, "extra_info": {"path": str(path)}} for path in paths
        ]
        return self.client.plan(self.place, resources=resources)

    def _available(self, plan: dict[str, Any]) -> dict[str, Any]:
        made = self.client.checkpoint(plan)
        with self.service.parts.database.write() as uow:
            row = uow.checkpoints.get(made["id"])
            row.status, row.verified_at = "available", utc_now()
            for resource in row.resources:
                resource.status, resource.snapshot_id = "available", uuid.uuid4().hex * 2
            for task in uow.tasks.live("checkpoint", made["id"]):
                task.state = "done"
        return made

    def _post(self, path: str, key: str, checkpoint: dict[str, Any]) -> dict[str, Any]:
        return dict(self.client.post(path, {key: run_body(checkpoint)}, 202)[key])

    def _trigger(self, **changed: Any) -> dict[str, Any]:
        properties = {"format": "crontab", "pattern": "0 2 * * *", "start_time": "2030-01-31 08:30:00"}
        body = {"trigger_info": {"name": "daily", "type": "time", "properties": properties} | changed}
        return dict(self.client.post("triggers", body, 201)["trigger_info"])

    def operation_body(self, plan: dict[str, Any], kind: str = "protect", **more: Any) -> dict[str, Any]:
        return {
            "scheduled_operation": {
                "name": "nightly",
                "operation_type": kind,
                "trigger_id": self.triggers[0]["id"],
                "operation_definition": {"provider_id": plan["provider_id"], "plan_id": plan["id"], **more},
            }
        }

    def _operation(self, plan: dict[str, Any], kind: str = "protect", **more: Any) -> dict[str, Any]:
        made = self.client.post("scheduled_operations", self.operation_body(plan, kind, **more), 201)
        return dict(made["scheduled_operation"])

    def _occurrences(self) -> None:
        now = self.service.parts.clock.now()
        with self.service.parts.database.write() as uow:
            for number in range(self.size):
                moment = now - timedelta(days=number + 1)
                row = Occurrence(
                    id=str(uuid.uuid4()),
                    scheduled_operation_id=self.operations[0]["id"],
                    trigger_id=self.triggers[0]["id"],
                    project_id=self.client.project_id,
                    key=moment.isoformat(),
                    expected_at=moment,
                    decided_at=moment,
                    outcome="ran",
                )
                uow.session.add(row)

    def _daemons(self) -> str:
        host = uuid.uuid4().hex
        with self.service.parts.database.write() as uow:
            for number in range(self.size):
                uow.services.register(host, f"protectd-worker-{number}", "topic")
        return host

    def instance(self) -> str:
        return str(self.plans[0]["resources"][0]["id"])

    def log(self) -> str:
        return str(self.client.get("operation_logs?limit=1")["operation_logs"][0]["id"])


def asks(world: World) -> dict[tuple[str, str], Ask]:
    """Each route asked for something that is there, in an order in which it still is."""
    client, me = world.client, world.client.project_id
    plan, checkpoint = world.plans[0], world.checkpoints[0]["id"]
    spare = world.spare_checkpoint["id"]
    operation, trigger = world.operations[0]["id"], world.triggers[0]["id"]
    values = {
        "project_id": me,
        "provider_id": MEMORY_ID,
        "plan_id": plan["id"],
        "checkpoint_id": checkpoint,
        "protectable_type": "directory",
        "instance_id": world.instance(),
        "restore_id": world.restores[0]["id"],
        "verification_id": world.verifications[0]["id"],
        "operation_log_id": world.log(),
        "service_id": world.daemon["id"],
        "quota_project_id": me,
        "class_name": uuid.uuid4().hex,
        "trigger_id": trigger,
        "scheduled_operation_id": operation,
    }
    run = run_body(world.checkpoints[0])
    bodies: dict[tuple[str, str], Any] = {
        ("POST", f"{P}/plans"): client.plan_body(world.place / "0-a"),
        ("PUT", f"{P}/plans/{{plan_id}}"): {"plan": {"name": "another", "resources": plan["resources"][:1]}},
        ("POST", f"{P}/providers/{{provider_id}}/checkpoints"): {"checkpoint": {"plan_id": plan["id"]}},
        ("POST", f"{P}/providers/{{provider_id}}/checkpoints/action"): {
            "copy": {"plan_id": world.spare_plan["id"], "parameters": {"copy": {"provider_id": FILES_ID}}}
        },
        ("PUT", CHECKPOINT): {"os-resetState": {"state": "error"}},
        ("PUT", f"{CHECKPOINT}/hold"): {"hold": {"reason": "court"}},
        ("POST", f"{P}/protectables/{{protectable_type}}/instances"): {
            "instance": {"name": "n", "properties": {"path": str(world.place / "new")}}
        },
        ("POST", f"{P}/restores"): {"restore": run},
        ("POST", f"{P}/verifications"): {"verification": run},
        ("PUT", f"{P}/os-services/{{service_id}}"): {"status": "disabled"},
        ("PUT", f"{P}/quotas/{{quota_project_id}}"): {"quota": {"plans": 1000}},
        ("PUT", f"{P}/quota_classes/{{class_name}}"): {"quota_class": {"plans": 1000}},
        ("POST", f"{P}/triggers"): {"trigger_info": world.triggers[1] | {"name": "another"}},
        ("PUT", f"{P}/triggers/{{trigger_id}}"): {"trigger_info": {"name": "another"}},
        ("POST", f"{P}/scheduled_operations"): world.operation_body(plan),
        ("POST", f"{OPERATION}/retention"): {"retention": {"keep_last": 1}},
        ("PUT", OPERATION): {"scheduled_operation": {"name": "another"}},
    }
    bodies["POST", f"{P}/triggers"] = {
        "trigger_info": {
            name: world.triggers[1][name] for name in ("name", "type") if name in world.triggers[1]
        }
        | {"properties": {"format": "crontab", "pattern": "0 3 * * *"}}
    }
    spared = {
        ("DELETE", f"{P}/plans/{{plan_id}}"): {"plan_id": world.spare_plan["id"]},
        ("DELETE", f"{P}/triggers/{{trigger_id}}"): {"trigger_id": world.triggers[-1]["id"]},
        ("GET", f"{OPERATION}/retention"): {"scheduled_operation_id": world.retaining["id"]},
        ("POST", f"{OPERATION}/retention"): {"scheduled_operation_id": world.retaining["id"]},
        ("DELETE", CHECKPOINT): {"checkpoint_id": spare},
        ("PUT", CHECKPOINT): {"checkpoint_id": spare},
    }

    def ask(verb: str, path: str) -> Ask:
        if path.endswith("/fire"):
            return lambda: fire(world)
        url = path.format(**values | spared.get((verb, path), {}))
        return lambda: client.call(verb, url, bodies.get((verb, path)))

    order = sorted(ROUTES, key=lambda route: ("GET", "PUT", "POST", "DELETE").index(route[0]))
    return {route: ask(*route) for route in order}


def fire(world: World) -> webtest.TestResponse:
    """Without a token."""
    moment = str(int(time.time()))
    headers = {
        "X-Protectd-Timestamp": moment,
        "X-Protectd-Signature": sign(world.event["secret"], moment, b"{}"),
    }
    return world.client.app.post(f"/v1/triggers/{world.event['id']}/fire", b"{}", headers=headers)


def counts(service: Service, size: int) -> Counted:
    world = World(service, size)
    return count(service, world.client, asks(world))


@pytest.fixture(scope="module")
def counted(service: Service) -> dict[int, Counted]:
    """Status and statements of each route, in a small world and in a large one."""
    return {size: counts(service, size) for size in (FEW, MANY)}


@pytest.mark.parametrize(("verb", "path"), ROUTES)
def test_a_route_sends_few_statements_and_no_more_for_many_rows(
    counted: dict[int, Counted], verb: str, path: str
) -> None:
    check(counted[FEW], counted[MANY], (verb, path), most(verb, path))


def test_no_route_counts_rows(counted: dict[int, Counted]) -> None:
    sent = [sql for world in counted.values() for _, _, each in world.values() for sql in each]
    assert len(sent) > 100
    assert [sql for sql in sent if "count(*)" in sql.lower()] == []


LISTS = (
    "plans",
    f"providers/{MEMORY_ID}/checkpoints",
    "restores",
    "verifications",
    "operation_logs",
    "triggers",
    "scheduled_operations",
    "scheduled_operations/{scheduled_operation_id}/occurrences",
)


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("query", ["", "&sort=created_at:asc"])
def test_a_page_begins_at_its_marker_by_index_however_deep_it_is(
    on_sqlite: Service, path: str, query: str
) -> None:
    world = World(on_sqlite, 4)
    url = path.format(scheduled_operation_id=world.operations[0]["id"])
    first = world.client.get(f"{url}?limit=2{query}")
    marker = next(iter(value for name, value in first.items() if not name.endswith("_links")))[-1]["id"]
    steps: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, values: Any, *rest: Any) -> None:
        if " ORDER BY " in statement and " LIMIT " in statement:
            found = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", values)
            steps.extend(row[3] for row in found)

    engine = on_sqlite.parts.database.engine
    event.listen(engine, "before_cursor_execute", explain)
    try:
        world.client.get(f"{url}?limit=2&marker={marker}{query}")
    finally:
        event.remove(engine, "before_cursor_execute", explain)
    (search,) = steps
    assert search.startswith("SEARCH") and "USING INDEX" in search, "no row before the marker, no sorting"
    assert "_at<?" in search or "_at>?" in search
