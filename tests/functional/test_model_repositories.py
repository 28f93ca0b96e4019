"""Repositories on each database: what is found, by whom, and how faithfully it is kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Boolean, DateTime, Integer, Text, event, inspect, text
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DataError, IntegrityError

from protectd.common.errors import NotFound
from protectd.common.ids import new_id
from protectd.model.base import utc_now
from protectd.model.models import Checkpoint, Instance, Plan, PlanResource, Secret, Service, Token
from protectd.model.repositories.base import InvalidMarker, InvalidSortKey, Page
from protectd.model.repositories.plans import PlanNotFound
from protectd.model.states import RUNNING_STATUSES, CheckpointStatus, move
from protectd.model.unit_of_work import Database, UnitOfWork
from tests.fakes import rows
from tests.fakes.rows import OTHER_PROJECT, PROJECT

pytest_plugins = ["tests.fakes.databases"]


def test_a_project_finds_its_own_and_nothing_else(any_database: Database) -> None:
    with any_database.write() as uow:
        mine, foreign = uow.plans.add(rows.plan()), uow.plans.add(rows.plan(project_id=OTHER_PROJECT))
    with any_database.read() as uow:
        assert uow.plans.get(mine.id, PROJECT).id == mine.id
        with pytest.raises(PlanNotFound) as caught:
            uow.plans.get(foreign.id, PROJECT)
        assert caught.value.facts == {"id": foreign.id}
        assert [plan.id for plan in uow.plans.page(Page(10), PROJECT)] == [mine.id]
        assert len(uow.plans.page(Page(10))) == 2


@pytest.mark.parametrize(
    "noun",
    [
        "plans",
        "checkpoints",
        "restores",
        "verifications",
        "tasks",
        "tokens",
        "instances",
        "secrets",
        "vaults",
    ],
)
def test_every_noun_has_its_own_code_for_what_is_not_there(chosen_database: Database, noun: str) -> None:
    with chosen_database.read() as uow, pytest.raises(NotFound) as caught:
        getattr(uow, noun).get(new_id())
    assert caught.value.code == f"{noun[:-1]}.not_found"


def test_a_deleted_row_stays_and_is_not_found(any_database: Database) -> None:
    with any_database.write() as uow:
        plan = uow.plans.add(rows.plan(resources=[rows.resource()]))
        uow.plans.delete(plan)
        again = uow.plans.add(rows.plan(name=plan.name))
    with any_database.read() as uow:
        assert uow.plans.find(plan.id) is None
        kept = uow.plans.get(plan.id, include_deleted=True)
        assert kept.deleted and kept.deleted_at is not None and kept.resources == []
        assert [found.id for found in uow.plans.page(Page(10))] == [again.id]
        assert uow.session.query(PlanResource).one().deleted


def test_every_character_and_every_byte_of_long_parameters_is_kept(any_database: Database) -> None:
    name = "plan 😀 \u200b Ünïcödé \\ ' \" %_"
    parameters = {f"directory#{new_id()}": {f"key{number}": "é😀" * 40 for number in range(60)}}
    with any_database.write() as uow:
        plan = uow.plans.add(rows.plan(name=name, parameters=parameters))
        restore = uow.restores.add(rows.restore(parameters=parameters, error_message="x" * 100_000))
    with any_database.read() as uow:
        found = uow.plans.get(plan.id)
        assert (found.name, found.parameters) == (name, parameters)
        assert uow.restores.get(restore.id).parameters == parameters
        assert uow.restores.get(restore.id).error_message == "x" * 100_000
        assert uow.restores.get(restore.id).restore_target == ""


def test_moments_keep_their_microseconds(any_database: Database) -> None:
    moment = utc_now().replace(microsecond=123_457)
    with any_database.write() as uow:
        plan = uow.plans.add(rows.plan(created_at=moment))
    with any_database.read() as uow:
        assert uow.plans.get(plan.id).created_at == moment


def test_ids_and_filters_tell_case_apart(any_database: Database) -> None:
    with any_database.write() as uow:
        uow.plans.add(rows.plan(id="a" * 36, name="Nightly"))
        uow.plans.add(rows.plan(id="A" * 36, name="nightly"))
    with any_database.read() as uow:
        assert uow.plans.get("A" * 36).name == "nightly"
        assert [plan.name for plan in uow.plans.page(Page(10), None, {"name": "Night"})] == ["Nightly"]


def test_a_filter_for_a_part_of_a_name_takes_it_literally(any_database: Database) -> None:
    with any_database.write() as uow:
        for name in ("100%", "1000", "a_b", "axb", "back\\slash"):
            uow.plans.add(rows.plan(name=name))
    with any_database.read() as uow:
        for part, names in (("0%", ["100%"]), ("a_b", ["a_b"]), ("k\\s", ["back\\slash"])):
            assert [plan.name for plan in uow.plans.page(Page(10), None, {"name": part})] == names


@pytest.mark.parametrize("any_url", ["postgresql", "mariadb"], indirect=True)
def test_a_value_too_long_for_its_column_is_refused_not_cut(any_database: Database) -> None:
    with pytest.raises(DataError), any_database.write() as uow:
        uow.plans.add(rows.plan(name="x" * 256))


def test_a_resource_of_no_plan_is_refused_by_the_database(any_database: Database) -> None:
    with pytest.raises(IntegrityError), any_database.write() as uow:
        uow.session.add(rows.resource(plan_id=new_id()))
        uow.flush()


def test_a_plans_set_of_resources_changes_row_by_row(any_database: Database) -> None:
    stays, goes, comes = rows.resource("stays"), rows.resource("goes"), rows.resource("comes")
    with any_database.write() as uow:
        plan = uow.plans.add(rows.plan(resources=[goes, stays]))
        kept_row, changed_at = stays.id, plan.updated_at
    with any_database.write() as uow:
        plan = uow.plans.get(plan.id)
        renamed = rows.resource("renamed", resource_id=stays.resource_id, resource_extra_info={"path": "/p"})
        uow.plans.replace_resources(plan, [comes, renamed])
        assert [item.resource_name for item in plan.resources] == ["comes", "renamed"]
    with any_database.read() as uow:
        plan = uow.plans.get(plan.id)
        assert [item.resource_name for item in plan.resources] == ["comes", "renamed"]
        assert plan.resources[1].id == kept_row
        assert plan.resources[1].summary()["extra_info"] == {"path": "/p"}
        assert plan.updated_at > changed_at
        assert uow.session.get(PlanResource, goes.id).deleted_at is not None


def test_a_checkpoint_keeps_the_plan_as_it_was(any_database: Database) -> None:
    with any_database.write() as uow:
        plan = uow.plans.add(rows.plan(resources=[rows.resource("one"), rows.resource("two")]))
        checkpoint = uow.checkpoints.add(Checkpoint.of(plan, {"created_by": "manual"}))
        uow.plans.replace_resources(plan, [rows.resource("three")])
        plan.name = "other"
    with any_database.read() as uow:
        found = uow.checkpoints.get(checkpoint.id, PROJECT)
        assert (found.status, found.plan_name) == ("PENDING", "nightly")
        assert [item["name"] for item in found.plan_json["resources"]] == ["one", "two"]
        assert [item.resource_name for item in found.resources] == ["one", "two"]
        assert found.extra_info == {"created_by": "manual"}


def test_a_deleted_checkpoint_can_be_shown_and_is_in_no_list(any_database: Database) -> None:
    with any_database.write() as uow:
        plan = uow.plans.add(rows.plan())
        gone = uow.checkpoints.add(rows.checkpoint(plan, status=CheckpointStatus.DELETING))
        here = uow.checkpoints.add(rows.checkpoint(plan))
        assert move(uow.session, Checkpoint, gone.id, "deleting", "deleted")
    with any_database.read() as uow:
        assert uow.checkpoints.get(gone.id, PROJECT).status == "deleted"
        assert [found.id for found in uow.checkpoints.page(Page(10), PROJECT)] == [here.id]


def test_checkpoints_are_filtered_by_plan_status_and_time(any_database: Database) -> None:
    start = utc_now()
    with any_database.write() as uow:
        plan, other = uow.plans.add(rows.plan()), uow.plans.add(rows.plan())
        days = [
            uow.checkpoints.add(rows.checkpoint(plan, created_at=start + timedelta(days=day))).id
            for day in range(4)
        ]
        uow.checkpoints.add(rows.checkpoint(other, status="available"))
    with any_database.read() as uow:
        wanted = {"plan_id": plan.id, "start": start + timedelta(days=1), "end": start + timedelta(days=3)}
        assert [found.id for found in uow.checkpoints.page(Page(10), PROJECT, wanted)] == [days[2], days[1]]
        available = uow.checkpoints.page(Page(10), PROJECT, {"status": "available"})
        assert [found.plan_id for found in available] == [other.id]


@pytest.mark.parametrize("kind", ["restore", "verification"])
def test_a_checkpoint_is_pinned_while_a_run_over_it_waits_or_works(any_database: Database, kind: str) -> None:
    with any_database.write() as uow:
        checkpoint = uow.checkpoints.add(rows.checkpoint(uow.plans.add(rows.plan())))
        assert not uow.checkpoints.pinned(checkpoint.id)
        run = getattr(rows, kind)(checkpoint_id=checkpoint.id)
        getattr(uow, f"{kind}s").add(run)
        for status in RUNNING_STATUSES:
            run.status = status
            assert uow.checkpoints.pinned(checkpoint.id)
        run.status = "success"
        assert not uow.checkpoints.pinned(checkpoint.id)


def test_the_newest_saved_state_of_a_resource_is_found(any_database: Database) -> None:
    now = utc_now()
    with any_database.write() as uow:
        plan = uow.plans.add(rows.plan(resources=[rows.resource()]))
        kind, id = plan.resources[0].resource_type, plan.resources[0].resource_id
        for age, status, part, snapshot in (
            (3, "available", "available", "oldest"),
            (2, "available", "available", "wanted"),
            (1, "available", "error", "failed"),
            (0, "protecting", "available", "running"),
        ):
            saved = rows.checkpoint(plan, status=status, created_at=now - timedelta(hours=age))
            saved.resources[0].status, saved.resources[0].snapshot_id = part, snapshot
            uow.checkpoints.add(saved)
        assert uow.checkpoints.newest_snapshot(plan.id, kind, id) == "wanted"
        assert uow.checkpoints.newest_snapshot(plan.id, kind, new_id()) is None
        assert uow.checkpoints.newest_snapshot(new_id(), kind, id) is None


def statements(uow: UnitOfWork) -> list[str]:
    """What is sent from now on."""
    sent: list[str] = []
    event.listen(uow.session.connection(), "before_cursor_execute", lambda *call: sent.append(call[2]))
    return sent


def test_a_page_takes_the_same_number_of_statements_however_long_it_is(any_database: Database) -> None:
    with any_database.write() as uow:
        for _ in range(30):
            plan = uow.plans.add(rows.plan(resources=[rows.resource("a"), rows.resource("b")]))
            uow.checkpoints.add(rows.checkpoint(plan))
    with any_database.read() as uow:
        marker = uow.plans.page(Page(1))[0].id
    for noun in ("plans", "checkpoints"):
        with any_database.read() as uow:
            sent = statements(uow)
            found = getattr(uow, noun).page(Page(100))
            assert sum(len(entity.resources) for entity in found) == 60
            assert len(sent) == 2
    with any_database.read() as uow:
        sent = statements(uow)
        assert len(uow.plans.page(Page(100, marker))) == 29
        assert len(sent) <= 4


def test_a_living_instance_is_registered_once_and_again_after_its_deletion(any_database: Database) -> None:
    def instance(**values: object) -> Instance:
        same = {"project_id": PROJECT, "type": "directory", "host": "h", "identity_hash": "f" * 64}
        return Instance(**({"id": new_id(), "name": "home"} | same | values))

    with any_database.write() as uow:
        first = uow.instances.add(instance())
        uow.instances.add(instance(project_id=OTHER_PROJECT))
        uow.instances.add(instance(identity_hash=None))
        uow.instances.add(instance(identity_hash=None))
    with pytest.raises(IntegrityError), any_database.write() as uow:
        uow.instances.add(instance())
    with any_database.write() as uow:
        (found,) = uow.instances.by_identities(PROJECT, "h", ["f" * 64]).values()
        assert found.id == first.id
        (brief,) = uow.instances.by_identities(PROJECT, "h", ["f" * 64], brief=True).values()
        assert (brief.id, brief.type, brief.host) == (first.id, first.type, first.host)
        assert "properties" in vars(found) and "properties" not in vars(brief)
        (known,) = uow.instances.by_ids([first.id, "nothing"], PROJECT).values()
        seen = (known.id, known.type, known.host, known.properties)
        assert seen == (first.id, first.type, first.host, first.properties)
        assert uow.instances.by_ids([first.id], OTHER_PROJECT) == {}
        uow.instances.delete(uow.instances.get(found.id))
        second = uow.instances.add(instance())
    with any_database.write() as uow:
        uow.instances.delete(uow.instances.get(second.id))
        assert uow.instances.by_identities(PROJECT, "h", ["f" * 64]) == {}
        assert set(uow.instances.by_ids([first.id, second.id])) == set()


def test_a_daemon_has_one_row_with_a_heartbeat(any_database: Database) -> None:
    with any_database.write() as uow:
        service = uow.services.register("host", "protectd-worker", "topic")
        assert uow.services.register("host", "protectd-worker", "other").id == service.id
        assert uow.services.heartbeat(service.id, utc_now() + timedelta(seconds=5))
        assert not uow.services.heartbeat(service.id + 1, utc_now())
    with any_database.read() as uow:
        (found,) = uow.services.all()
        assert (found.report_count, found.topic) == (1, "other")
        assert isinstance(found, Service) and found.updated_at > found.created_at


def test_an_unknown_sort_key_or_marker_names_its_field(any_database: Database) -> None:
    with any_database.write() as uow:
        foreign = uow.plans.add(rows.plan(project_id=OTHER_PROJECT))
    with any_database.read() as uow:
        with pytest.raises(InvalidSortKey) as caught:
            uow.plans.page(Page(5, sort=(("parameters", "asc"),)))
        assert caught.value.facts["field"] == "sort"
        for marker in (new_id(), foreign.id):
            with pytest.raises(InvalidMarker) as unknown:
                uow.plans.page(Page(5, marker), PROJECT)
            assert unknown.value.facts["field"] == "marker"


SORTED = {
    "plans": rows.plan,
    "checkpoints": lambda: rows.checkpoint(rows.plan(id=new_id(), provider_id=new_id())),
    "restores": rows.restore,
    "verifications": rows.verification,
    "tasks": rows.task,
    "tokens": lambda: Token(id=new_id(), digest=new_id(), user_id="u", project_id=PROJECT),
    "instances": lambda: Instance(id=new_id(), project_id=PROJECT, type="directory", name="n"),
    "secrets": lambda: Secret(id=new_id(), project_id=PROJECT, store="s", key_id="k", cipher_text=b"c"),
}


@pytest.mark.parametrize("noun", sorted(SORTED))
def test_every_sort_key_of_every_list_sorts_and_pages(any_database: Database, noun: str) -> None:
    with any_database.write() as uow:
        repository = getattr(uow, noun)
        ids = {repository.add(SORTED[noun]()).id for _ in range(3)}
        for key in repository.sort_keys:
            first = repository.page(Page(2, sort=((key, "asc"),)), PROJECT)
            rest = repository.page(Page(2, first[-1].id, ((key, "asc"),)), PROJECT)
            assert {entity.id for entity in [*first, *rest]} == ids


TIMES = ("created_at datetime", "updated_at datetime", "deleted_at datetime null", "deleted boolean")
DOCUMENTED = {
    "plans": ("id 36", "name 255", "provider_id 36", "project_id 255", "status 64", *TIMES),
    "resources": ("id integer", "plan_id 255", "resource_id 36", "resource_type 64", *TIMES),
    "restores": (
        *("id 36", "project_id 255", "provider_id 36", "checkpoint_id 36", "restore_target 255"),
        *("parameters text", "status 64", *TIMES),
    ),
    "triggers": ("id 36", "name 255", "project_id 255", "type 64", "properties text", *TIMES),
    "scheduled_operations": (
        *("id 36", "name 255", "operation_type 64", "project_id 255", "trigger_id 36"),
        *("operation_definition text", *TIMES),
    ),
    "services": (
        *("id integer", "host 255", "binary 255", "topic 255", "report_count integer", "disabled boolean"),
        *("disabled_reason 255", "modified_at datetime", "rpc_current_version 36"),
        *("rpc_available_version 36", *TIMES),
    ),
}
"""Name and type, a number being the length of a text; what may be NULL says so."""

KINDS_OF_TYPES = {
    "integer": Integer,
    "boolean": (Boolean, Integer),
    "datetime": DateTime,
    "text": (Text, mysql.MEDIUMTEXT),
}


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_tables_are_as_the_contract_documents_them(any_database: Database, name: str) -> None:
    with any_database.read() as uow:
        told = inspect(uow.session.connection())
        found = {each["name"]: each for each in told.get_columns(name)}
        assert told.get_pk_constraint(name)["constrained_columns"] == ["id"]
    for documented in DOCUMENTED[name]:
        column, kind, *null = documented.split()
        assert found[column]["nullable"] == bool(null), column
        if kind.isdigit():
            assert found[column]["type"].length == int(kind), column
        else:
            assert isinstance(found[column]["type"], KINDS_OF_TYPES[kind]), column


def test_what_a_service_does_not_say_is_empty_and_reads_as_nothing(any_database: Database) -> None:
    with any_database.write() as uow:
        service = uow.services.register("host", "protectd-engine")
        uow.services.set_disabled(service, True, "moves", utc_now())
        uow.services.set_disabled(service, False, None, utc_now())
    with any_database.read() as uow:
        row = uow.session.execute(text("SELECT * FROM services")).mappings().one()
        assert (row["topic"], row["disabled_reason"], row["rpc_current_version"]) == ("", "", "")
        (found,) = uow.services.all()
        assert (found.topic, found.disabled_reason, found.rpc_current_version) == (None, None, None)


def test_columns_stand_as_the_contract_documents_them(any_database: Database) -> None:
    with any_database.write() as uow:
        plan = uow.plans.add(rows.plan(description=None))
        row = uow.session.execute(text("SELECT * FROM plans")).mappings().one()
        assert (row["id"], row["status"], bool(row["deleted"])) == (plan.id, "suspended", False)
        assert set(row) == {column.name for column in Plan.__table__.columns}


def test_a_secret_is_seen_by_whom_its_list_names_and_by_nobody_alike(any_database: Database) -> None:
    id = new_id()
    with any_database.write() as uow:
        uow.secrets.add(Secret(id=id, project_id="p", creator_id="c", store="s", key_id="", cipher_text=b""))
        uow.acls.put(id, "secret", project_access=False, users=["alice"])
    with any_database.read() as uow:
        seen = {name: uow.secrets.see(id, name, utc_now()) for name in ("alice", "alice ", "Alice", "")}
    assert [name for name, each in seen.items() if each.listed] == ["alice"]
    assert not any(each.open for each in seen.values())
