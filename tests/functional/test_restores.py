"""Restores: what is refused before anything is written, and what comes back."""

from __future__ import annotations

import io
import logging
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from protectd.model.base import Base
from tests.fakes.service import FILES_ID, Client, Service, run_body

UNKNOWN_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


@pytest.fixture
def member(direct: Service) -> Client:
    return direct.client()


@pytest.fixture(scope="module")
def owner(direct: Service) -> Client:
    return direct.client()


@pytest.fixture(scope="module")
def checkpoint(direct: Service, owner: Client) -> dict[str, Any]:
    """Two directories, saved."""
    directories = [direct.directory(name) for name in ("first", "second")]
    resources = [
        {"type": "directory", "name": each.name, "extra_info": {"path": str(each)}} for each in directories
    ]
    made = owner.checkpoint(owner.plan(directories[0], resources=resources))
    assert made["status"] == "available", made["error"]
    return made


@pytest.fixture
def refused(owner: Client, checkpoint: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    def refuse(status: int = 400, **fields: Any) -> dict[str, Any]:
        return owner.refused("POST", "restores", status, {"restore": run_body(checkpoint, **fields)})

    return refuse


def test_each_resource_goes_to_a_directory_of_its_name(
    direct: Service, owner: Client, checkpoint: dict[str, Any]
) -> None:
    target = direct.allowed / "together"
    body = {"restore": run_body(checkpoint, parameters={"directory": {"path": str(target)}})}
    answer = owner.call("POST", "restores", body)
    restore = answer.json["restore"]
    assert answer.status_int == 202
    assert answer.headers["Location"].endswith(f"/v1/{owner.project_id}/restores/{restore['id']}")
    assert restore["status"] == "success", restore["error"]
    assert restore["resources_status"] == {
        f"directory#{each['id']}": "available" for each in checkpoint["resources"]
    }
    assert (target / "first" / "one.txt").read_text() == "one\n"
    assert (target / "second" / "below" / "two.txt").read_text() == "two\n"
    assert owner.get(f"restores/{restore['id']}")["restore"] == restore
    assert restore["id"] in [each["id"] for each in owner.get("restores?status=success")["restores"]]


def test_a_place_that_has_something_is_not_overwritten_unasked(
    direct: Service, owner: Client, checkpoint: dict[str, Any]
) -> None:
    restore = owner.restore(checkpoint)["restore"]
    assert restore["status"] == "fail"
    assert restore["error"]["message"]
    assert restore["restore_target"] is None
    changed = direct.allowed / "first" / "one.txt"
    changed.write_text("changed\n")
    restore = owner.restore(checkpoint, parameters={"directory": {"overwrite": True}})["restore"]
    assert restore["status"] == "success", restore["error"]
    assert changed.read_text() == "one\n"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"provider_id": "x"}, "restore.provider_id"),
        ({"provider_id": UNKNOWN_ID}, "restore.provider_id"),
        ({"provider_id": FILES_ID}, "restore.provider_id"),
        ({"checkpoint_id": None}, "restore.checkpoint_id"),
        ({"parameters": None}, "restore.parameters"),
        ({"parameters": {"volume": {}}}, "restore.parameters.volume"),
        ({"parameters": {"directory#": {}}}, "restore.parameters.directory#"),
        ({"parameters": {"directory": {"path": ""}}}, "restore.parameters.directory.path"),
        ({"parameters": {"directory": {"path": "relative"}}}, "restore.parameters.directory.path"),
        ({"parameters": {"directory": {"path": "/a/../b"}}}, "restore.parameters.directory.path"),
        ({"parameters": {"directory": {"path": "/a\0"}}}, "restore.parameters.directory.path"),
        ({"parameters": {"directory": {"overwrite": 3}}}, "restore.parameters.directory.overwrite"),
        ({"parameters": {"directory": {"target": "/"}}}, "restore.parameters.directory.target"),
        ({"restore_target": "elsewhere"}, "restore.restore_target"),
        ({"restore_auth": "x"}, "restore.restore_auth"),
        ({"trusted": True}, "restore.trusted"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    refused: Callable[..., dict[str, Any]], fields: dict[str, Any], field: str
) -> None:
    assert refused(**fields)["field"] == field


@pytest.mark.parametrize("path", ["/etc", "/", "/tmp/beside"])
def test_a_member_restores_only_below_the_allowed_roots(
    refused: Callable[..., dict[str, Any]], path: str
) -> None:
    fault = refused(403, parameters={"directory": {"path": path, "overwrite": True}})
    assert (fault["error"], fault["field"]) == ("path.not_allowed", "restore.parameters.directory.path")


