"""The document of all routes: complete, valid, and what real requests are held to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from protectd.api.routes import CONTROLLERS, KEY_MANAGER, routes
from tests.fakes.service import FILES_ID, MEMORY_ID, Client, Service
from tests.functional.test_key_manager_containers import contain, ref
from tests.functional.test_key_manager_secrets import text

VERBS = frozenset({"get", "post", "put", "patch", "delete"})


DOCUMENTS = {"openapi": CONTROLLERS, "key-manager": KEY_MANAGER}


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    return dict(service.app.get("/v1/openapi.json").json)


@pytest.fixture(scope="module", params=list(DOCUMENTS))
def each_document(service: Service, request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(service.app.get(f"/v1/{request.param}.json").json)


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


def test_it_needs_no_token_and_is_openapi_3_1(each_document: dict[str, Any]) -> None:
    assert each_document["openapi"].startswith("3.1.")
    assert each_document["info"]["title"].startswith("protectd")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_it_has_every_route_and_no_other(service: Service, name: str) -> None:
    found = service.app.get(f"/v1/{name}.json").json
    assert sorted(operations(found)) == sorted(routes(DOCUMENTS[name]))


@pytest.mark.parametrize(
    "controller", [each for each in (*CONTROLLERS, *KEY_MANAGER) if each.path], ids=lambda each: each.path
)
def test_every_verb_of_a_path_says_its_terms(controller: Any) -> None:
    assert sorted(controller.terms) == sorted(controller.verbs())


def test_every_schema_in_it_is_one(each_document: dict[str, Any]) -> None:
    for schema in schemas(each_document):
        Draft202012Validator.check_schema(schema)


def test_every_reference_in_it_leads_somewhere(each_document: dict[str, Any]) -> None:
    for reference in set(re.findall(r"'\$ref': '#/([^']+)'", str(each_document))):
        found = each_document
        for name in reference.split("/"):
            found = found[name]


def test_every_name_in_a_path_is_told(each_document: dict[str, Any]) -> None:
    for path, item in each_document["paths"].items():
        names = [each["name"] for each in item.get("parameters", [])]
        assert names == re.findall(r"{(\w+)}", path)


def test_operations_have_names_of_their_own(each_document: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(each_document).values()]
    assert len(set(names)) == len(names)


def test_each_operation_says_what_it_is_for_as_its_policy_does(document: dict[str, Any]) -> None:
    found = operations(document)
    assert found["POST", "/v1/{project_id}/plans"]["summary"] == "Create a plan."
    private = [operation for (_, path), operation in found.items() if "{project_id}" in path]
    assert all(operation["summary"] != "What the service is." for operation in private)


def test_every_route_of_the_key_manager_wants_a_token_but_its_document(service: Service) -> None:
    found = operations(service.app.get("/v1/key-manager.json").json)
    public = [route for route, operation in found.items() if operation.get("security") == []]
    assert public == [("GET", "/v1/key-manager.json")]
    for (verb, path), operation in found.items():
        if (verb, path) not in public:
            assert service.app.request(path, method=verb, expect_errors=True).status_int == 401
            assert operation["summary"] != "What the service is."


def test_what_the_key_manager_answers_has_the_shape_that_is_told(direct: Service) -> None:
    document = direct.app.get("/v1/key-manager.json").json
    user = direct.client(role="admin")
    secret = text(user, name="n", expiration="2999-01-02T03:04:05.000006")
    container, newest = contain(user, refs=[ref(secret)]), {"OpenStack-API-Version": "key-manager 1.2"}
    meta = {"algorithm": "ec", "bit_length": 256}
    order = (
        "/v1"
        + user.post("/v1/orders", {"type": "asymmetric", "meta": meta}, 202)["order_ref"].rpartition("/v1")[2]
    )
    note, consumer = {"key": "k", "value": "v"}, {"service": "s", "resource_type": "t", "resource_id": "r"}
    used = {"name": "n", "URL": "http://x"}
    for verb, path, body, status in (
        ("POST", f"{secret}/metadata", note, 201),
        ("PUT", f"{secret}/metadata/k", note, 200),
        ("PUT", f"{secret}/metadata", {"metadata": {"k": "v"}}, 201),
        ("GET", f"{secret}/metadata", None, 200),
        ("GET", f"{secret}/metadata/k", None, 200),
        ("GET", f"{secret}/acl", None, 200),
        ("PUT", f"{secret}/acl", {"read": {"users": ["a"]}}, 200),
        ("GET", f"{secret}/acl", None, 200),
        ("PATCH", f"{secret}/acl", {"read": {}}, 200),
        ("POST", f"{secret}/consumers", consumer, 200),
        ("GET", f"{secret}/consumers?limit=1&offset=0", None, 200),
        ("GET", secret, None, 200),
        ("POST", "/v1/secrets", {}, 201),
        ("GET", "/v1/secrets?limit=1&offset=1", None, 200),
        ("DELETE", f"{secret}/consumers", consumer, 200),
        ("DELETE", f"{secret}/acl", None, 200),
        ("POST", f"{container}/consumers", used, 200),
        ("GET", f"{container}/consumers", None, 200),
        ("GET", container, None, 200),
        ("GET", "/v1/containers", None, 200),
        ("DELETE", f"{container}/consumers", used, 200),
        ("GET", order, None, 200),
        ("GET", "/v1/orders", None, 200),
        ("GET", "/v1/quotas", None, 200),
        ("GET", "/v1/project-quotas", None, 200),
    ):
        answer = user.call(verb, path, body, **newest)
        assert answer.status_int == status
        template = path.partition("?")[0].replace("/metadata/k", "/metadata/{key}")
        for made, name in ((secret, "secret"), (container, "container"), (order, "order")):
            template = template.replace(made, f"/v1/{name}s/{{{name}_id}}")
        check(document, verb, template, status, answer.json)


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
