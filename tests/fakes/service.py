"""The real application in this process: paste pipeline, database, banks, tasks run or left waiting."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier
from typing import Any

import webtest
from sqlalchemy import event

from protectd.cmd.build import Parts, parts
from protectd.common.clock import Clock
from protectd.common.ids import new_id
from protectd.conf import new_config
from protectd.domain import tokens
from protectd.plugin.secret_stores.master_keys import make_master_key
from tests.fakes.databases import chosen_kind, empty_database, make_tables

FILES_ID = "6659007d-6f66-4a0f-9cb4-17d6aded0bb9"
MEMORY_ID = "0b6f2c5c-57a1-4b0e-8f0d-3f6f3f1f7a10"
END_STATES = frozenset({"available", "error", "deleted", "error-deleting", "success", "fail"})
PASTE_FILE = Path(__file__).parents[2] / "etc/protectd/protectd-api-paste.ini"

PROVIDER = """
[provider]
id = {id}
name = {name}
description = {name} of the tests
enabled = true
bank = {bank}
plugin = {plugins}

[{bank}]
{options}

[allowed_roots]
{roots}
"""


@dataclass
class Client:
    """One caller. Answers of any status come back; the fault body of each refusal is looked at."""

    app: webtest.TestApp
    token: str
    project_id: str

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> webtest.TestResponse:
        """:param path: below the project, or from the top when it begins with a slash."""
        url = path if path.startswith("/") else f"/v1/{self.project_id}/{path}"
        headers = {"X-Auth-Token": self.token, **headers}
        send = getattr(self.app, f"{method.lower()}_json" if body is not None else method.lower())
        arguments = () if body is None else (body,)
        answer = send(url, *arguments, headers=headers, expect_errors=True)
        if answer.status_int >= 400:
            fault_of(answer)
        return answer

    def get(self, path: str, status: int = 200) -> Any:
        return _expect(self.call("GET", path), status).json

    def post(self, path: str, body: Any, status: int) -> Any:
        return _expect(self.call("POST", path, body), status).json

    def refused(self, method: str, path: str, status: int, body: Any = None) -> dict[str, Any]:
        """The fault of a request that has to be refused."""
        return fault_of(_expect(self.call(method, path, body), status))

    # --- nouns ---

    def plan_body(self, path: Path | str, provider_id: str = MEMORY_ID, **changed: Any) -> dict[str, Any]:
        resource = {"type": "directory", "name": "data", "extra_info": {"path": str(path)}}
        plan = {"name": "nightly", "provider_id": provider_id, "parameters": {}, "resources": [resource]}
        return {"plan": plan | changed}

    def plan(self, path: Path | str, provider_id: str = MEMORY_ID, **changed: Any) -> dict[str, Any]:
        return dict(self.post("plans", self.plan_body(path, provider_id, **changed), 201)["plan"])

    def checkpoint(self, plan: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
        path = f"providers/{plan['provider_id']}/checkpoints"
        return dict(self.post(path, {"checkpoint": {"plan_id": plan["id"], **fields}}, 202)["checkpoint"])

    def restore(self, checkpoint: Mapping[str, Any], status: int = 202, **fields: Any) -> dict[str, Any]:
        return dict(self.post("restores", {"restore": run_body(checkpoint, **fields)}, status))

    def ended(self, path: str, key: str, within_s: float = 60) -> dict[str, Any]:
        """Poll until the thing has ended."""
        for _ in range(int(within_s / 0.05)):
            entity = self.get(path)[key]
            if entity["status"] in END_STATES:
                return dict(entity)
            time.sleep(0.05)
        raise AssertionError(f"{path} is still {entity['status']} after {within_s} s")


def run_body(checkpoint: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    provider_id = checkpoint["protection_plan"]["provider_id"]
    return {"provider_id": provider_id, "checkpoint_id": checkpoint["id"], "parameters": {}, **fields}


def fault_of(answer: webtest.TestResponse) -> dict[str, Any]:
    """The one fault body, whose every part is checked."""
    assert answer.content_type == "application/json", answer
    body = answer.json
    name, fault = next(iter(body.items()))
    assert set(body) == {name, "code", "title", "description", "request_id"}
    assert fault["code"] == body["code"] == answer.status_int
    assert fault["message"] == body["description"]
    assert fault["error"]
    assert body["request_id"] == answer.headers["x-openstack-request-id"]
    return {"name": name, **fault}


def _expect(answer: webtest.TestResponse, status: int) -> webtest.TestResponse:
    assert answer.status_int == status, f"{answer.status}: {answer.text}"
    return answer


@dataclass
class Service:
    """:ivar allowed: the directory that members of any project may touch."""

    parts: Parts
    app: webtest.TestApp
    allowed: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def client(self, project_id: str | None = None, role: str = "member") -> Client:
        project_id = project_id or new_id()
        with self.parts.database.write() as uow:
            user = f"user-{next(self.numbers)}"
            token = tokens.issue(uow, project_id, user, [role], None, self.parts.clock.now())
        return Client(self.app, token, project_id)

    @contextmanager
    def counted_statements(self) -> Iterator[list[str]]:
        """The SQL that the block makes the service send in this thread, which answers its requests."""
        seen: list[str] = []
        here = threading.get_ident()

        def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
            if threading.get_ident() == here:
                seen.append(statement)

        self.parts.dispatcher.flush()
        engine = self.parts.database.engine
        event.listen(engine, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            event.remove(engine, "before_cursor_execute", note)

    def directory(self, name: str = "data") -> Path:
        """A small directory that members may protect."""
        path = self.allowed / name
        path.mkdir()
        (path / "one.txt").write_text("one\n")
        (path / "below").mkdir()
        (path / "below" / "two.txt").write_text("two\n")
        return path


def together(service: Service, client: Client, asks: Sequence[Callable[[Client], Any]]) -> list[Any]:
    """Each in a thread of its own, all let go at once."""
    barrier = Barrier(len(asks))

    def run(ask: Callable[[Client], Any]) -> Any:
        own = Client(webtest.TestApp(service.app.app), client.token, client.project_id)
        barrier.wait()
        return ask(own)

    with ThreadPoolExecutor(len(asks)) as pool:
        return list(pool.map(run, asks))


@contextmanager
def running(
    directory: Path,
    mode: str = "queue",
    paste: str | None = None,
    auth: str = "token",
    policy: Path | None = None,
    database: str | None = None,
    handler: str = "default",
    quota: Mapping[str, Any] | None = None,
    banks: Collection[str] = ("filesystem", "memory"),
    clock: Clock | None = None,
    types: Sequence[str] = ("directory",),
    plugins: Sequence[str] = ("directory",),
    master_key: Path | None = None,
    more: str = "",
) -> Iterator[Service]:
    """
    :param mode: `direct` runs tasks before the answer; `queue` sends them to nobody, so they wait.
    :param paste: text of the paste file, if not the shipped one.
    :param policy: a policy file.
    :param database: URL of an empty one; without it, one of the chosen kind is made.
    :param handler: what does the operations.
    :param quota: options of the group of that name.
    :param banks: there is a provider for each.
    :param clock: one that a test moves.
    :param types: of resources; `plugins` protect them.
    :param master_key: file of the key, for services that share a database; made where it is not there.
    :param more: of the configuration file.
    """
    allowed, paste_file = directory / "allowed", directory / "paste.ini"
    allowed.mkdir()
    paste_file.write_text(paste or PASTE_FILE.read_text())
    conf = _conf(directory, _providers(directory, allowed, banks, plugins), policy, more)
    conf.set_override("mode", mode, group="dispatch")
    conf.set_override("handler", handler, group="dispatch")
    conf.set_override("paste_config", str(paste_file), group="api")
    conf.set_override("auth_strategy", auth)
    conf.set_override("allowed_protectables", list(types), group="plugins")
    conf.set_override("enabled", list(types), group="protectables")
    conf.set_override("allowed_protections", list(plugins), group="plugins")
    for name, value in (quota or {}).items():
        conf.set_override(name, value, group="quota")
    if master_key is not None:
        conf.set_override("master_key_file", str(master_key), group="secrets")
    with ExitStack() as stack:
        url = database or stack.enter_context(empty_database(chosen_kind(), directory / "state"))
        conf.set_override("connection", url, group="database")
        made = stack.enter_context(parts(conf, "protectd-api", in_process=True))
        made.clock = clock or made.clock
        for file in made.key_files:
            make_master_key(file)
        make_tables(made.database_url)
        yield Service(made, webtest.TestApp(made.application()), allowed)


def _conf(directory: Path, providers: Path, policy: Path | None, more: str) -> Any:
    state = directory / "state"
    state.mkdir()
    file = directory / "protectd.conf"
    file.write_text((f"[oslo_policy]\npolicy_file = {policy}\n" if policy else "") + more)
    conf = new_config([file])
    conf.set_override("state_dir", str(state))
    conf.set_override("provider_config_dir", str(providers))
    return conf


def _providers(directory: Path, allowed: Path, banks: Collection[str], plugins: Sequence[str]) -> Path:
    providers = directory / "providers.d"
    providers.mkdir()
    for id, name, bank, options in (
        (FILES_ID, "files", "filesystem", f"path = {directory}/bank"),
        (MEMORY_ID, "memory", "memory", ""),
    ):
        filled = {"id": id, "name": name, "bank": bank, "options": options, "roots": f"* = {allowed}"}
        text = PROVIDER.format(**filled, plugins=", ".join(plugins))
        if bank in banks:
            (providers / f"{name}.conf").write_text(text)
    return providers
