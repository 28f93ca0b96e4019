"""Every route, asked with what its document allows and what it does not: each check of Schemathesis, in each
of its phases, finds nothing.

`PROTECTD_TEST_SEED`, `PROTECTD_TEST_EXAMPLES` and `PROTECTD_TEST_SCENARIOS` choose another run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.fakes.published_client import serving
from tests.fakes.service import Client, Service, running

HOOKS = Path(__file__).parents[1] / "fakes/schemathesis_hooks.py"
SEED = os.environ.get("PROTECTD_TEST_SEED", "1")
EXAMPLES = os.environ.get("PROTECTD_TEST_EXAMPLES", "3")
SCENARIOS = os.environ.get("PROTECTD_TEST_SCENARIOS", "30")

PHASES = ("examples", "coverage", "fuzzing", "stateful")

CONFIG = """\
{hooks}
[parameters]
"path.project_id" = "{project_id}"

[auth.wfc]
path = "users.yaml"
user = "owner"
peers = ["owner", "stranger"]

[phases.stateful.generation]
max-examples = {scenarios}

# Refused is what is too large, too: the usual list of refusals does not have the 413.
[checks.negative_data_rejection]
expected-statuses = [
    "400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429", "5xx"
]
{left_out}
"""

DEFAULTS_HOLD = """\
# What is deleted here is what differs from a default, which holds from then on.
[[operations]]
include-path-regex = "/(acl|project-quotas/.*)$"

[operations.checks.use_after_free]
enabled = false
"""

USERS = """\
auth:
  - name: owner
    fixedHeaders: [{{name: X-Auth-Token, value: {owner}}}]
  - name: stranger
    fixedHeaders: [{{name: X-Auth-Token, value: {stranger}}}]
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Operations are done when the answer comes, and touch nothing: whatever is asked for is harmless."""
    directory, unlimited = tmp_path_factory.mktemp("schemathesis"), {"plans": -1}
    with running(directory, mode="direct", handler="noop", banks=["memory"], quota=unlimited) as made:
        yield made


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Orders wait: to make the keys that are asked for would take minutes."""
    with running(tmp_path_factory.mktemp("waiting"), banks=["memory"]) as made:
        yield made


def registered(owner: Client, count: int = 50) -> list[str]:
    bodies = [{"instance": {"name": "n", "properties": {"path": f"/srv/{n}"}}} for n in range(count)]
    url = "protectables/directory/instances"
    return [owner.post(url, body, 201)["instance"]["id"] for body in bodies]


def test_nothing_is_found(service: Service, tmp_path: Path) -> None:
    owner, stranger = (service.client(role="admin") for _ in "ab")
    with serving(service) as endpoint:
        known = {
            "PROTECTD_URL": f"{endpoint}/v1/{owner.project_id}",
            "PROTECTD_TOKEN": owner.token,
            "PROTECTD_INSTANCES": ",".join(registered(owner)),
        }
        done = reached(f"{endpoint}/v1/openapi.json", owner, stranger, tmp_path, f'hooks = "{HOOKS}"', known)
    assert done >= {"POST plans", "POST checkpoints", "POST restores", "GET checkpoints"}


def test_nothing_is_found_in_the_key_manager(waiting: Service, tmp_path: Path) -> None:
    owner, stranger = waiting.client(role="admin"), waiting.client()
    with serving(waiting) as endpoint:
        url = f"{endpoint}/v1/key-manager.json"
        done = reached(url, owner, stranger, tmp_path, left_out=DEFAULTS_HOLD)
    assert done >= {"POST secrets", "POST containers", "POST orders", "GET orders"}


def reached(
    url: str,
    owner: Client,
    stranger: Client,
    directory: Path,
    hooks: str = "",
    known: Mapping[str, str] | None = None,
    left_out: str = "",
) -> set[str]:
    """Ask all that a document tells of; any finding fails. :returns: see `_done`."""
    config, report = directory / "schemathesis.toml", directory / "report.har"
    more = {"hooks": hooks, "left_out": left_out, "scenarios": SCENARIOS}
    config.write_text(CONFIG.format(project_id=owner.project_id, **more))
    (directory / "users.yaml").write_text(USERS.format(owner=owner.token, stranger=stranger.token))
    done = subprocess.run(
        [
            *(Path(sys.executable).parent / "st", "--config-file", config, "run", url),
            *("--checks", "all", "--phases", ",".join(PHASES), "--continue-on-failure", "--no-color"),
            *("--seed", SEED, "--max-examples", EXAMPLES, "--report-har-path", report),
        ],
        cwd=directory,
        env=os.environ | dict(known or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    told = done.stdout.partition("= FAILURES =")[2] or done.stdout
    assert done.returncode == 0, told[:20_000] + done.stderr
    return _done(report)


def _done(report: Path) -> set[str]:
    """What was not only asked for, but done: verbs, and the nouns at the end of a path."""
    entries = json.loads(report.read_text())["log"]["entries"]
    return {
        f"{entry['request']['method']} {entry['request']['url'].partition('?')[0].rpartition('/')[2]}"
        for entry in entries
        if entry["response"]["status"] in (200, 201, 202, 204)
    }
