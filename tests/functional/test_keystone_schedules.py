"""What was scheduled runs with the rights that Keystone says its maker has by then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from protectd.plugin.auth.keystone_rights import KeystoneRights
from protectd.plugin.base import Identity
from tests.fakes.keystone_server import Keystone, Person
from tests.fakes.schedule_scene import Scene, scene
from tests.fakes.service import Client


@dataclass
class Maker:
    """Whoever makes an operation, and what has become of it."""

    at: Scene
    keystone: Keystone
    person: Person
    project_id: str
    operation: str

    @classmethod
    def of(cls, at: Scene, keystone: Keystone, *roles: str) -> Maker:
        project_id = keystone.project()
        person = keystone.person(project_id, *roles)
        client = Client(at.service.app, keystone.token(person, project_id=project_id), project_id)
        operation = at.operation(at.trigger(client=client), at.plan(client=client), client=client)
        return cls(at, keystone, person, project_id, operation)

    def fires(self) -> list[tuple[str, str]]:
        """Outcomes with the codes of their reasons, after an hour more. Read by somebody else."""
        self.at.on(hours=1)
        self.at.engine().run_once()
        return self.outcomes()

    def outcomes(self) -> list[tuple[str, str]]:
        project = self.keystone.person(self.project_id, "reader")
        self.keystone.ask("PATCH", f"/projects/{self.project_id}", project={"enabled": True})
        token = self.keystone.token(project, project_id=self.project_id)
        rows = self.at.occurrences(self.operation, Client(self.at.service.app, token, self.project_id))
        return [(row["outcome"], (row["reason"] or "").partition(":")[0]) for row in rows]


@pytest.fixture(scope="module")
def own_user(keystone: Keystone) -> Person:
    person = keystone.person()
    keystone.grant_on_system(person, "reader")
    return person


@pytest.fixture
def at(keystone: Keystone, own_user: Person, tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path, auth="keystone", more=keystone.options(own_user)) as made:
        yield made


RAN = ("ran", "")
GONE = ("failed", "rights.gone")


def test_it_runs_though_the_token_that_made_it_is_gone(at: Scene, keystone: Keystone) -> None:
    maker = Maker.of(at, keystone, "member")
    keystone.ask("PATCH", f"/users/{maker.person.id}", user={"password": "changed-since"})
    assert maker.fires() == [RAN]
    assert len(at.announced) == 1


def test_it_does_not_run_for_whoever_lost_the_role(at: Scene, keystone: Keystone) -> None:
    maker = Maker.of(at, keystone, "member")
    keystone.take(maker.person, "member", maker.project_id)
    assert maker.fires() == [GONE]
    keystone.grant(maker.person, "member", maker.project_id)
    at.end_tasks()
    assert maker.fires() == [GONE, RAN]


@pytest.mark.parametrize("what", ["users", "projects"])
def test_it_does_not_run_for_who_or_where_is_disabled(at: Scene, keystone: Keystone, what: str) -> None:
    maker = Maker.of(at, keystone, "member")
    id = maker.person.id if what == "users" else maker.project_id
    keystone.ask("PATCH", f"/{what}/{id}", **{what[:-1]: {"enabled": False}})
    assert maker.fires() == [GONE]


def test_it_does_not_run_for_who_was_deleted(at: Scene, keystone: Keystone) -> None:
    maker = Maker.of(at, keystone, "member")
    keystone.ask("DELETE", f"/users/{maker.person.id}")
    assert maker.fires() == [GONE]


def test_roles_that_came_later_are_not_its(at: Scene, keystone: Keystone) -> None:
    maker = Maker.of(at, keystone, "member")
    keystone.grant(maker.person, "admin", maker.project_id)
    assert maker.fires() == [RAN]
    (ref,) = at.announced
    with at.service.parts.database.read() as uow:
        task = uow.tasks.get(ref.task_id)
        assert "admin" not in str(vars(task))


def test_nothing_is_lost_while_keystone_is_away(
    at: Scene, keystone: Keystone, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = Maker.of(at, keystone, "member")
    auth: Any = at.service.parts.auth
    good = auth._rights
    with monkeypatch.context() as patched:
        patched.setattr(auth, "_rights", KeystoneRights(_nowhere(good)))
        assert maker.fires() == []
    at.engine().run_once()
    assert maker.outcomes() == [RAN]


def _nowhere(rights: KeystoneRights) -> Any:
    """The same Keystone, at a place where nothing listens."""
    adapter: Any = rights._service
    return type(adapter)(adapter.session, auth=adapter.auth, endpoint_override="http://127.0.0.1:1/v3")


def test_nothing_is_lost_while_the_service_may_not_ask(
    keystone: Keystone, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project_id = keystone.project()
    narrow = keystone.person(project_id, "service")
    options = keystone.options(narrow, system_scope="", project_id=project_id)
    with scene(tmp_path, auth="keystone", more=options) as at:
        maker = Maker.of(at, keystone, "member")
        assert maker.fires() == []
        assert "the role reader on the system" in caplog.text
        keystone.grant(narrow, "admin", project_id)
        at.service.parts.auth.look_ahead(Identity("x", "y", ()))
        assert maker.fires()[-1] == RAN


def test_no_unit_of_work_waits_for_keystone(
    at: Scene, keystone: Keystone, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = Maker.of(at, keystone, "member")
    kind, standing = type(at.service.parts.database), KeystoneRights.standing
    write, writing, while_asked = kind.write, [0], []

    @contextmanager
    def counted(self: Any) -> Iterator[Any]:
        with write(self) as uow:
            writing[0] += 1
            yield uow
        writing[0] -= 1

    def asked(self: KeystoneRights, identity: Identity) -> Identity | None:
        while_asked.append(writing[0])
        return standing(self, identity)

    monkeypatch.setattr(kind, "write", counted)
    monkeypatch.setattr(KeystoneRights, "standing", asked)
    assert maker.fires() == [RAN]
    assert while_asked == [0]


def test_roles_of_groups_and_implied_ones_count(at: Scene, keystone: Keystone) -> None:
    project_id, person = keystone.project(), keystone.person()
    group_id = keystone.ask("POST", "/groups", group={"name": f"g-{project_id}"})["group"]["id"]
    keystone.ask("PUT", f"/groups/{group_id}/users/{person.id}")
    keystone.ask("PUT", f"/projects/{project_id}/groups/{group_id}/roles/{keystone.role('member')}")
    identity = Identity(person.id, project_id, ("member", "reader", "admin"))
    assert at.service.parts.auth.standing(identity) == Identity(person.id, project_id, ("member", "reader"))
