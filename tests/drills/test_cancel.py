"""Asking an operation to end inside one large file: of 32 GiB, or with PROTECTD_TEST_FULL=1 of 100 GB."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from protectd.plugin.banks.filesystem import TEMPORARY
from tests.drills.fault_users import CANCEL_S
from tests.drills.processes import MARK, family, marked
from tests.fakes.daemons import Standalone, User, restic_environment, running, wait_for
from tests.fakes.sampling import FULL

SIZE = 100 * 10**9 if FULL else 32 * 1024**3
INSIDE = 500_000_000 if FULL else 0
"""So many bytes have gone by before."""

WHOLE_S = 3600.0
"""For all of it to be saved, while others use the machine."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    daemon = Standalone(tmp_path_factory.mktemp("cancel") / "state")
    daemon.environment[MARK] = str(daemon.state)
    with running(daemon):
        yield daemon
    assert marked(str(daemon.state)) == set()


@pytest.fixture(scope="module")
def user(service: Standalone) -> User:
    return service.wait()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file: a page of noise in each 256 KiB, and holes between; no chunk of it comes twice."""
    folder, chance = tmp_path_factory.mktemp("source"), random.Random(5)
    with open(folder / "large", "wb") as file:
        for place in range(0, SIZE, 256 * 1024):
            file.seek(place)
            file.write(chance.randbytes(4096))
        file.truncate(SIZE)
    return folder


@pytest.fixture(scope="module")
def checkpoint(user: User, source: Path) -> str:
    """All of the file."""
    began_s = time.monotonic()
    id = user.begin_checkpoint(user.plan(source, name="whole"))
    made = user.final_checkpoint(id, timeout_s=WHOLE_S)
    assert made["status"] == "available", made
    print(f"all of it saved in {time.monotonic() - began_s:.1f} s")
    return id


def log_of(user: User, query: str) -> dict[str, Any]:
    found = user.client.get(f"/operation_logs?{query}&sort=created_at:desc")["operation_logs"]
    return dict(found[0]) if found else {}


def cancel(user: User, query: str, what: str) -> None:
    """Ask it to end in the middle, and wait for that."""

    def is_at_it() -> bool:
        line = log_of(user, query)
        return bool(line.get("started_at")) and done_bytes(line) >= INSIDE

    wait_for(f"the beginning of {what}", is_at_it, 60)
    line = log_of(user, query)
    began_s = time.monotonic()
    user.client.delete(f"/operation_logs/{line['id']}")
    wait_for(f"the end of {what}", lambda: log_of(user, query)["ended_at"], CANCEL_S)
    took_s, line = time.monotonic() - began_s, log_of(user, query)
    print(f"{what} of {SIZE} bytes ended {took_s:.2f} s after it was asked to, at {done_bytes(line)}")
    assert line["error_code"] == "cancelled"


def done_bytes(line: dict[str, Any]) -> int:
    return int((line.get("progress") or {}).get("done_bytes") or 0)


def nothing_is_left(service: Standalone, user: User, restic: str, *places: Path) -> None:
    """No lock, no half-written object, and soon nobody who has a file of these places open."""
    environment = restic_environment(["--state-dir", str(service.state)], user.project_id)
    command = [restic, "--no-cache", "--no-lock", "list", "locks"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert [path for path in (service.state / "bank").rglob("*") if TEMPORARY.fullmatch(path.name)] == []
    wait_for("the last file to be closed", lambda: not opened(service, places), WHOLE_S)


def opened(service: Standalone, places: Sequence[Path]) -> list[str]:
    paths = {path for pid in family(service.pid) for path in open_files(pid)}
    return [path for path in paths if any(path.startswith(str(place)) for place in places)]


def open_files(pid: int) -> list[str]:
    found = []
    for entry in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):
            found.append(os.readlink(entry))
    return found


@pytest.mark.timeout(2 * WHOLE_S)
def test_a_checkpoint_ends_inside_one_file(
    service: Standalone, user: User, source: Path, restic: str
) -> None:
    id = user.begin_checkpoint(user.plan(source, name="cut short"))
    cancel(user, f"checkpoint_id={id}", "a checkpoint")
    assert user.checkpoint(id)["status"] == "error"
    nothing_is_left(service, user, restic, source)


@pytest.mark.timeout(2 * WHOLE_S)
def test_a_restore_ends_inside_one_file(
    service: Standalone, user: User, checkpoint: str, tmp_path: Path, restic: str
) -> None:
    target = tmp_path / "target"
    id = user.begin_restore(checkpoint, target)
    cancel(user, f"restore_id={id}", "a restore")
    assert user.client.get(f"/restores/{id}")["restore"]["status"] == "fail"
    nothing_is_left(service, user, restic, target)
    assert [path for path in target.rglob("*") if path.is_file()] == []


@pytest.mark.timeout(2 * WHOLE_S)
def test_a_verification_ends_inside_one_file(
    service: Standalone, user: User, checkpoint: str, restic: str
) -> None:
    body = {"provider_id": user.provider(), "checkpoint_id": checkpoint, "parameters": {}}
    id = user.client.post("/verifications", {"verification": body})["verification"]["id"]
    cancel(user, f"verification_id={id}", "a verification")
    assert user.client.get(f"/verifications/{id}")["verification"]["status"] == "fail"
    nothing_is_left(service, user, restic, service.state / "bank")
