"""Operations on vaults that restic wrote, judged by restic."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from protectd.common.progress import Progress
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.vault.diff import DiffTotals
from protectd.vault.engine import VaultEngine, VaultSession
from protectd.vault.options import EngineOptions
from protectd.vault.pack_share import PackShare
from protectd.vault.repository import Repository
from tests.fakes.servers import need_program
from tests.fakes.tree import build_hard_tree, differences, tree
from tests.fakes.vault_kit import PASSWORD, Restic, file_vault

THEIRS = "restic's own password"


@dataclass
class Rig:
    """A repository of restic's with two snapshots of one directory, and the state of the second one."""

    top: Path
    source: Path
    program: str
    engine: VaultEngine

    @property
    def restic(self) -> Restic:
        return Restic(self.program, self.top / "theirs", THEIRS)

    def open(self, name: str = "theirs", password: str = THEIRS) -> tuple[Repository, VaultSession]:
        bank = FilesystemBank.from_options({"path": str(self.top / name)})
        repository = Repository.open(bank, password)
        with self.engine.session(bank, repository.key) as session:
            return repository, session

    def restored(self, restic: Restic, snapshot_id: str, name: str) -> Path:
        restic("restore", snapshot_id, "--target", str(self.top / name))
        return Path(f"{self.top}/{name}{self.source}")


@pytest.fixture(scope="module")
def engine() -> Iterator[VaultEngine]:
    made = VaultEngine(EngineOptions(node="test", workers=2, pack_bytes=4 << 20))
    yield made
    made.close()


@pytest.fixture(scope="module")
def written(engine: VaultEngine, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    top = tmp_path_factory.mktemp("written")
    made = Rig(top, top / "source", need_program("restic"), engine)
    build_hard_tree(made.source)
    (made.source / "links/odd target").unlink()  # this version of restic does not keep its bytes
    (made.source / "large").write_bytes(os.urandom(9_000_000))
    for number in range(300):
        (made.source / f"small {number}").write_bytes(b"%d" % number * 50)
    made.restic("init")
    made.restic("backup", str(made.source), "--tag", "first,kept")
    (made.source / "small 7").write_bytes(b"changed")
    (made.source / "small 8").unlink()
    (made.source / "added").mkdir()
    (made.source / "added/file").write_bytes(b"added")
    os.chmod(made.source / "small 9", 0o600)
    made.restic("backup", str(made.source), "--tag", "second", "--exclude", "nothing")
    return made


@pytest.fixture
def rig(written: Rig, tmp_path: Path) -> Rig:
    """A repository of its own for each test; nobody writes to the source."""
    shutil.copytree(written.top / "theirs", tmp_path / "theirs")
    return replace(written, top=tmp_path)


# --- copy ---


def test_a_copy_of_restics_vault_is_one_that_restic_reads(rig: Rig) -> None:
    target = file_vault(rig.top / "ours")
    _, session = rig.open()
    with rig.engine.session(target.bank, target.key) as ours:
        report = session.copy(ours)
    assert report.ok and len(report.copied) == 2
    program = Restic(rig.program, rig.top / "ours")
    program.check()
    restored = rig.restored(program, report.copied[1][1], "restored")
    assert differences(tree(rig.source), tree(restored)) == []
    theirs, ours_told = (json.loads(each("snapshots", "--json")) for each in (rig.restic, program))
    for before, after in zip(theirs, ours_told, strict=True):
        assert after["original"] == before["id"]
        kept = {key: value for key, value in before.items() if key not in ("id", "short_id", "parent")}
        assert {key: after[key] for key in kept} == kept


def test_restic_finds_our_copy_and_we_find_restics(rig: Rig) -> None:
    target = file_vault(rig.top / "ours")
    _, session = rig.open()
    password = rig.top / "password"
    password.write_text(PASSWORD)
    second = ["--repo2", str(rig.top / "ours"), "--password-file2", str(password)]
    with rig.engine.session(target.bank, target.key) as ours:
        first = session.copy(ours, [session.snapshots()[0].id])
        assert len(first.copied) == 1
        assert "was already copied" in rig.restic("copy", *second)
        again = session.copy(ours)
        assert (again.copied, len(again.present), again.blobs) == ((), 2, 0)
    Restic(rig.program, rig.top / "ours").check()


def test_a_copy_into_a_vault_of_restics_shares_what_is_there(rig: Rig) -> None:
    other = Restic(rig.program, rig.top / "other", PASSWORD)
    other("init")
    other("backup", str(rig.source / "large"))
    _, session = rig.open()
    _, theirs = rig.open("other", PASSWORD)
    report = session.copy(theirs)
    total = json.loads(rig.restic("stats", "--mode", "raw-data", "--json"))["total_size"]
    assert report.ok and len(theirs.snapshots()) == 3
    # Two repositories of restic's cut a large file at different places, so it is stored twice here.
    assert 0 < report.copied_bytes <= total
    other.check()
    restored = rig.restored(other, report.copied[1][1], "restored")
    assert differences(tree(rig.source), tree(restored)) == []


# --- repair index ---


@pytest.mark.parametrize("which", ["all", "one", "damaged"])
@pytest.mark.parametrize("read_all", [False, True])
def test_an_index_made_anew_is_one_that_restic_believes(rig: Rig, which: str, read_all: bool) -> None:
    files = sorted((rig.top / "theirs/index").iterdir())
    for path in files if which == "all" else files[:1]:
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-1]) if which == "damaged" else path.unlink()
    _, session = rig.open()
    report = session.repair_index(read_all=read_all)
    assert report.ok and report.written_files >= 1
    rig.restic.check()
    assert differences(tree(rig.source), tree(rig.restored(rig.restic, "latest", "restored"))) == []
    assert session.check(None, read_data=True).ok


