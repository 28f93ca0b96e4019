"""The document of all routes: OpenAPI 3.1, made of what controllers hold their requests and answers to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import orjson

from protectd.api.bodies import JSON
from protectd.api.controllers.base import Controller
from protectd.api.document_links import links, operation_ids
from protectd.api.policies import RULES
from protectd.api.query import MAX_NUMBER
from protectd.api.routes import CONTROLLERS
from protectd.api.runtime import Runtime
from protectd.api.schemas.common import FAULT, UUID, Schema
from protectd.api.schemas.narrowing import COMPONENTS
from protectd.api.terms import Parameter, Terms
from protectd.api.views.versions import build

Part = dict[str, Any]

VERSION = "3.1.0"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

ANY_REFUSAL = (400, 404, 405, 429, 503)
WITH_TOKEN = (401, 403)
WITH_BODY = (409, 413, 415, 422)

REFUSALS = {
    400: "something in it does not fit; the fault names the field",
    401: "a valid token is needed",
    403: "it is not allowed",
    404: "something that it names is not there",
    405: "this path does not answer the verb",
    406: "this version, or this type of an answer, is not given",
    409: "it does not go with the state that things are in",
    413: "the body is too large, or a quota of the project is used up",
    415: "the body is of another type",
    422: "its Idempotency-Key came with another body before",
    429: "it comes too fast",
    503: "something that is needed is away for now",
}

WORDS = frozenset({"project_id", "class_name"})
"""Names in paths that are no UUIDs."""

PRINTED = r"^[^/\u0000-\u001f\u007f-\u009f\u2028\u2029]+$"

NUMBERS = frozenset({"service_id"})

ABOUT = """\
Checkpoints of what a project has: made by plans, kept by providers, verified, and restored.

A POST may carry `Idempotency-Key` (1 to 255 printable ASCII characters): sent again with the same key and
body, it is done once and answered alike. Every answer has `x-openstack-request-id`."""


UNTOLD = Terms({})

IDS = operation_ids(CONTROLLERS)


def render(runtime: Runtime) -> bytes:
    """As it is sent. Costs milliseconds: it is made once for each application."""
    return orjson.dumps(document(runtime))


def document(runtime: Runtime) -> Part:
    return {
        "openapi": VERSION,
        "jsonSchemaDialect": DIALECT,
        "info": {"title": "protectd", "version": build()["build"], "description": ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"bearer": []}],
        "paths": {
            each.path: _path(each.path, each, runtime) for each in CONTROLLERS if each.path and each.verbs()
        },
        "components": {
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
            "schemas": {"Fault": FAULT, **COMPONENTS},
            "responses": {str(status): _refusal(status) for status in REFUSALS},
            "headers": {
                "RequestId": {"schema": {"type": "string"}, "description": "names the request in the logs"},
                "Location": {
                    "schema": {"type": "string", "format": "uri"},
                    "description": "where the thing is, or what becomes of it",
                },
            },
        },
    }


def _path(path: str, controller: type[Controller], runtime: Runtime) -> Part:
    names = re.findall(r"{(\w+)}", path)
    item: Part = {"parameters": [_in_path(name, runtime) for name in names]} if names else {}
    terms = {verb: controller.terms.get(verb, UNTOLD) for verb in controller.verbs()}
    return item | {verb.lower(): _operation(verb, path, terms[verb], runtime) for verb in terms}


def _operation(verb: str, path: str, terms: Terms, runtime: Runtime) -> Part:
    told: Part = {"summary": _summary(verb, path), "operationId": IDS[verb, path]}
    if terms.query:
        told["parameters"] = [_in_query(each) for each in terms.query]
    if terms.body is not None:
        schema = terms.narrowed(runtime.providers, runtime.protectables) if terms.narrowed else terms.body
        told["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    if not _private(path):
        told["security"] = []
    return told | {"responses": dict(_responses(verb, path, terms))}


def _private(path: str) -> bool:
    return "{project_id}" in path


def _summary(verb: str, path: str) -> str:
    """As the policy says that decides on it."""
    for rule in RULES:
        if {"method": verb, "path": path} in rule.operations:
            return str(rule.description)
    return "What the service is."


def _responses(verb: str, path: str, terms: Terms) -> Iterable[tuple[str, Part]]:
    leads = links(verb, path, terms, IDS)
    for status, schema in terms.answers.items():
        yield str(status), _answer(status, schema) | ({"links": leads} if leads else {})
    refusals = {*ANY_REFUSAL, *terms.refusals}
    refusals.update(WITH_TOKEN if _private(path) else ())
    refusals.update(WITH_BODY if terms.body is not None else ())
    for status in sorted(refusals):
        yield str(status), {"$ref": f"#/components/responses/{status}"}


def _answer(status: int, schema: Schema | None) -> Part:
    headers = {"x-openstack-request-id": {"$ref": "#/components/headers/RequestId"}}
    if status in (201, 202):
        headers["Location"] = {"$ref": "#/components/headers/Location"}
    told: Part = {"description": _WORDS.get(status, "what was asked for"), "headers": headers}
    return told if schema is None else told | {"content": {JSON: {"schema": schema}}}


_WORDS = {
    201: "it was made",
    202: "it goes on in the background; Location tells how far it is",
    204: "it was removed",
    300: "the versions that there are",
}


def _refusal(status: int) -> Part:
    content = {JSON: {"schema": {"$ref": "#/components/schemas/Fault"}}}
    return {"description": REFUSALS[status], "content": content}


def _in_path(name: str, runtime: Runtime) -> Part:
    return {"name": name, "in": "path", "required": True, "schema": _path_schema(name, runtime)}


def _path_schema(name: str, runtime: Runtime) -> Schema:
    if name == "provider_id":
        return UUID | {"enum": [provider.id for provider in runtime.providers]}
    if name == "protectable_type":
        return {"type": "string", "enum": runtime.protectables.types()}
    if name in NUMBERS:
        return {"type": "integer", "minimum": 0, "maximum": MAX_NUMBER}
    return {"type": "string", "minLength": 1, "maxLength": 255, "pattern": PRINTED} if name in WORDS else UUID


def _in_query(parameter: Parameter) -> Part:
    value: Part = {"schema": parameter.schema}
    if parameter.in_json:
        value = {"content": {JSON: value}}
    return {"name": parameter.name, "in": "query", "description": parameter.description, **value}
