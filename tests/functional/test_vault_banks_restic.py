"""One vault on a server, two programs: what we save there restic reads, and what restic saves we read."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from protectd.common.reports import RestoreOptions
from protectd.plugin.banks.rest import RestBank
from protectd.plugin.banks.s3 import S3Bank
from protectd.plugin.banks.swift import SwiftBank
from protectd.plugin.base import BankPlugin
from protectd.plugin.wrappers.options import wrapped
from protectd.vault.engine import VaultEngine
from protectd.vault.options import EngineOptions
from protectd.vault.repository import Repository
from tests.fakes.engines import Rig
from tests.fakes.object_servers import Options
from tests.fakes.tree import build_hard_tree, differences, tree
from tests.fakes.vault_kit import PASSWORD, Restic

SERVERS: dict[str, tuple[type[BankPlugin], str]] = {
    "rest": (RestBank, "rest_server"),
    "s3": (S3Bank, "seaweedfs"),
    "swift": (SwiftBank, "swift"),
}


@pytest.fixture(scope="module")
def engine() -> Iterator[VaultEngine]:
    made = VaultEngine(EngineOptions(node="test", workers=2))
    yield made
    made.close()


@pytest.fixture(params=sorted(SERVERS))
def bank(request: pytest.FixtureRequest) -> BankPlugin:
    """A bank as a provider has it: in its wrappers, and reached from other processes."""
    plugin, server = SERVERS[request.param]
    options: Options = request.getfixturevalue(server)
    return wrapped(plugin.from_options(options), {}).section(f"vaults/{uuid.uuid4().hex}")


@pytest.fixture
def program(bank: BankPlugin, restic: str) -> Restic:
    environment = dict(bank.restic_environment())
    location = bank.location
    if location.startswith("rest:"):  # this version of restic knows credentials in the URL only
        user, password = environment["RESTIC_REST_USERNAME"], environment["RESTIC_REST_PASSWORD"]
        place = urlsplit(location.removeprefix("rest:"))
        location = f"rest:{place.scheme}://{user}:{password}@{place.netloc}{place.path}"
    return Restic(restic, location, environment=environment)


def test_restic_checks_and_restores_what_we_saved(
    bank: BankPlugin, engine: VaultEngine, program: Restic, tmp_path: Path
) -> None:
    bank.prepare()
    rig = Rig(engine, tmp_path, bank)
    build_hard_tree(rig.source)
    (rig.source / "links" / "odd target").unlink()  # this version of restic does not keep its bytes
    rig.file("large", os.urandom(20_000_000))
    first = rig.save()
    rig.file("added")
    saved = rig.save()
    assert first.issue_count == saved.issue_count == 0
    program.check()
    program("restore", saved.snapshot_id, "--target", str(tmp_path / "by-restic"))
    restored = tmp_path / "by-restic" / rig.source.relative_to("/")
    assert differences(tree(rig.source), tree(restored)) == []


def test_we_restore_what_we_saved(bank: BankPlugin, engine: VaultEngine, tmp_path: Path) -> None:
    bank.prepare()
    rig = Rig(engine, tmp_path, bank)
    build_hard_tree(rig.source)
    saved = rig.save()
    assert rig.restore(saved).issues == ()
    assert differences(tree(rig.source), tree(rig.top / "restored")) == []
    assert rig.session.check(None, read_data=True).ok
    assert rig.locks() == []


def test_we_read_what_restic_saved(
    bank: BankPlugin, engine: VaultEngine, program: Restic, tmp_path: Path
) -> None:
    bank.prepare()
    source = tmp_path / "source"
    source.mkdir()
    (source / "text").write_text("written by the one, read by the other")
    (source / "large").write_bytes(os.urandom(9_000_000))
    subprocess.run(["ln", "-s", "text", str(source / "link")], check=True)
    program("init")
    program("backup", str(source))
    repository = Repository.open(bank, PASSWORD)
    (snapshot,) = repository.snapshots()
    target = tmp_path / "restored"
    with engine.session(bank, repository.key) as session:
        assert session.check(None, read_data=True).ok
        report = session.restore_tree(
            snapshot.id,
            snapshot.tree,
            str(source),
            str(target),
            RestoreOptions(overwrite=False, trusted=True),
        )
    assert report.issues == ()
    assert differences(tree(source), tree(target)) == []
