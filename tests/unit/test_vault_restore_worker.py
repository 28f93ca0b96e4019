"""What a worker of a restore holds while it works."""

from __future__ import annotations

import tracemalloc
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from protectd.vault.attributes import Policy
from protectd.vault.crew import Crew
from protectd.vault.digests import GROUP_BYTES
from protectd.vault.pack import DATA
from protectd.vault.pool import ThreadPool
from protectd.vault.restore_worker import Blob, FileLocks, RestoreJob, RestoreReply, RestoreWorker, WholeFile
from protectd.vault.shared import CancelFlag
from protectd.vault.target import Target
from tests.fakes.vault_kit import file_of, new_vault, store_pack


@pytest.mark.parametrize("verify", [True, False])
def test_large_blobs_take_the_memory_of_one(tmp_path: Path, verify: bool) -> None:
    size = 2 * GROUP_BYTES
    plains = {b"%d" % number: bytes([number]) * size for number in range(4)}
    vault = new_vault()
    pack_id = store_pack(vault, [(DATA, plain) for plain in plains.values()])
    blobs = [
        tuple(Blob(entry.id, entry.offset, entry.length, entry.plain_length, [(number, 0)]))
        for number, entry in enumerate(vault.load_index().packs()[pack_id])
    ]
    status = tmp_path.stat()
    wanted = Policy(False, status.st_uid, status.st_gid).wanted(file_of(b""))
    files = {number: tuple(WholeFile(b"", name, wanted)) for number, name in enumerate(plains)}
    with ExitStack() as stack:
        target = stack.enter_context(closing(Target.prepare(str(tmp_path / "restored"), overwrite=False)))
        cancel = stack.enter_context(closing(CancelFlag.create()))
        locks = stack.enter_context(closing(FileLocks.create()))
        role = RestoreWorker(
            vault.bank, vault.key, target.path, target.identity, False, verify, locks.path, cancel.path
        )
        crew = stack.enter_context(Crew(ThreadPool(), [role], cancel))
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        crew.give(RestoreJob(pack_id, blobs, files), None)
        ((_, reply),) = crew.replies(60)
        _, peak = tracemalloc.get_traced_memory()
        list(crew.finish())
    assert reply == RestoreReply([], [], [], 4 * size)
    assert {path.name.encode(): path.read_bytes() for path in (tmp_path / "restored").iterdir()} == plains
    assert peak < 1.5 * size
