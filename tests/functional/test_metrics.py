"""What a daemon tells Prometheus, and what it keeps to itself."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from protectd.client.http import Client, RequestFailed
from tests.fakes.daemons import Daemon, Standalone, free_port, healthy, manage, running, wait_for
from tests.functional.test_commands import config, get, refused
from tests.functional.test_end_to_end_standalone import fill

pytest_plugins = ["tests.fakes.databases"]

PLANS = "/v1/{project_id}/plans"
REQUESTS = "protectd_request_duration_seconds"


class Metrics:
    """A daemon's metrics, as Prometheus reads them."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/metrics"

    def text(self) -> str:
        status, body, headers = get(self.url)
        assert status == 200 and headers["content-type"].startswith("text/plain")
        return body.decode()

    def value(self, name: str, **labels: str) -> float:
        """The sum over all samples of a name that have these labels; -1: there is none."""
        found = [
            sample.value
            for family in text_string_to_metric_families(self.text())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else -1


class Api:
    """protectd-api with two processes."""

    def __init__(self, place: Path, url: str) -> None:
        self.endpoint, port = f"http://127.0.0.1:{free_port()}", free_port()
        text = f"[api]\nworkers = 2\nbind_port = {self.endpoint.rpartition(':')[2]}\n"
        file = config(place, f"{text}[metrics]\napi_port = {port}\n", url)
        self.options = ["--config-file", str(file)]
        self.daemon = Daemon("api", self.options, place / "api.log")
        self.metrics = Metrics(port)
        self.project_id = str(uuid.uuid4())

    def wait(self) -> Client:
        wait_for("the API", lambda: healthy(self.endpoint), 60, self.daemon)
        made = manage(*self.options, "token", "create", "--project", self.project_id)
        return Client(self.endpoint, made["token"], self.project_id)

    def processes(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.daemon.pid).children()]

    def served(self) -> float:
        return self.metrics.value(f"{REQUESTS}_count", route=PLANS, method="GET", status="2xx")


@pytest.fixture
def api(tmp_path: Path, chosen_url: str) -> Iterator[Api]:
    made = Api(tmp_path, chosen_url)
    with running(made.daemon):
        yield made


def until(what: str, wanted: Callable[[], bool], api: Api) -> None:
    wait_for(what, wanted, 30, api.daemon)


def test_several_processes_are_shown_as_one_and_nothing_is_lost_with_one_of_them(api: Api) -> None:
    client = api.wait()
    until("two processes", lambda: len(api.processes()) == 2, api)
    for _ in range(20):
        client.get("/plans")
    assert api.served() == 20
    assert {api.served() for _ in range(10)} == {20}, "whichever process answers"
    until("the pools of both", lambda: api.metrics.value("protectd_database_connections_limit") == 30, api)
    first = api.processes()[0]
    os.kill(first, signal.SIGKILL)
    until("another process", lambda: len(set(api.processes()) - {first}) == 2, api)
    assert api.served() == 20
    client.get("/plans")
    assert api.served() == 21
    until("the pools of both", lambda: api.metrics.value("protectd_database_connections_limit") == 30, api)


def test_requests_are_told_apart_by_route_and_class_of_status_and_by_no_project(api: Api) -> None:
    client = api.wait()
    for path in ("/plans", f"/plans/{uuid.uuid4()}", "/no/such/thing"):
        with suppress(RequestFailed):
            client.get(path)
    get(f"{api.endpoint}/v1/{api.project_id}/plans")
    count = f"{REQUESTS}_count"
    assert api.metrics.value(count, route=PLANS, method="GET", status="2xx") == 1
    assert api.metrics.value(count, route=f"{PLANS}/{{plan_id}}", method="GET", status="4xx") == 1
    assert api.metrics.value(count, route="other", method="GET", status="4xx") == 2
    assert api.metrics.value("protectd_info", service="protectd-api") == 1
    assert api.project_id not in api.metrics.text()


def test_they_are_on_loopback_and_not_on_the_port_of_the_api(api: Api) -> None:
    api.wait()
    assert get(f"{api.endpoint}/metrics")[0] == 401, "a path of the API like any other that is not there"
    (listening,) = [
        connection.laddr
        for connection in psutil.Process(api.daemon.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and str(connection.laddr.port) in api.metrics.url
    ]
    assert listening.ip == "127.0.0.1"


def test_a_port_in_use_is_told(api: Api) -> None:
    api.wait()
    port = api.metrics.url.rpartition(":")[2].removesuffix("/metrics")
    for module, option in (("engine", "engine_port"), ("worker", "worker_port"), ("worker", "port")):
        more = Path(api.options[1]).with_name("more.conf")
        more.write_text(f"[metrics]\n{option} = {port}\n")
        assert port in refused(module, *api.options, "--config-file", more)


def test_without_a_port_nothing_listens(tmp_path: Path) -> None:
    daemon = Standalone(tmp_path / "state")
    with running(daemon):
        daemon.wait()
        connections = psutil.Process(daemon.pid).net_connections("inet")
        assert len([each for each in connections if each.status == psutil.CONN_LISTEN]) == 1


def test_a_task_is_seen_from_its_claim_to_its_end(tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "protectd.conf"
    file.write_text(f"[metrics]\nport = {port}\n[engine]\npoll_interval_s = 0.5\n")
    daemon, metrics = Standalone(tmp_path / "state", "--config-file", str(file)), Metrics(port)
    with running(daemon):
        user, source = daemon.wait(), tmp_path / "source"
        fill(source, files=2, size=1000)
        user.protect(user.plan(source), daemon)
        labels = {"operation": "protect"}
        ended = "protectd_task_duration_seconds_count"
        wait_for("the end", lambda: metrics.value(ended, outcome="done", **labels) == 1, 30, daemon)
        assert metrics.value("protectd_task_claim_latency_seconds_count", **labels) == 1
        waiting = {"state": "waiting"}  # counted by the engine, at times
        wait_for("nothing that waits", lambda: metrics.value("protectd_tasks", **waiting) == 0, 30, daemon)
        assert metrics.value("process_resident_memory_bytes") > 0
        assert metrics.value("protectd_database_connections_limit") > 0
        assert user.project_id not in metrics.text()
