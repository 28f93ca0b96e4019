"""The handler that moves rows and touches nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from protectd.queue.contract import METHODS
from protectd.tasks.noop import NoopHandler
from tests.fakes.service import FILES_ID, Service, run_body, running


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The noop handler, run at once."""
    with running(tmp_path_factory.mktemp("noop"), mode="direct", handler="noop") as made:
        yield made


def test_there_is_a_simulation_of_each_operation(simulated):
    operations = NoopHandler().operations(simulated.parts.env)
    assert operations.keys() == METHODS.keys()
    assert all(make().simulated for make in operations.values())


def test_a_checkpoint_ends_as_simulated_and_its_bank_is_untouched(simulated, tmp_path):
    member = simulated.client()
    plan = member.plan(simulated.directory("plain"), FILES_ID)
    made = member.checkpoint(plan)
    assert (made["status"], made["simulated"]) == ("available", True)
    assert [each["status"] for each in made["resources"]] == ["available"]
    assert list(_bank(simulated).rglob("*")) == []


def test_what_follows_a_checkpoint_can_be_simulated_too(simulated):
    member = simulated.client()
    checkpoint = member.checkpoint(member.plan(simulated.directory("whole"), FILES_ID))
    restore = member.restore(checkpoint)["restore"]
    assert (restore["status"], restore["simulated"]) == ("success", True)
    path = f"providers/{FILES_ID}/checkpoints/{checkpoint['id']}"
    asked = {"verification": run_body(checkpoint, depth="restore")}
    verification = member.post("verifications", asked, 202)["verification"]
    assert (verification["status"], verification["simulated"]) == ("success", True)
    with simulated.parts.database.read() as uow:
        assert uow.verifications.proofs([checkpoint["id"]]) == {}
    shown = member.get(path)["checkpoint"]
    assert (shown["verified_depth"], shown["proven_depth"]) == (None, None)
    member.call("DELETE", path)
    assert member.ended(path, "checkpoint")["status"] == "deleted"
    assert list(_bank(simulated).rglob("*")) == []


def _bank(service: Service) -> Path:
    return service.allowed.parent / "bank"
