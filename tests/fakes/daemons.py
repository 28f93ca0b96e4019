"""Real processes of the service, as an operator starts them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protectd.client.http import Client, RequestFailed
from protectd.conf.places import shipped

READY_S = 60.0
FINAL = ("available", "error", "deleted", "error-deleting", "success", "fail")


class Daemon:
    """One process with its log. Ended at the end of the block, at the latest by SIGKILL."""

    def __init__(self, module: str, arguments: Sequence[str], log: Path) -> None:
        self.log = log
        self.command = [sys.executable, "-m", f"protectd.cmd.{module}", *arguments]
        self.environment: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def root_on_path(self) -> None:
        """Let it import from `tests`."""
        self.environment["PYTHONPATH"] = str(Path(__file__).parents[2])

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.log.parent,
                env=os.environ | self.environment,
            )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def end(self, number: int = signal.SIGTERM, timeout_s: float = 30) -> tuple[int, float]:
        """Signal it and wait. Exit code and seconds."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(timeout_s)
        return code, time.monotonic() - began

    def text(self) -> str:
        return self.log.read_text(errors="replace")


@contextmanager
def running(*daemons: Daemon) -> Iterator[None]:
    try:
        for daemon in daemons:
            daemon.start()
        yield
    finally:
        close(*daemons)


def close(*daemons: Daemon) -> None:
    """End what still runs, all at once; by SIGKILL what does not end."""
    alive = [daemon for daemon in daemons if daemon.alive()]
    for daemon in alive:
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGTERM)
    for daemon in alive:
        assert daemon.process is not None
        try:
            daemon.process.wait(20)
        except subprocess.TimeoutExpired:
            daemon.end(signal.SIGKILL)


