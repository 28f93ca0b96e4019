"""Loaded by Schemathesis: brings about what a request takes for granted and no document can tell. Requests
that are meant to be refused are left as they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import cycle
from typing import Any

import requests
import schemathesis

URL = os.environ["PROTECTD_URL"]
TOKEN = {"X-Auth-Token": os.environ["PROTECTD_TOKEN"]}
REGISTERED = cycle(os.environ["PROTECTD_INSTANCES"].split(","))

PROJECT = "/v1/{project_id}"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    prepare = PREPARE.get((case.method, case.operation.path))
    positive = case.meta is not None and case.meta.generation.mode.is_positive
    if prepare and positive and isinstance(case.body, dict):
        prepare(case)


def ask(method: str, path: str, body: Any = None) -> Any:
    answer = requests.request(method, f"{URL}{path}", json=body, headers=TOKEN, timeout=30)
    return answer.json() if answer.content else {}


def plan(case: Any) -> None:
    """A resource that does not say where it is, is a registered one; parameters are of those there are."""
    wanted = case.body["plan"]
    for resource in wanted.get("resources", ()):
        if "extra_info" not in resource:
            resource["id"] = next(REGISTERED)
    known = [f"{each['type']}#{each['id']}" for each in wanted.get("resources", ()) if "id" in each]
    if "parameters" in wanted:
        wanted["parameters"] = of_known(wanted["parameters"], known)


def changed_plan(case: Any) -> None:
    """A plan is changed while it is suspended."""
    plan(case)
    ask("PUT", f"/plans/{case.path_parameters['plan_id']}", {"plan": {"status": "suspended"}})


def copied_plan(case: Any) -> None:
    """A plan is copied when it has a checkpoint."""
    body = {"checkpoint": {"plan_id": case.body["copy"]["plan_id"]}}
    ask("POST", f"/providers/{case.path_parameters['provider_id']}/checkpoints", body)


def of_known(parameters: dict[str, Any], known: list[str]) -> dict[str, Any]:
    """Those of single resources become those of the known ones, as far as there are any."""
    named = [values for key, values in parameters.items() if "#" in key]
    of_types = {key: values for key, values in parameters.items() if "#" not in key}
    return of_types | dict(zip(known, named, strict=False))


PREPARE: dict[tuple[str, str], Callable[[Any], None]] = {
    ("POST", f"{PROJECT}/plans"): plan,
    ("PUT", f"{PROJECT}/plans/{{plan_id}}"): changed_plan,
    ("POST", f"{PROJECT}/providers/{{provider_id}}/checkpoints/action"): copied_plan,
}
