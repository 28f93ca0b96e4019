"""Pictures show what entities show, on each database, and are no entities."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import event
from sqlalchemy.orm.exc import UnmappedInstanceError

from protectd.api.views import checkpoints as views
from protectd.model.models import Checkpoint, Plan
from protectd.model.repositories.base import InvalidMarker, Page
from protectd.model.repositories.plans import PlanNotFound
from protectd.model.unit_of_work import Database, UnitOfWork
from protectd.model.witness import Witness
from tests.fakes import rows
from tests.fakes.rows import OTHER_PROJECT, PROJECT

pytest_plugins = ["tests.fakes.databases"]


def plans(database: Database, count: int = 1) -> list[str]:
    with database.write() as uow:
        made = [
            uow.plans.add(
                rows.plan(
                    name=f"nächtlich {number}",
                    parameters={"directory": {"excludes": ["ü", None]}},
                    resources=[
                        rows.resource(f"{number}-{each}", position=9 - each) for each in range(number)
                    ],
                )
            )
            for number in range(count)
        ]
        return [plan.id for plan in made]


def values(plan: Plan) -> dict[str, object]:
    shown = {name: value for name, value in vars(plan).items() if not name.startswith("_")}
    return shown | {"resources": [values(each) for each in vars(plan).get("resources", [])]}  # type: ignore[arg-type]


def test_a_picture_has_every_value_and_child_that_the_entity_has(any_database: Database) -> None:
    ids = plans(any_database, 4)
    with any_database.write() as uow:
        changed = uow.plans.get(ids[3])
        uow.plans.replace_resources(changed, changed.resources[1:])
    with any_database.read() as uow:
        for id in ids:
            assert values(uow.plans.look(id, PROJECT)) == values(uow.plans.get(id, PROJECT))
        assert [values(each) for each in uow.plans.looks(Page(10))] == [
            values(each) for each in uow.plans.page(Page(10))
        ]
        assert uow.plans.looks(Page(10), OTHER_PROJECT) == []


def test_checkpoints_are_listed_without_what_could_not_be_read(any_database: Database) -> None:
    with any_database.write() as uow:
        for _ in range(3):
            uow.checkpoints.add(rows.checkpoint(rows.plan(resources=[rows.resource(n) for n in "ba"])))
    with any_database.read() as uow:
        found = uow.checkpoints.looks(Page(10), PROJECT)
        entities = {each.id: each for each in uow.checkpoints.page(Page(10), PROJECT)}
        assert [each.id for each in found] == list(entities)
        for picture in found:
            assert views.brief(picture) == views.brief(entities[picture.id])
            assert [each.resource_name for each in picture.resources] == ["b", "a"]
            with pytest.raises((AttributeError, UnmappedInstanceError)):
                picture.resources[0].issues  # noqa: B018


def test_a_picture_is_of_its_class_and_knows_its_methods(any_database: Database) -> None:
    (_, id) = plans(any_database, 2)
    with any_database.read() as uow:
        picture = uow.plans.look(id)
    assert isinstance(picture, Plan)
    assert picture.resources[0].summary()["name"] == "1-0"


def test_who_may_not_see_a_thing_gets_no_picture_of_it(any_database: Database) -> None:
    (id, gone) = plans(any_database, 2)
    with any_database.write() as uow:
        uow.plans.delete(uow.plans.get(gone))
    with any_database.read() as uow:
        for hidden, project in ((id, OTHER_PROJECT), (gone, PROJECT), (gone, None), ("nothing", None)):
            with pytest.raises(PlanNotFound) as caught:
                uow.plans.look(hidden, project)
            assert caught.value.facts == {"id": hidden}
        assert [plan.id for plan in uow.plans.looks(Page(10), PROJECT)] == [id]
        with pytest.raises(InvalidMarker):
            uow.plans.looks(Page(10, id), OTHER_PROJECT)


def test_a_picture_cannot_be_changed_kept_or_asked_for_what_it_does_not_show(any_database: Database) -> None:
    (id,) = plans(any_database)
    with any_database.write() as uow:
        picture = uow.plans.look(id)
        with pytest.raises((AttributeError, UnmappedInstanceError)):
            picture.name = "another"
        with pytest.raises(UnmappedInstanceError):
            uow.session.add(picture)
        del vars(picture)["parameters"]
        with pytest.raises((AttributeError, UnmappedInstanceError)):
            picture.parameters  # noqa: B018
    with any_database.read() as uow:
        assert uow.plans.get(id).name == "nächtlich 0"


def test_what_is_inserted_reads_back_as_if_it_had_been_added(any_database: Database) -> None:
    given = {"parameters": {"directory": {}}, "description": None}
    with any_database.write() as uow:
        inserted = uow.plans.insert(rows.plan(resources=[rows.resource(n) for n in "cab"], **given))
        assert uow.witness == Witness(Plan, inserted.id, None)
        bare = uow.plans.insert(rows.plan())
    with any_database.read() as uow:
        found = uow.plans.get(inserted.id)
        assert [each.resource_name for each in found.resources] == ["c", "a", "b"]
        kept = {name: value for name, value in values(found).items() if name != "resources"}
        assert kept == {name: getattr(inserted, name) for name in kept}
        assert (found.status, found.held, found.deleted) == ("suspended", False, False)
        assert uow.plans.get(bare.id).resources == []
    with any_database.write() as uow:
        changed = uow.plans.get(inserted.id)
        changed.name = "changed"
    with any_database.read() as uow:
        assert uow.plans.look(inserted.id).name == "changed"


def test_what_was_inserted_is_gone_when_the_unit_of_work_is_not_committed(any_database: Database) -> None:
    uow = any_database.begin(write=True)
    plan = uow.plans.insert(rows.plan(resources=[rows.resource()]))
    uow.close()
    with any_database.read() as uow, pytest.raises(PlanNotFound):
        uow.plans.look(plan.id)


def test_pictures_take_as_many_statements_for_many_as_for_two(any_database: Database) -> None:
    plans(any_database, 12)
    for limit in (2, 12):
        with any_database.read() as uow:
            sent = statements(uow)
            assert len(uow.plans.looks(Page(limit), PROJECT)) == limit
            assert len(sent) == 2
    with any_database.read() as uow:
        marker = uow.plans.looks(Page(2), PROJECT)[1].id
        sent = statements(uow)
        assert len(uow.plans.looks(Page(100, marker), PROJECT)) == 10
        assert len(sent) == 3


def test_a_plan_that_is_run_is_read_by_one_statement_with_what_a_checkpoint_takes(
    any_database: Database,
) -> None:
    ids = plans(any_database, 3)
    with any_database.write() as uow:
        uow.plans.replace_resources(changed := uow.plans.get(ids[2]), changed.resources[1:])
    for id in ids:
        with any_database.write() as uow:
            entity = uow.plans.get(id)
            sent = statements(uow)
            run = uow.plans.to_run(id, PROJECT)
            assert len(sent) == 1
            assert Checkpoint.of(run).plan_json == Checkpoint.of(entity).plan_json
            assert (run.id, run.name, run.project_id) == (entity.id, entity.name, entity.project_id)
            kept = [(each.key, each.resource_extra_info) for each in run.resources]
            assert kept == [(each.key, each.resource_extra_info) for each in entity.resources]


def test_a_plan_that_is_gone_or_anothers_is_not_run(any_database: Database) -> None:
    (id, gone) = plans(any_database, 2)
    with any_database.write() as uow:
        uow.plans.delete(uow.plans.get(gone))
    with any_database.write() as uow:
        for hidden, project in ((id, OTHER_PROJECT), (gone, PROJECT), (gone, None), ("nothing", None)):
            with pytest.raises(PlanNotFound):
                uow.plans.to_run(hidden, project)


def test_nobody_changes_a_plan_that_is_run(any_database: Database) -> None:
    (id,) = plans(any_database)
    with any_database.write() as uow:
        uow.plans.to_run(id)
        other = threading.Thread(target=_rename, args=[any_database, id])
        other.start()
        other.join(0.3)
        assert other.is_alive()
    other.join()
    with any_database.read() as uow:
        assert uow.plans.get(id).name == "renamed"


def _rename(database: Database, id: str) -> None:
    with database.write() as uow:
        uow.plans.get(id, lock=True).name = "renamed"


def test_what_is_null_is_not_sent(any_database: Database) -> None:
    with any_database.write() as uow:
        sent = statements(uow)
        uow.plans.insert_all([rows.plan(), rows.plan(description="said")])
        uow.plans.insert(rows.plan())
    assert ["description" in statement for statement in sent] == [True, False]


def statements(uow: UnitOfWork) -> list[str]:
    sent: list[str] = []
    event.listen(uow.session.connection(), "before_cursor_execute", lambda *call: sent.append(call[2]))
    return sent