def test_a_path_of_one_resource_is_told_by_its_own_key(
    direct: Service, refused: Callable[..., dict[str, Any]], checkpoint: dict[str, Any]
) -> None:
    key = f"directory#{checkpoint['resources'][1]['id']}"
    allowed = {"path": str(direct.allowed / "x")}
    for status, path in ((403, "/etc"), (400, "/a/../b")):
        fault = refused(status, parameters={"directory": allowed, key: {"path": path}})
        assert fault["field"] == f"restore.parameters.{key}.path"
    fault = refused(403, parameters={"directory": {"path": "/etc"}, key: {"overwrite": True}})
    assert fault["field"] == "restore.parameters.directory.path"


def test_nobody_restores_onto_the_services_own_files(direct: Service) -> None:
    admin = direct.client(role="admin")
    made = admin.checkpoint(admin.plan(direct.directory("admins")))
    state = direct.parts.conf.state_dir
    for path in (state, f"{state}/below", "/"):
        body = {"restore": run_body(made, parameters={"directory": {"path": path, "overwrite": True}})}
        admin.refused("POST", "restores", 403, body)


def test_a_member_cannot_write_back_where_only_an_administrator_may(direct: Service) -> None:
    """In place is a target too."""
    admin = direct.client(role="admin")
    outside = direct.allowed.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_text("s")
    made = admin.checkpoint(admin.plan(outside))
    member = direct.client(admin.project_id)
    for parameters in ({}, {"directory": {"overwrite": True}}):
        body = {"restore": run_body(made, parameters=parameters)}
        fault = member.refused("POST", "restores", 403, body)
        assert (fault["error"], fault["field"]) == ("path.not_allowed", "restore.parameters.directory.path")


def test_two_resources_of_one_name_do_not_share_a_directory(direct: Service, member: Client) -> None:
    paths = [direct.directory("same-1"), direct.directory("same-2")]
    resources = [{"type": "directory", "name": "same", "extra_info": {"path": str(path)}} for path in paths]
    made = member.checkpoint(member.plan(paths[0], resources=resources))
    body = run_body(made, parameters={"directory": {"path": str(direct.allowed / "both")}})
    fault = member.refused("POST", "restores", 409, {"restore": body})
    assert (fault["error"], fault["field"]) == (
        "restore.names_clash",
        "restore.parameters.directory.path",
    )


def test_a_checkpoint_that_is_not_available_is_refused_with_its_state(
    direct: Service, member: Client
) -> None:
    made = member.checkpoint(member.plan(direct.allowed / "never-there"))
    fault = member.refused("POST", "restores", 409, {"restore": run_body(made)})
    assert (fault["error"], fault["field"]) == ("checkpoint.not_available", "restore.checkpoint_id")
    assert "error" in fault["message"]


def test_another_projects_checkpoint_and_restore_are_not_there(
    direct: Service, owner: Client, member: Client, checkpoint: dict[str, Any]
) -> None:
    restore = owner.restore(checkpoint)["restore"]
    fault = member.refused("POST", "restores", 404, {"restore": run_body(checkpoint)})
    assert (fault["error"], fault["field"]) == ("checkpoint.not_found", "restore.checkpoint_id")
    assert member.refused("GET", f"restores/{restore['id']}", 404)["error"] == "restore.not_found"
    assert member.get("restores") == {"restores": []}


def test_credentials_are_neither_kept_nor_shown(
    direct: Service, owner: Client, checkpoint: dict[str, Any]
) -> None:
    auth = {"type": "password", "username": "u", "password": "hush-hush"}
    answer = owner.restore(checkpoint, restore_auth=auth, restore_target=None)
    assert "hush-hush" not in str(answer)
    assert "restore_auth" not in answer["restore"]


def test_an_administrators_restore_is_trusted_and_a_members_is_not(
    direct: Service, owner: Client, checkpoint: dict[str, Any]
) -> None:
    admin = direct.client(owner.project_id, role="admin")
    assert owner.restore(checkpoint)["restore"]["trusted"] is False
    assert admin.restore(checkpoint)["restore"]["trusted"] is True


def test_four_kilobytes_of_parameters_come_back_unchanged(
    direct: Service, owner: Client, checkpoint: dict[str, Any]
) -> None:
    deep = "/".join([str(direct.allowed), *["d" * 200] * 19])
    parameters = {"directory": {"path": deep}}
    restore = owner.restore(checkpoint, parameters=parameters)["restore"]
    assert owner.get(f"restores/{restore['id']}")["restore"]["parameters"] == parameters


