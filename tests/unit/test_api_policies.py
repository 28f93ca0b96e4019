"""What was decided holds for a moment, for just what it was decided about."""

from __future__ import annotations

from pathlib import Path

import pytest
from oslo_config import cfg

from protectd.api.policies import load
from protectd.api.policies.base import MEMORY_S, Policies
from protectd.common.context import RequestContext
from protectd.domain.key_manager.access import told
from protectd.model.models import Secret
from tests.fakes.clock import ManualClock

ASKS = RequestContext("req-1", "mine", "ada", ("member",))
ITS = Secret(project_id="mine", creator_id="bob")
READ = "secret:decrypt"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text("{}")
    return file


@pytest.fixture
def policies(file: Path, clock: ManualClock) -> Policies:
    told = file.with_name("protectd.conf")
    told.write_text(f"[oslo_policy]\npolicy_file = {file}\n")
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[str(told)])
    return load(conf, clock)


def test_a_decision_about_a_thing_holds_for_a_moment(
    policies: Policies, file: Path, clock: ManualClock
) -> None:
    assert policies.allows(READ, ASKS, told(ITS, True, False))
    file.write_text(f'"{READ}": "role:nobody"\n')
    assert policies.allows(READ, ASKS, told(ITS, True, False))
    clock.advance(MEMORY_S)
    assert not policies.allows(READ, ASKS, told(ITS, True, False))


def test_what_is_so_of_a_thing_now_is_decided_about_at_once(policies: Policies) -> None:
    """That it is open, who is listed, who made it and whose it is."""
    assert policies.allows(READ, ASKS, told(ITS, True, False))
    assert not policies.allows(READ, ASKS, told(ITS, False, False))
    assert policies.allows(READ, ASKS, told(ITS, False, True))
    assert policies.allows(READ, ASKS, told(Secret(project_id="mine", creator_id="ada"), False, False))
    assert not policies.allows(READ, ASKS, told(Secret(project_id="other", creator_id="bob"), True, False))


def test_who_asks_is_part_of_a_decision(policies: Policies) -> None:
    thing = told(ITS, True, False)
    assert policies.allows(READ, ASKS, thing)
    for other in (
        RequestContext("req-1", "mine", "ada", ()),
        RequestContext("req-1", "other", "ada", ("member",)),
    ):
        assert not policies.allows(READ, other, thing)
    assert policies.allows(READ, RequestContext("req-2", "mine", "bob", ("admin",)), told(ITS, False, False))
