"""One worker of a backup: what it replies of small files and of large ones."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing import Pipe
from pathlib import Path

import pytest

from protectd.common.units import KIB
from protectd.plugin.banks.memory import MemoryBank
from protectd.vault.options import EngineOptions
from protectd.vault.pool import ThreadPool
from protectd.vault.save_worker import NO_ID, SaveJob, SaveReply, SaveWorker
from protectd.vault.seen_files import changed, pack_state
from protectd.vault.storing import Storing
from tests.fakes.vault_kit import new_vault


@pytest.fixture
def worker() -> Iterator[SaveWorker]:
    options = EngineOptions(node="test", workers=1)
    repository = new_vault(MemoryBank())
    with ExitStack() as stack:
        storing = Storing(repository, options, repository.load_index(), stack)
        yield SaveWorker(storing.roles()[0], seed=1)


def replies(worker: SaveWorker, *jobs: SaveJob) -> list[SaveReply]:
    ours, theirs = Pipe()
    for job in (*jobs, None):
        ours.send(job)
    worker.run(theirs, ThreadPool())
    return [ours.recv()[1] for _ in jobs]


def job(*paths: Path) -> SaveJob:
    return SaveJob(b"\0".join(map(os.fsencode, paths)), b"".join(pack_state(path.lstat()) for path in paths))


def blob_id(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def test_small_files_come_back_by_their_ids_alone(worker: SaveWorker, tmp_path: Path) -> None:
    one, two, same = (tmp_path / name for name in ("one", "two", "same"))
    for path, content in ((one, b"1"), (two, b"22"), (same, b"1")):
        path.write_bytes(content)
    (reply,) = replies(worker, job(one, two, same))
    assert reply.ids == blob_id(b"1") + blob_id(b"22") + blob_id(b"1")
    assert (reply.others, reply.new_blobs) == ([], 2)


def test_files_that_are_not_as_they_were_seen_come_back_by_themselves(
    worker: SaveWorker, tmp_path: Path
) -> None:
    paths = [tmp_path / name for name in ("before", "changed", "emptied", "gone", "after")]
    for path in paths:
        path.write_text(path.name)
    seen = job(*paths)
    paths[1].write_text("change!")
    paths[2].write_text("")
    paths[3].unlink()
    (reply,) = replies(worker, seen)
    assert reply.ids == blob_id(b"before") + 3 * NO_ID + blob_id(b"after")
    assert reply.others[:2] == [(1, changed(7, blob_id(b"change!"))), (2, changed(0))]
    assert (reply.others[2][0], reply.others[2][1][2], reply.new_blobs) == (3, "vanished", 3)


def test_a_stretch_of_a_large_file_has_its_blobs_in_its_result(worker: SaveWorker, tmp_path: Path) -> None:
    path = tmp_path / "large"
    content = os.urandom(600 * KIB)
    path.write_bytes(content)
    part = 100 * KIB
    (reply,) = replies(worker, job(path)._replace(stretch=(0, part, False)))
    assert (reply.ids, reply.others) == (b"", [(0, (blob_id(content[:part]), part, None, ""))])


def sparse_file(path: Path, data_bytes: int, hole_bytes: int, count: int) -> bytes:
    """Random bytes and a hole in turn; the whole content."""
    parts = [os.urandom(data_bytes) + bytes(hole_bytes) for _ in range(count)]
    with path.open("wb") as file:
        for part in parts:
            file.write(part[:data_bytes])
            file.seek(hole_bytes, os.SEEK_CUR)
        file.truncate(file.tell())
    return b"".join(parts)


def blobs_of(worker: SaveWorker, path: Path, *, sparse: bool) -> list[bytes]:
    (reply,) = replies(worker, job(path)._replace(stretch=(0, path.stat().st_size, sparse)))
    ((_, (ids, read_bytes, trouble, _)),) = reply.others
    assert (read_bytes, trouble) == (path.stat().st_size, None)
    return [ids[start : start + 32] for start in range(0, len(ids), 32)]


def test_short_holes_are_cut_with_the_data_around_them(worker: SaveWorker, tmp_path: Path) -> None:
    content = sparse_file(tmp_path / "sparse", 4 * KIB, 4 * KIB, 64)
    assert blobs_of(worker, tmp_path / "sparse", sparse=True) == [blob_id(content)]


def test_long_holes_are_blobs_of_zeros_between_data(worker: SaveWorker, tmp_path: Path) -> None:
    content = sparse_file(tmp_path / "sparse", 64 * KIB, 516 * KIB, 2)
    first, second = content[: 64 * KIB], content[580 * KIB : 644 * KIB]
    assert blobs_of(worker, tmp_path / "sparse", sparse=True) == [
        blob_id(part) for data in (first, second) for part in (data, bytes(512 * KIB), bytes(4 * KIB))
    ]