def wait_for(what: str, ready: Callable[[], Any], timeout_s: float = READY_S, *daemons: Daemon) -> Any:
    """The first true value of `ready`; the logs of `daemons` when one dies or time is up."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = ready()
        if found:
            return found
        dead = [daemon for daemon in daemons if not daemon.alive()]
        if dead or time.monotonic() > deadline:
            logs = "\n".join(daemon.text()[-3000:] for daemon in dead or daemons)
            raise AssertionError(f"{what} did not come in time\n{logs}")
        time.sleep(0.05)


def healthy(endpoint: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{endpoint}/healthcheck", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Standalone(Daemon):
    """`protectd` on a state directory and a free port."""

    def __init__(self, state: Path, *options: str) -> None:
        super().__init__(
            "standalone",
            ["--state-dir", str(state), "--port", "0", *options],
            state.with_name(f"{state.name}.log"),
        )
        self.state = state

    def credentials(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.state / "credentials.json").read_text())
        return found

    def wait(self) -> User:
        """Until it serves, as this very process: the endpoint of a former one may still stand there."""
        wait_for("protectd", self._serves, READY_S, self)
        found = self.credentials()
        return User(Client(found["endpoint"], found["token"], found["project_id"]), found["project_id"])

    def _serves(self) -> bool:
        holder = self.state / "protectd.lock"
        if not (self.state / "credentials.json").exists() or holder.read_text().strip() != str(self.pid):
            return False
        return healthy(self.credentials()["endpoint"])


class SlowBank:
    """The shipped provider with a bank so slow that there is a middle, for whoever starts before `let_go`."""

    def __init__(self, place: Path, **kib_s: int) -> None:
        """:param kib_s: for `upload` or `download`, KiB a second."""
        self._folder = place / "providers.d"
        self._folder.mkdir()
        self._write("".join(f"{way}_kib_s = {rate}\n" for way, rate in kib_s.items()))
        self.option = f"provider_config_dir = {self._folder}\n"

    def let_go(self) -> None:
        self._write("")

    def _write(self, limits: str) -> None:
        text = (shipped("providers.d") / "default.conf").read_text()
        assert "\n[filesystem]\n" in text
        limited = text.replace("\n[filesystem]\n", f"\n[filesystem]\n{limits}")
        (self._folder / "default.conf").write_text(limited)


@dataclass(frozen=True)
class User:
    """What a tenant does, in the order of doing it."""

    client: Client
    project_id: str

    def provider(self) -> str:
        return str(self.client.get("/providers?name=default")["providers"][0]["id"])

    def plan(self, *paths: Path, name: str = "plan") -> str:
        resources = [
            {"type": "directory", "name": path.name, "extra_info": {"path": str(path)}} for path in paths
        ]
        body = {"name": name, "provider_id": self.provider(), "parameters": {}, "resources": resources}
        return str(self.client.post("/plans", {"plan": body})["plan"]["id"])

    def begin_checkpoint(self, plan: str) -> str:
        body = {"checkpoint": {"plan_id": plan}}
        return str(self.client.post(f"/providers/{self.provider()}/checkpoints", body)["checkpoint"]["id"])

    def checkpoint(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/providers/{self.provider()}/checkpoints/{id}")
        return dict(found["checkpoint"])

    def protect(self, plan: str, *daemons: Daemon) -> dict[str, Any]:
        """Run a plan; the checkpoint at its end."""
        return self.final_checkpoint(self.begin_checkpoint(plan), *daemons)

    def restore(self, checkpoint: str, path: Path | None, *daemons: Daemon, **more: Any) -> dict[str, Any]:
        """To `path`, or in place."""
        return self.final_restore(self.begin_restore(checkpoint, path, **more), *daemons)

    def begin_restore(self, checkpoint: str, path: Path | None, **more: Any) -> str:
        target = more if path is None else {"path": str(path), **more}
        parameters = {"directory": target} if target else {}
        body = {"provider_id": self.provider(), "checkpoint_id": checkpoint, "parameters": parameters}
        return str(self.client.post("/restores", {"restore": body})["restore"]["id"])

    def final_restore(self, id: str, *daemons: Daemon) -> dict[str, Any]:
        return self._final(f"/restores/{id}", "restore", daemons)

    def verify(self, checkpoint: str, *daemons: Daemon) -> dict[str, Any]:
        body = {"provider_id": self.provider(), "checkpoint_id": checkpoint, "parameters": {}}
        id = self.client.post("/verifications", {"verification": body})["verification"]["id"]
        return self._final(f"/verifications/{id}", "verification", daemons)

    def delete(self, checkpoint: str) -> None:
        self.client.delete(f"/providers/{self.provider()}/checkpoints/{checkpoint}")

    def final_checkpoint(self, id: str, *daemons: Daemon, timeout_s: float = 240) -> dict[str, Any]:
        return self._final(f"/providers/{self.provider()}/checkpoints/{id}", "checkpoint", daemons, timeout_s)

    def final_checkpoint_deleted(self, id: str, timeout_s: float = 120) -> bool:
        """Wait until a checkpoint is gone: shown as deleted, or not at all."""

        def gone() -> bool:
            try:
                return str(self.checkpoint(id)["status"]) == "deleted"
            except RequestFailed as error:
                return bool(error.facts["answered"] == 404)

        return bool(wait_for(f"deletion of {id}", gone, timeout_s))

    def _final(
        self, path: str, noun: str, daemons: Sequence[Daemon], timeout_s: float = 240
    ) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            try:
                body: dict[str, Any] = self.client.get(path)[noun]
            except RequestFailed as error:
                if error.facts["answered"] == 503:
                    return None
                raise
            return body if body["status"] in FINAL else None

        found: dict[str, Any] = wait_for(path, look, timeout_s, *daemons)
        return found


def manage(*arguments: str) -> Any:
    """What `protectd-manage` prints, parsed."""
    done = subprocess.run(
        [sys.executable, "-m", "protectd.cmd.manage", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def restic_environment(
    state_arguments: Sequence[str], project: str, provider: str = "default"
) -> dict[str, str]:
    """What the restic program needs to open a vault."""
    found = manage(*state_arguments, "vault", "credentials", "--provider", provider, "--project", project)
    return os.environ | {
        "RESTIC_REPOSITORY": found["repository"],
        "RESTIC_PASSWORD": found["password"],
    }
