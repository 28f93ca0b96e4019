"""Protect a directory with a protectd of its own, restore it elsewhere, compare: `bin/protectd.sh try`."""

from __future__ import annotations

import argparse
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protectd.client.compare import Comparison, Moment, compare, photograph
from protectd.client.http import Client
from protectd.client.progress_bar import ProgressBar
from protectd.common.errors import BadRequest, ProtectdError
from protectd.common.files import atomic_write
from protectd.common.units import human_bytes

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
POLL_S = 0.2
SHOWN = 20


class TryFailed(ProtectdError):
    code = "try.failed"
    message = "{reason}"


class NotADirectory(BadRequest):
    code = "try.not_a_directory"
    message = "{path} is not a directory"


@dataclass(frozen=True)
class Place:
    """Where one run keeps its things: below a temporary directory that stays until it is removed by hand."""

    base: Path

    @property
    def state(self) -> Path:
        return self.base / "state"

    @property
    def copy(self) -> Path:
        return self.base / "restored"

    @property
    def log(self) -> Path:
        return self.base / "protectd.log"

    @property
    def password(self) -> Path:
        return self.base / "restic-password"


@dataclass(frozen=True)
class Run:
    project_id: str
    checkpoint: dict[str, Any]
    protect_s: float
    restore_s: float


def main(arguments: list[str]) -> int:
    """0 when the restored tree is the same as its source; 1 for any difference or failure."""
    parser = argparse.ArgumentParser(prog="protectd.sh try", allow_abbrev=False)
    parser.add_argument("directory", help="what to protect; it is only read")
    source = os.path.realpath(parser.parse_args(arguments).directory)
    if not os.path.isdir(source):
        raise NotADirectory(path=source)
    place = Place(Path(tempfile.mkdtemp(prefix="protectd-try-")))
    place.state.mkdir()
    print(f"Protecting {source}")
    before = photograph(source, str(place.base))
    with _service(place) as session:
        run = _protect_and_restore(session, source, place)
        credentials = _vault_credentials(place, run.project_id)
    return _tell(place, run, credentials, _compared(source, before, place))


def _compared(source: str, before: dict[str, Moment], place: Place) -> Comparison:
    print("Comparing the two trees ...")
    result = compare(source, str(place.copy), before, str(place.base))
    if not result.differences:
        shutil.rmtree(place.copy, ignore_errors=True)
    return result