def test_what_is_not_whole_replaces_nothing_unless_it_is_wished_for(direct: Service, member: Client) -> None:
    source = direct.directory("not-whole")
    made = member.checkpoint(member.plan(source))
    (source / "one.txt").unlink()
    (source / "one.txt").mkdir()
    (source / "one.txt" / "full").write_text("in the way")
    (source / "below" / "two.txt").write_text("mine\n")
    restore = member.restore(made, parameters={"directory": {"overwrite": True}})["restore"]
    assert (restore["status"], restore["error"]["code"]) == ("fail", "restore.incomplete")
    assert [each["kind"] for each in restore["warnings"]] == ["refused", "kept"]
    assert (source / "below" / "two.txt").read_text() == "mine\n"
    assert list(restore["resources_status"].values()) == ["error"]
    assert "one.txt" in str(restore["resources_reason"])
    assert sorted(os.listdir(source)) == ["below", "one.txt"]
    parameters = {"directory": {"overwrite": True, "staged": False}}
    restore = member.restore(made, parameters=parameters)["restore"]
    assert (restore["status"], restore["error"]["code"]) == ("fail", "restore.incomplete")
    assert (source / "below" / "two.txt").read_text() == "two\n"


# --- a part of it ---


@pytest.fixture
def elsewhere(direct: Service) -> Path:
    return direct.allowed / uuid.uuid4().hex


def names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_chosen_resources_alone_come_back(owner: Client, checkpoint: dict[str, Any], elsewhere: Path) -> None:
    second = checkpoint["resources"][1]
    (elsewhere / "made").mkdir(parents=True)
    for number, word in enumerate((second["id"], f"directory#{second['id']}")):
        target = elsewhere / str(number)
        parameters = {"directory": {"path": str(target)}}
        restore = owner.restore(checkpoint, resources=[word], parameters=parameters)["restore"]
        assert restore["status"] == "success", restore["error"]
        assert restore["chosen"] == {f"directory#{second['id']}": []}
        assert list(restore["resources_status"]) == [f"directory#{second['id']}"]
        assert names(target) == ["below", "below/two.txt", "one.txt"], (
            "one alone needs no directory of its name"
        )


def test_chosen_paths_come_back_with_what_leads_to_them(
    direct: Service, owner: Client, checkpoint: dict[str, Any], elsewhere: Path
) -> None:
    first, second = checkpoint["resources"]
    paths = [f"{direct.allowed}/first/one.txt", f"{direct.allowed}/second/below"]
    parameters = {"directory": {"path": str(elsewhere)}}
    restore = owner.restore(checkpoint, paths=paths, parameters=parameters)["restore"]
    assert restore["status"] == "success", restore["error"]
    assert restore["chosen"] == {
        f"directory#{first['id']}": paths[:1],
        f"directory#{second['id']}": paths[1:],
    }
    assert names(elsewhere) == ["first", "first/one.txt", "second", "second/below", "second/below/two.txt"]
    assert owner.get("restores")["restores"][0]["chosen"] == restore["chosen"]


def test_a_relative_path_is_one_of_the_only_resource(
    owner: Client, checkpoint: dict[str, Any], elsewhere: Path
) -> None:
    fields = {"resources": [checkpoint["resources"][0]["id"]], "paths": ["below/two.txt", "./one.txt"]}
    parameters = {"directory": {"path": str(elsewhere)}}
    restore = owner.restore(checkpoint, parameters=parameters, **fields)["restore"]
    assert restore["status"] == "success", restore["error"]
    assert names(elsewhere) == ["below", "below/two.txt", "one.txt"]


def test_a_path_in_place_leaves_all_else_as_it_is(direct: Service, member: Client) -> None:
    source = direct.directory("part-of-it")
    made = member.checkpoint(member.plan(source))
    (source / "one.txt").write_text("mine\n")
    (source / "below" / "two.txt").write_text("lost\n")
    parameters = {"directory": {"overwrite": True}}
    restore = member.restore(made, paths=["below"], parameters=parameters)["restore"]
    assert restore["status"] == "success", restore["error"]
    assert (source / "below" / "two.txt").read_text() == "two\n"
    assert (source / "one.txt").read_text() == "mine\n"


def test_a_path_by_the_name_of_a_link_is_found(direct: Service, member: Client, elsewhere: Path) -> None:
    """A directory may be known by another path than the one it was read by."""
    direct.directory("real")
    link = direct.allowed / "known-as"
    link.symlink_to("real")
    made = member.checkpoint(member.plan(link))
    for number, path in enumerate((link / "below", direct.allowed / "real" / "below")):
        target = elsewhere / str(number)
        target.mkdir(parents=True)
        parameters = {"directory": {"path": str(target)}}
        restore = member.restore(made, paths=[str(path)], parameters=parameters)["restore"]
        assert restore["status"] == "success", restore["error"]
        assert names(target) == ["below", "below/two.txt"]


