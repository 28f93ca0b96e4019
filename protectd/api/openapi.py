"""The document of all routes: OpenAPI 3.1, made of what controllers hold their requests and answers to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from protectd.api.bodies import JSON
from protectd.api.contracts import DATA_PROTECTION, KEY_MANAGER
from protectd.api.controllers.base import Controller
from protectd.api.controllers.key_manager.base import KeyManagerController
from protectd.api.document_links import links, operation_ids
from protectd.api.policies import RULES
from protectd.api.query import MAX_NUMBER
from protectd.api.routes import CONTROLLERS
from protectd.api.routes import KEY_MANAGER as KEY_MANAGER_ROUTES
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
WITH_VERSION = (406,)

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


ABOUT_KEY_MANAGER = """\
Secrets, containers of them, and orders that have keys made. `OpenStack-API-Version` says which version of the
contract is meant, such as `key-manager 1.2`; the lowest is where it is missing.

A payload is given out in the type that `Accept` asks for, as one word. It comes with the secret, or later as
the body of a PUT, then in base64 where `Content-Encoding` says so. A key of metadata may have slashes."""


@dataclass(frozen=True)
class Contract:
    """What a document is about."""

    title: str
    about: str
    controllers: Sequence[type[Controller]]


CONTRACTS = {
    DATA_PROTECTION: Contract("protectd", ABOUT, CONTROLLERS),
    KEY_MANAGER: Contract("protectd: key manager", ABOUT_KEY_MANAGER, KEY_MANAGER_ROUTES),
}

UNTOLD = Terms({})

IDS = operation_ids((*CONTROLLERS, *KEY_MANAGER_ROUTES))


def documents(runtime: Runtime) -> dict[str, bytes]:
    """As they are sent, by their names. Costs milliseconds: they are made once for each application."""
    return {name: orjson.dumps(document(contract, runtime)) for name, contract in CONTRACTS.items()}


def document(contract: Contract, runtime: Runtime) -> Part:
    return {
        "openapi": VERSION,
        "jsonSchemaDialect": DIALECT,
        "info": {"title": contract.title, "version": build()["build"], "description": contract.about},
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"bearer": []}],
        "paths": {
            each.path: _path(each.path, each, runtime)
            for each in contract.controllers
            if each.path and each.verbs()
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
    places = {name: controller.places.get(name) or _path_schema(name, runtime) for name in names}
    item: Part = {"parameters": [_in_path(name, schema) for name, schema in places.items()]} if names else {}
    return item | {verb.lower(): _operation(verb, path, controller, runtime) for verb in controller.verbs()}


def _operation(verb: str, path: str, controller: type[Controller], runtime: Runtime) -> Part:
    terms = controller.terms.get(verb, UNTOLD)
    told: Part = {"summary": _summary(verb, path), "operationId": IDS[verb, path]}
    if terms.query:
        told["parameters"] = [_in_query(each) for each in terms.query]
    if terms.body is not None:
        schema = terms.narrowed(runtime.providers, runtime.protectables) if terms.narrowed else terms.body
        told["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    if terms.takes:
        content = {type: {"schema": schema} for type, schema in terms.takes.items()}
        told["requestBody"] = {"required": True, "content": content}
    if controller.public:
        told["security"] = []
    return told | {"responses": dict(_responses(verb, path, controller, terms))}


def _summary(verb: str, path: str) -> str:
    """As the policy says that decides on it."""
    for rule in RULES:
        if {"method": verb, "path": path} in rule.operations:
            return str(rule.description)
    return "What the service is."


def _responses(
    verb: str, path: str, controller: type[Controller], terms: Terms
) -> Iterable[tuple[str, Part]]:
    leads = links(verb, path, terms, IDS)
    for status, schema in terms.answers.items():
        answer = _answer(status, schema, terms.gives)
        yield str(status), answer | ({"links": leads} if leads else {})
    refusals = {*ANY_REFUSAL, *terms.refusals}
    refusals.update(() if controller.public else WITH_TOKEN)
    refusals.update(WITH_BODY if terms.body is not None or terms.takes else ())
    refusals.update(WITH_VERSION if issubclass(controller, KeyManagerController) else ())
    for status in sorted(refusals):
        yield str(status), {"$ref": f"#/components/responses/{status}"}


def _answer(status: int, schema: Schema | None, media: Iterable[str]) -> Part:
    headers = {"x-openstack-request-id": {"$ref": "#/components/headers/RequestId"}}
    if status in (201, 202):
        headers["Location"] = {"$ref": "#/components/headers/Location"}
    told: Part = {"description": _WORDS.get(status, "what was asked for"), "headers": headers}
    content: Part = {type: {} for type in media} if schema is None else {JSON: {"schema": schema}}
    return told | ({"content": content} if content else {})


_WORDS = {
    201: "it was made",
    202: "it goes on in the background; Location tells how far it is",
    204: "it was removed",
    300: "the versions that there are",
}


def _refusal(status: int) -> Part:
    content = {JSON: {"schema": {"$ref": "#/components/schemas/Fault"}}}
    return {"description": REFUSALS[status], "content": content}


def _in_path(name: str, schema: Schema) -> Part:
    return {"name": name, "in": "path", "required": True, "schema": schema}


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
