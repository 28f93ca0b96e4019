"""What is noted of secrets that were read, and whether a change of it is found out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protectd.common.clock import SystemClock
from protectd.common.context import RequestContext
from protectd.domain.audit import Audit, AuditOptions, AuditUnavailable, Proof, verify
from protectd.model.unit_of_work import Database
from tests.fakes.daemons import manage
from tests.fakes.service import running
from tests.functional.test_commands import config, run
from tests.functional.test_key_manager_secrets import payload, text

pytest_plugins = ["tests.fakes.databases"]

CONTEXT = RequestContext("req-1", "project", "user", ("member",))


class Rig:
    def __init__(self, database: Database, place: Path) -> None:
        self.database, self.place = database, place

    def audit(self, **options: Any) -> Audit:
        chosen = {"group_s": 0.01, "anchor_s": 0.05} | options
        return Audit(self.database, SystemClock(), "here", AuditOptions(self.place, **chosen))

    def fill(self, events: int = 20) -> Path:
        audit = self.audit()
        for number in range(events):
            audit.note("secret.read", CONTEXT, "192.0.2.1", secret_id=f"secret {number}")
        audit.close()
        [file] = self.place.iterdir()
        return file

    def proofs(self) -> list[Proof]:
        with self.database.read() as uow:
            return list(verify(self.place, uow.audit_anchors.all()))

    def states(self) -> list[str]:
        return [proof.state for proof in self.proofs()]


@pytest.fixture
def rig(any_database: Database, tmp_path: Path) -> Iterator[Rig]:
    yield Rig(any_database, tmp_path / "audit")


def test_events_are_written_in_order_and_proven(rig: Rig) -> None:
    file = rig.fill()
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert [event["event"] for event in events] == ["begin", *["secret.read"] * 20, "end"]
    told = {"user_id": "user", "project_id": "project", "address": "192.0.2.1", "request_id": "req-1"}
    assert events[1].items() >= (told | {"secret_id": "secret 0"}).items()
    assert file.stat().st_mode & 0o777 == 0o600 and rig.place.stat().st_mode & 0o777 == 0o700
    [proof] = rig.proofs()
    assert (proof.state, proof.events) == ("whole", 22)


@pytest.mark.parametrize("number", [0, 1, 10, 21])
def test_a_changed_event_is_found(rig: Rig, number: int) -> None:
    file = rig.fill()
    lines = file.read_bytes().splitlines(keepends=True)
    lines[number] = lines[number].replace(b"e", b"f", 1)
    file.write_bytes(b"".join(lines))
    assert rig.states() == ["broken"]


@pytest.mark.parametrize("number", [0, 5, 21])
def test_a_removed_event_is_found(rig: Rig, number: int) -> None:
    file = rig.fill()
    lines = file.read_bytes().splitlines(keepends=True)
    del lines[number]
    file.write_bytes(b"".join(lines))
    assert rig.states() in (["broken"], ["cut"])


@pytest.mark.parametrize("kept", [0, 1, 10, 21])
def test_a_cut_tail_is_found(rig: Rig, kept: int) -> None:
    file = rig.fill()
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:kept]))
    assert rig.states() == ["cut"]


def test_a_chain_that_was_written_anew_is_found(rig: Rig) -> None:
    file = rig.fill()
    other = Rig(rig.database, rig.place.with_name("other"))
    forged = other.audit(anchor_s=1000)
    for number in range(20):
        forged.note("secret.read", CONTEXT, "192.0.2.1", secret_id=f"other {number}")
    forged.close()
    [text] = [each.read_bytes() for each in other.place.iterdir()]
    file.write_bytes(text)
    assert "broken" in rig.states()


def test_a_removed_chain_is_found(rig: Rig) -> None:
    rig.fill().unlink()
    assert rig.states() == ["missing"]


def test_a_process_that_was_killed_leaves_an_open_chain(rig: Rig) -> None:
    file = rig.fill()
    with rig.database.write() as uow:
        [anchor] = uow.audit_anchors.all()
        anchor.count, anchor.ended = 10, False
        anchor.head = json.loads(file.read_text().splitlines()[9])["hash"]
    torn = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(torn[:15]) + torn[15][:20])
    [proof] = rig.proofs()
    assert (proof.state, proof.events, proof.ok) == ("open", 15, True)


def test_a_log_that_cannot_be_written_refuses_until_it_can(rig: Rig) -> None:
    rig.place.write_text("in the way")
    audit = rig.audit()
    audit.note("secret.read", CONTEXT, "", secret_id="first")
    refused = False
    for _ in range(2000):
        try:
            audit.note("secret.read", CONTEXT, "", secret_id="more")
        except AuditUnavailable:
            refused = True
            break
    assert refused or _refused_soon(audit)
    rig.place.unlink()
    audit.close()
    [file] = rig.place.iterdir()
    assert "first" in file.read_text()
    assert rig.states() == ["whole"]


def _refused_soon(audit: Audit) -> bool:
    for _ in range(500):
        SystemClock().sleep(0.01)
        try:
            audit.note("secret.read", CONTEXT, "", secret_id="more")
        except AuditUnavailable:
            return True
    return False


def test_a_chain_whose_writer_has_ended_takes_nothing_more(rig: Rig) -> None:
    audit = rig.audit()
    audit.note("secret.read", CONTEXT, "", secret_id="first")
    chain = audit._chain
    audit.close()
    assert chain is not None
    with pytest.raises(AuditUnavailable):
        chain.add({"event": "secret.read"})


def test_a_forked_process_has_a_chain_of_its_own(rig: Rig) -> None:
    audit = rig.audit()
    audit.note("secret.read", CONTEXT, "", secret_id="parent")
    child = os.fork()
    if child == 0:
        try:
            rig.database.dispose()
            audit.note("secret.read", CONTEXT, "", secret_id="child")
            audit.close()
            os._exit(0)
        finally:
            os._exit(1)  # whatever happens, no second process goes on with the tests
    assert os.waitpid(child, 0)[1] == 0
    audit.close()
    assert rig.states() == ["whole", "whole"]


def test_each_read_of_a_payload_is_noted_and_nothing_else(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        member, stranger = service.client(), service.client()
        path = text(member, "correct horse")
        member.get(path)
        payload(member, path)
        payload(stranger, path, status=403)
        payload(member, path, "image/png", status=406)
        service.parts.audit.close()
        [file] = (tmp_path / "state" / "audit").iterdir()
        events = [json.loads(line) for line in file.read_text().splitlines()]
    [read] = [event for event in events if event["event"] == "secret.read"]
    assert path.endswith(read["secret_id"]) and read["project_id"] == member.project_id
    assert read["request_id"].startswith("req-") and "correct horse" not in file.read_text()


def test_an_operator_verifies(tmp_path: Path, chosen_url: str) -> None:
    options = ("--config-file", str(config(tmp_path, "[audit]\nanchor_s = 1\n", chosen_url)))
    rig = Rig(Database(chosen_url), tmp_path / "state" / "audit")
    file = rig.fill()
    [proof] = manage(*options, "audit", "verify")
    assert (proof["state"], proof["events"]) == ("whole", 22)
    file.write_bytes(file.read_bytes()[:-300])
    done = run("manage", *options, "audit", "verify")
    assert done.returncode == 1 and json.loads(done.stdout)[0]["state"] == "cut"
