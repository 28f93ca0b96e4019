"""The version documents and the health check: no token is needed."""

from __future__ import annotations

from typing import Any

from tests.fakes.service import Service


def test_the_top_is_the_key_managers_choice_of_versions(service: Service) -> None:
    answer = service.app.get("/", status=300)
    (version,) = answer.json["versions"]["values"]
    assert (version["id"], version["status"]) == ("v1", "stable")
    assert version["links"][0] == {"rel": "self", "href": "http://localhost:80/v1/"}
    assert version["media-types"][0]["base"] == "application/json"


def test_who_speaks_microversions_is_told_their_range(service: Service) -> None:
    headers = {"OpenStack-API-Version": "key-manager 1.1"}
    (version,) = service.app.get("/", headers=headers, status=300).json["versions"]
    assert (version["status"], version["min_version"], version["max_version"]) == ("CURRENT", "1.0", "1.2")
    assert service.app.get("/v1", headers=headers).json["version"] == version


def test_version_one_describes_itself_with_and_without_a_slash(service: Service) -> None:
    plain, slashed = service.app.get("/v1"), service.app.get("/v1/")
    assert plain.json == slashed.json
    assert plain.json["version"]["id"] == "v1"


def test_the_build_can_be_asked_for(service: Service) -> None:
    assert set(service.app.get("/?build").json) == {"build"}


def test_every_answer_carries_a_name_of_its_request(service: Service) -> None:
    answers = [service.app.get(path, expect_errors=True) for path in ("/", "/v1", "/healthcheck", "/nothing")]
    names = {answer.headers["x-openstack-request-id"] for answer in answers}
    assert len(names) == len(answers)
    for answer in answers:
        assert answer.headers["x-compute-request-id"] == answer.headers["x-openstack-request-id"]


def test_the_health_check_says_ok_and_answers_get_only(service: Service) -> None:
    assert service.app.get("/healthcheck").json == {"status": "OK"}
    answer: Any = service.app.post("/healthcheck", expect_errors=True)
    assert (answer.status_int, answer.headers["Allow"]) == (405, "GET, HEAD")
