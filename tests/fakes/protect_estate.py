"""An application and all that hangs below it, through the API with the toy plug-in: in a process of its own.

`python -m tests.fakes.protect_estate DIRECTORY` prints what the API said, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.fakes.service import FILES_ID, Client, Service, running

TYPES = ("application", "host", "database_server", "database", "directory")
APPLICATIONS = "protectables/application/instances"


def main(directory: Path) -> None:
    with running(directory, "direct", types=TYPES, plugins=("directory", "estate")) as service:
        print(json.dumps(told(service, service.client())))


def told(service: Service, user: Client) -> dict[str, Any]:
    file = describe(service)
    found = user.get(f"{APPLICATIONS}?parameters={json.dumps({'file': str(file)})}")["instances"]
    body = {"instance": {"name": "shop", "properties": {"file": str(file)}}}
    id = user.post(APPLICATIONS, body, 201)["instance"]["id"]
    plan_body = user.plan_body("", FILES_ID, resources=[{"id": id, "type": "application", "name": "shop"}])
    plan = user.post("plans", plan_body, 201)["plan"]
    made = user.checkpoint(plan)
    checkpoint = user.get(f"providers/{FILES_ID}/checkpoints/{made['id']}")["checkpoint"]
    target = {"directory": {"path": str(service.allowed / "back")}}
    return {
        "types": user.get("protectables")["protectable_type"],
        "dependent_types": {
            each: user.get(f"protectables/{each}")["protectable_type"]["dependent_types"] for each in TYPES
        },
        "found": found,
        "shown": user.get(f"{APPLICATIONS}/{id}")["instance"],
        "checkpoint": checkpoint,
        "verification": run(user, checkpoint, "verification", {}),
        "restore": run(user, checkpoint, "restore", target),
        "restored": (service.allowed / "back/one.txt").read_text(),
    }


def describe(service: Service) -> Path:
    servers = [{"name": "pg1", "databases": [{"name": "orders"}, {"name": "customers"}]}]
    hosts = [
        {"name": "web", "directories": [str(service.directory("www"))]},
        {"name": "db", "servers": servers},
    ]
    file = service.allowed / "estate.json"
    file.write_text(json.dumps({"name": "shop", "hosts": hosts}))
    return file


def run(user: Client, checkpoint: dict[str, Any], noun: str, parameters: dict[str, Any]) -> dict[str, Any]:
    wanted = {"provider_id": FILES_ID, "checkpoint_id": checkpoint["id"], "parameters": parameters}
    id = user.post(f"{noun}s", {noun: wanted}, 202)[noun]["id"]
    return dict(user.get(f"{noun}s/{id}")[noun])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