@contextmanager
def _service(place: Place) -> Iterator[_Session]:
    """A protectd on a free port, ended and waited for at the end."""
    command = [
        sys.executable,
        "-m",
        "protectd.cmd.standalone",
        "--state-dir",
        str(place.state),
        "--port",
        "0",
    ]
    with open(place.log, "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield _connect(place, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class _Session:
    client: Client
    project_id: str


def _connect(place: Place, process: subprocess.Popen[bytes]) -> _Session:
    """Wait for the credentials, which the service writes when it is ready."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    file = place.state / "credentials.json"
    while not file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise TryFailed(reason=f"protectd did not start; {place.log} says why")
        time.sleep(0.05)
    found = json.loads(file.read_text())
    return _Session(Client(found["endpoint"], found["token"], found["project_id"]), found["project_id"])


def _protect_and_restore(session: _Session, source: str, place: Place) -> Run:
    client = session.client
    provider = client.get("/providers?name=default")["providers"][0]["id"]
    plan = _plan(client, provider, source)
    path = f"/providers/{provider}/checkpoints"
    began = time.monotonic()
    made = client.post(path, {"checkpoint": {"plan_id": plan}})["checkpoint"]
    checkpoint = _follow(client, "Checkpoint", f"{path}/{made['id']}", "checkpoint", "available")
    protect_s = time.monotonic() - began
    began = time.monotonic()
    _restore(client, provider, str(made["id"]), place)
    return Run(session.project_id, checkpoint, protect_s, time.monotonic() - began)


def _plan(client: Client, provider: str, source: str) -> str:
    """Register the directory and put it into a plan."""
    name = os.path.basename(source) or "root"
    instance = {"instance": {"name": name, "properties": {"path": source}}}
    found = client.post("/protectables/directory/instances", instance)["instance"]
    resource = {"id": found["id"], "type": "directory", "name": name}
    body = {"name": f"try {name}"[:255], "provider_id": provider, "parameters": {}, "resources": [resource]}
    return str(client.post("/plans", {"plan": body})["plan"]["id"])


def _restore(client: Client, provider: str, checkpoint: str, place: Place) -> None:
    body = {
        "provider_id": provider,
        "checkpoint_id": checkpoint,
        "parameters": {"directory": {"path": str(place.copy)}},
    }
    made = client.post("/restores", {"restore": body})["restore"]
    _follow(client, "Restore   ", f"/restores/{made['id']}", "restore", "success")


def _follow(client: Client, title: str, path: str, noun: str, good: str) -> dict[str, Any]:
    """Poll until the status is final, showing progress; raises when it is not the good one."""
    bar = ProgressBar(title, sys.stderr)
    try:
        while True:
            body: dict[str, Any] = client.get(path)[noun]
            if body["status"] == good:
                return body
            if body["status"] in ("error", "fail", "error-deleting"):
                raise TryFailed(reason=f"{title.strip().lower()} failed: {_why(body)}")
            bar.show(body.get("progress") or {})
            time.sleep(POLL_S)
    finally:
        bar.close()


def _why(body: dict[str, Any]) -> str:
    error = body.get("error") or {}
    return str(error.get("message") or body.get("resources_reason") or "no reason was given")


def _vault_credentials(place: Place, project_id: str) -> dict[str, str]:
    """What restic needs to open the vault; its password goes into a file, never into an argument."""
    command = [sys.executable, "-m", "protectd.cmd.manage", "--state-dir", str(place.state)]
    command += ["vault", "credentials", "--provider", "default", "--project", project_id]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TryFailed(reason=done.stderr.strip())
    found: dict[str, str] = json.loads(done.stdout)
    with atomic_write(place.password) as file:
        file.write(found["password"].encode() + b"\n")
    return found


def _tell(place: Place, run: Run, credentials: dict[str, str], result: Comparison) -> int:
    print(f"\n{result.files} files, {human_bytes(result.size_bytes)}")
    for title, seconds in (("protected", run.protect_s), ("restored", run.restore_s)):
        print(f"  {title:9} in {seconds:7.2f} s  {result.size_bytes / 1e6 / seconds:8.1f} MB/s")
    _list("could not be compared:", result.unsettled)
    _list("DIFFERENT:", result.differences)
    if not result.differences:
        print(f"The restored tree is the same as its source: {result.same} entries compared.")
    _tell_restic(place, credentials["repository"])
    return 1 if result.differences else 0


def _list(title: str, lines: list[str]) -> None:
    if lines:
        print(f"{len(lines)} entries {title}")
    for line in lines[:SHOWN]:
        print(f"  {line!r}"[:200])
    if len(lines) > SHOWN:
        print(f"  ... and {len(lines) - SHOWN} more")


def _tell_restic(place: Place, repository: str) -> None:
    print("\nThe vault is a restic repository. Open it without protectd:")
    print(f"  export RESTIC_REPOSITORY={shlex.quote(repository)}")
    print(f"  export RESTIC_PASSWORD_FILE={shlex.quote(str(place.password))}")
    target = shlex.quote(str(place.base / "by-restic"))
    for verb in ("snapshots", "ls latest", "check --read-data", f"restore latest --target {target}"):
        print(f"  restic {verb}")
    print("\nEverything of this run stays until you remove it:")
    print(f"  rm -rf {shlex.quote(str(place.base))}")


def run(arguments: list[str]) -> int:
    """`main` with its errors as one sentence."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)
    try:
        return main(arguments)
    except ProtectdError as error:
        print(f"protectd.sh try: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadRequest) else 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
