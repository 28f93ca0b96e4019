"""The document of all routes: complete, valid, and what real requests are held to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from protectd.api.routes import CONTROLLERS, routes
from tests.fakes.service import FILES_ID, MEMORY_ID, Client, Service

VERBS = frozenset({"get", "post", "put", "patch", "delete"})


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    return dict(service.app.get("/v1/openapi.json").json)


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (verb.upper(), path): operation
        for path, item in document["paths"].items()
        for verb, operation in item.items()
        if verb in VERBS
    }


def schemas(part: Any) -> list[dict[str, Any]]:
    if isinstance(part, list):
        return [found for each in part for found in schemas(each)]
    if not isinstance(part, dict):
        return []
    here = [part["schema"]] if isinstance(part.get("schema"), dict) else []
    return here + [found for each in part.values() for found in schemas(each)]


def test_it_needs_no_token_and_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"] == "protectd"


def test_it_has_every_route_and_no_other(document: dict[str, Any]) -> None:
    assert sorted(operations(document)) == sorted(routes(CONTROLLERS))


@pytest.mark.parametrize(
    "controller", [each for each in CONTROLLERS if each.path], ids=lambda each: each.path
)
def test_every_verb_of_a_path_says_its_terms(controller: Any) -> None:
    assert sorted(controller.terms) == sorted(controller.verbs())


def test_every_schema_in_it_is_one(document: dict[str, Any]) -> None:
    for schema in schemas(document):
        Draft202012Validator.check_schema(schema)


def test_every_reference_in_it_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in set(re.findall(r"'\$ref': '#/([^']+)'", str(document))):
        found = document
        for name in reference.split("/"):
            found = found[name]


def test_every_name_in_a_path_is_told(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        names = [each["name"] for each in item.get("parameters", [])]
        assert names == re.findall(r"{(\w+)}", path)


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(document).values()]
    assert len(set(names)) == len(names)


def test_each_operation_says_what_it_is_for_as_its_policy_does(document: dict[str, Any]) -> None:
    found = operations(document)
    assert found["POST", "/v1/{project_id}/plans"]["summary"] == "Create a plan."
    private = [operation for (_, path), operation in found.items() if "{project_id}" in path]
    assert all(operation["summary"] != "What the service is." for operation in private)


def test_a_plan_has_a_form_for_each_provider_with_the_schemas_of_its_plug_ins(
    document: dict[str, Any], member: Client
) -> None:
    body = operations(document)["POST", "/v1/{project_id}/plans"]["requestBody"]
    schema = body["content"]["application/json"]["schema"]["properties"]["plan"]
    forms = {form["properties"]["provider_id"]["const"]: form for form in schema["anyOf"]}
    assert set(forms) == {FILES_ID, MEMORY_ID}
    provider = member.get(f"providers/{FILES_ID}")["provider"]
    options = provider["extended_info_schema"]["options_schema"]
    assert forms[FILES_ID]["properties"]["parameters"]["properties"] == options


# --- answers are what it says ---


def answer_schema(document: dict[str, Any], verb: str, path: str, status: int) -> dict[str, Any]:
    answer = operations(document)[verb, path]["responses"][str(status)]
    schema: dict[str, Any] = answer["content"]["application/json"]["schema"]
    return schema


def check(document: dict[str, Any], verb: str, path: str, status: int, body: Any) -> None:
    Draft202012Validator(answer_schema(document, verb, path, status)).validate(body)


def test_what_is_answered_has_the_shape_that_is_told(direct: Service) -> None:
    document = direct.app.get("/v1/openapi.json").json
    user, source = direct.client(), direct.directory("told")
    plan = user.plan(source, FILES_ID)
    checkpoint = user.checkpoint(plan)
    target = {"directory": {"path": f"{source}-back"}}
    restore = user.restore(checkpoint, parameters=target)["restore"]
    wanted = {"provider_id": FILES_ID, "checkpoint_id": checkpoint["id"]}
    verification = user.post("verifications", {"verification": wanted}, 202)["verification"]
    log = user.get("operation_logs")["operation_logs"][0]
    checkpoints = f"providers/{FILES_ID}/checkpoints"
    for path, ids in (
        ("providers", {"provider_id": FILES_ID}),
        ("protectables", {"protectable_type": "directory"}),
        ("protectables/directory/instances", {"instance_id": plan["resources"][0]["id"]}),
        ("plans", {"plan_id": plan["id"]}),
        (checkpoints, {"checkpoint_id": checkpoint["id"]}),
        ("restores", {"restore_id": restore["id"]}),
        ("verifications", {"verification_id": verification["id"]}),
        ("operation_logs", {"operation_log_id": log["id"]}),
    ):
        ((name, id),) = ids.items()
        template = "/v1/{project_id}/" + path.replace(FILES_ID, "{provider_id}").replace(
            "/directory/", "/{protectable_type}/"
        )
        check(document, "GET", template, 200, user.get(f"{path}?limit=1"))
        check(document, "GET", f"{template}/{{{name}}}", 200, user.get(f"{path}/{id}"))


def test_a_fault_has_the_shape_that_is_told(member: Client, document: dict[str, Any], tmp_path: Path) -> None:
    fault = document["components"]["schemas"]["Fault"]
    for answer in (
        member.call("GET", "plans?limit=0"),
        member.call("GET", "nothing"),
        member.call("POST", "plans", {"plan": {}}),
        member.call("PATCH", "plans", {}),
    ):
        assert answer.status_int >= 400
        Draft202012Validator(fault).validate(answer.json)


def test_the_guide_names_every_path_of_data_protection() -> None:
    guide = re.sub(r"{\w+}", "{}", (Path(__file__).parents[2] / "doc/rest.rst").read_text())
    for _, path in routes():
        if path.startswith("/v1/{project_id}/"):
            short = re.sub(r"{\w+}", "{}", path.removeprefix("/v1/{project_id}"))
            abbreviated = (short, short.replace("/providers/{}", "..."), short.replace("/quotas/{}/", "``/"))
            assert any(f"{each}``" in guide for each in abbreviated), path