def test_restic_makes_the_same_index_of_our_packs(rig: Rig) -> None:
    repository, session = rig.open()
    session.repair_index(read_all=True)
    ours = repository.load_index().packs()
    rig.restic("rebuild-index", "--read-all-packs")
    assert repository.load_index().packs() == ours


# --- looking ---


def test_a_list_and_a_file_are_what_restic_says(rig: Rig) -> None:
    _, session = rig.open()
    with session.reading() as looking:
        snapshot = looking.snapshots()[-1]
        ours = [os.fsdecode(entry.path) for entry in looking.list(snapshot, b"/", recursive=True)]
        pieces: list[bytes] = []
        assert looking.cat(snapshot, b"large", pieces.append) == 9_000_000
    theirs = [json.loads(line)["path"] for line in rig.restic("ls", "--json", snapshot.id).splitlines()[1:]]
    assert len(ours) == len(theirs) > 300
    assert list(filter(str.isascii, ours)) == list(filter(str.isascii, theirs))
    environment = os.environ | {"RESTIC_REPOSITORY": str(rig.top / "theirs"), "RESTIC_PASSWORD": THEIRS}
    command = [rig.program, "--no-cache", "dump", snapshot.id, str(rig.source / "large")]
    dumped = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert b"".join(pieces) == dumped.stdout == (rig.source / "large").read_bytes()


def test_a_comparison_is_the_one_that_restic_makes(rig: Rig) -> None:
    _, session = rig.open()
    totals = DiffTotals()
    with session.reading() as looking:
        first, second = looking.snapshots()
        found = set()
        for change in looking.diff(first, second):
            totals.add(change)
            found.add((change.kind, os.path.basename(change.path)))
    assert found == {
        ("changed", b"small 7"), ("removed", b"small 8"), ("added", b"added"), ("added", b"file"),
        ("metadata", b"small 9"), ("metadata", b"source"),
    }  # fmt: skip
    theirs = rig.restic("diff", "--metadata", first.id, second.id)
    for sign, name in (("M", "small 7"), ("-", "small 8"), ("+", "added/file"), ("U", "small 9")):
        assert any(line.startswith(sign) and line.endswith(name) for line in theirs.splitlines()), theirs


def test_what_it_takes_is_what_restic_counts(rig: Rig) -> None:
    _, session = rig.open()
    stats = session.stats()
    raw = json.loads(rig.restic("stats", "--mode", "raw-data", "--json"))
    files = json.loads(rig.restic("stats", "--mode", "files-by-contents", "--json"))
    assert (stats.needed_bytes, stats.blobs) == (raw["total_size"], raw["total_blob_count"])
    assert stats.snapshots == 2 and files["total_size"] <= stats.logical_bytes
    packs = list((rig.top / "theirs/data").glob("*/*"))
    assert stats.stored_bytes == sum(path.stat().st_size for path in packs) and stats.packs == len(packs)
    rig.restic("forget", stats.checkpoints[0].name)
    rig.restic("prune", "--max-unused", "0")
    assert session.stats().needed_bytes == stats.needed_bytes - stats.checkpoints[0].unique_bytes


def test_a_share_of_the_packs_is_the_one_that_restic_reads(rig: Rig) -> None:
    shutil.rmtree(rig.top / "theirs")
    file_vault(rig.top / "theirs")
    repository, session = rig.open("theirs", PASSWORD)
    session.save_tree(str(rig.source), tags=["protectd:test=1"], progress=Progress())
    bad = repository.load_index().pack_ids[0]
    path = rig.top / f"theirs/data/{bad.hex()[:2]}/{bad.hex()}"
    raw = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(raw[:100] + bytes([raw[100] ^ 1]) + raw[101:])
    restic = Restic(rig.program, rig.top / "theirs")
    theirs = [restic.run("check", f"--read-data-subset={number}/3").returncode == 0 for number in (1, 2, 3)]
    shares = [PackShare.nth(number, 3) for number in (1, 2, 3)]
    ours = [session.check(None, read_data=True, share=share).ok for share in shares]
    assert ours == theirs == [bad not in share for share in shares]