def test_a_path_that_was_not_saved_fails_with_its_name_and_writes_nothing(
    owner: Client, checkpoint: dict[str, Any], elsewhere: Path
) -> None:
    fields = {"resources": [checkpoint["resources"][0]["id"]], "paths": ["one.txt", "never-there"]}
    parameters = {"directory": {"path": str(elsewhere)}}
    restore = owner.restore(checkpoint, parameters=parameters, **fields)["restore"]
    assert (restore["status"], restore["error"]["code"]) == ("fail", "vault.path_not_found")
    assert "never-there" in restore["error"]["message"]
    assert not elsewhere.exists()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"resources": []}, "restore.resources"),
        ({"resources": [3]}, "restore.resources.0"),
        ({"resources": "x"}, "restore.resources"),
        ({"paths": []}, "restore.paths"),
        ({"paths": [""]}, "restore.paths.0"),
        ({"paths": ["/a/../b"]}, "restore.paths.0"),
        ({"paths": ["a\0b"]}, "restore.paths.0"),
        ({"paths": ["/" + "x" * 300]}, "restore.paths.0"),
    ],
)
def test_a_part_that_cannot_be_there_is_refused_by_name(
    refused: Callable[..., dict[str, Any]], fields: dict[str, Any], field: str
) -> None:
    assert refused(**fields)["field"] == field


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"resources": [UNKNOWN_ID]}, "restore.resources.0"),
        ({"paths": ["/etc/passwd"]}, "restore.paths.0"),
        ({"parameters": {f"directory#{UNKNOWN_ID}": {}}}, f"restore.parameters.directory#{UNKNOWN_ID}"),
    ],
)
def test_what_the_checkpoint_does_not_hold_is_not_there(
    refused: Callable[..., dict[str, Any]], fields: dict[str, Any], field: str
) -> None:
    fault = refused(404, **fields)
    assert (fault["error"], fault["field"]) == ("checkpoint.holds_no_such", field)


def test_a_path_that_may_lie_in_several_resources_has_to_say_where(
    refused: Callable[..., dict[str, Any]],
) -> None:
    fault = refused(409, paths=["one.txt"])
    assert (fault["error"], fault["field"]) == ("restore.path_ambiguous", "restore.paths.0")


@pytest.mark.parametrize("path", ["..", "../..", "below/../one.txt", "/a/../b", "/.."])
def test_a_path_that_leads_upwards_is_told_so(refused: Callable[..., dict[str, Any]], path: str) -> None:
    fault = refused(paths=[path], dry_run=True)
    assert (fault["error"], fault["field"]) == ("invalid_field", "restore.paths.0")
    assert fault["message"].startswith("restore.paths.0: must not hold '..'")
    assert "absolute" not in fault["message"]


def test_parameters_of_a_resource_that_is_not_chosen_are_refused(
    refused: Callable[..., dict[str, Any]], checkpoint: dict[str, Any]
) -> None:
    first, second = (f"directory#{each['id']}" for each in checkpoint["resources"])
    fault = refused(404, resources=[first], parameters={second: {"overwrite": True}})
    assert fault["field"] == f"restore.parameters.{second}"


def test_nulls_of_a_client_mean_everything(owner: Client, checkpoint: dict[str, Any]) -> None:
    restore = owner.restore(checkpoint, resources=None, paths=None, dry_run=None)["restore"]
    assert (restore["chosen"], restore["dry_run"]) == (None, False)


# --- credentials ---


def test_credentials_are_written_nowhere(direct: Service, owner: Client, checkpoint: dict[str, Any]) -> None:
    """Not into the database nor what it keeps beside it, not into any file of the service, not into a log."""
    word = f"hush-{uuid.uuid4().hex}"
    auth = {"type": "password", "username": f"user-{word}", "password": f"pass-{word}"}
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    logging.getLogger().addHandler(handler)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    try:
        for fields in ({}, {"dry_run": True}, {"paths": ["/nowhere"]}):
            body = {"restore": run_body(checkpoint, restore_auth=auth, **fields)}
            headers = {"Idempotency-Key": uuid.uuid4().hex}
            assert word not in owner.call("POST", "restores", body, **headers).text
    finally:
        logging.getLogger().setLevel(level)
        logging.getLogger().removeHandler(handler)
    assert heard.getvalue()
    assert word not in heard.getvalue()
    assert word not in rows_of(direct)
    looked_at = files_of(direct)
    assert [path for path in looked_at if word.encode() in path.read_bytes()] == []


def rows_of(service: Service) -> str:
    """All that is in the database."""
    with service.parts.database.read() as uow:
        tables = [table.name for table in Base.metadata.sorted_tables]
        found = [list(uow.session.execute(text(f"SELECT * FROM {name}"))) for name in tables]
    assert any(found)
    return str(found)


def files_of(service: Service) -> list[Path]:
    """All that the service keeps, and the database's own where it is a file."""
    url = service.parts.database.engine.url
    places = [Path(service.parts.conf.state_dir)]
    if url.get_backend_name() == "sqlite":
        places.append(Path(str(url.database)).parent)
        assert Path(f"{url.database}-wal").exists()
    return [path for place in places for path in place.rglob("*") if path.is_file()]
