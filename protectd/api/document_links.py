"""Where an answer leads: what was made can be shown, changed and deleted, and other things be made of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from protectd.api.controllers.base import Controller
from protectd.api.terms import Terms

Route = tuple[str, str]
Found = Mapping[str, Any]

PROJECT = "/v1/{project_id}"
PROVIDER = f"{PROJECT}/providers/{{provider_id}}"
CHECKPOINTS = f"{PROVIDER}/checkpoints"

SECRETS = "/v1/secrets"
NOTES = f"{SECRETS}/{{secret_id}}/metadata"
LAST_SEGMENT = "#regex:/([^/]+)$"
"""The key manager answers with references, and OpenAPI's expressions know no way to take an id out of one.
This is Schemathesis's way; others find nothing at such a place."""


@dataclass(frozen=True)
class Link:
    """
    :ivar parameters: of the target's path; those of the same name in the source's path go without saying.
    :ivar body: what of the target's body is known.
    """

    source: Route
    target: Route
    parameters: Found = field(default_factory=dict)
    body: Found | None = None


def _run(noun: str) -> Link:
    known = {"provider_id": "$request.path.provider_id", "checkpoint_id": "$response.body#/checkpoint/id"}
    return Link(("POST", CHECKPOINTS), ("POST", f"{PROJECT}/{noun}s"), body={noun: known})


def _first(collection: str, name: str, key: str) -> Iterable[Link]:
    """A list leads to its first entry."""
    for verb in ("GET", "PUT", "DELETE"):
        yield Link(
            ("GET", f"{PROJECT}/{collection}"),
            (verb, f"{PROJECT}/{collection}/{{{name}}}"),
            {name: f"$response.body#/{key}/0/id"},
        )


_OF_PLAN = {"provider_id": "$response.body#/plan/provider_id"}

LINKS = (
    Link(
        ("POST", f"{PROJECT}/plans"),
        ("POST", CHECKPOINTS),
        _OF_PLAN,
        {"checkpoint": {"plan_id": "$response.body#/plan/id"}},
    ),
    Link(
        ("POST", f"{PROJECT}/plans"),
        ("POST", f"{CHECKPOINTS}/action"),
        _OF_PLAN,
        {"copy": {"plan_id": "$response.body#/plan/id"}},
    ),
    _run("restore"),
    _run("verification"),
    *_first("providers", "provider_id", "providers"),
    *_first("operation_logs", "operation_log_id", "operation_logs"),
    *_first("os-services", "service_id", "services"),
    *(
        Link(("POST", NOTES), (verb, f"{NOTES}/{{key}}"), {"key": "$response.body#/key"})
        for verb in ("GET", "PUT", "DELETE")
    ),
)


def links(verb: str, path: str, terms: Terms, known: Mapping[Route, str]) -> dict[str, Any]:
    """Those of one operation.

    :param known: ids of operations by route.
    """
    told = [link for link in LINKS if link.source == (verb, path)]
    if verb == "POST":
        told += _to_what_was_made(path, terms, known)
    return {known[link.target]: _told(link, known) for link in told if link.target in known}


def _to_what_was_made(path: str, terms: Terms, known: Mapping[Route, str]) -> Iterable[Link]:
    """An answer with an id leads to all that is below the path of that id."""
    id = _id_of_made(terms)
    for verb, below in known if id else ():
        found = re.fullmatch(re.escape(path) + r"/{(\w+)}(/[a-z_-]+)*", below)
        if found:
            yield Link(("POST", path), (verb, below), {found[1]: id})


def _id_of_made(terms: Terms) -> str | None:
    """It stands in the answer, or at the end of a reference that is all of the answer."""
    for schema in terms.answers.values():
        told = (schema or {}).get("properties", {})
        for key, one in told.items():
            if "id" in one.get("properties", {}):
                return f"$response.body#/{key}/id"
            if key.endswith("_ref") and len(told) == 1:
                return f"$response.body#/{key}{LAST_SEGMENT}"
    return None


def _told(link: Link, known: Mapping[Route, str]) -> dict[str, Any]:
    shared = [name for name in re.findall(r"{(\w+)}", link.target[1]) if f"{{{name}}}" in link.source[1]]
    parameters = {name: f"$request.path.{name}" for name in shared} | dict(link.parameters)
    told: dict[str, Any] = {"operationId": known[link.target], "parameters": parameters}
    return told if link.body is None else told | {"requestBody": link.body}


def operation_ids(controllers: Iterable[type[Controller]]) -> dict[Route, str]:
    """A name for each route, made of its words."""
    return {
        (verb, each.path): _id(verb, each.path) for each in controllers if each.path for verb in each.verbs()
    }


def _id(verb: str, path: str) -> str:
    words = re.findall(r"[a-z0-9]+", path.removeprefix(PROJECT)) or ["versions"]
    return "_".join([verb.lower(), *words])
