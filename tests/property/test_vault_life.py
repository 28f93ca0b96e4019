"""Whatever a vault goes through, what its snapshots need is there and what they do not need comes back."""

from __future__ import annotations

import hashlib

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from protectd.vault.check import check
from protectd.vault.forget import forget
from protectd.vault.index import encode_index
from protectd.vault.pack import DATA, TREE
from protectd.vault.prune import prune
from protectd.vault.repository import INDEX, BlobReader
from protectd.vault.tree import decode_tree
from tests.fakes.faults import FaultyBank, Killed, killed_after
from tests.fakes.vault_kit import blob_id, data_bytes, new_vault, save_files, store_pack


def _text(number: int) -> bytes:
    return hashlib.shake_128(bytes([number])).digest(700)


class Life(RuleBasedStateMachine):
    """Saves, forgets, prunes and crashes in any order, beside a dictionary of what must be there."""

    snapshots = Bundle("snapshots")

    def __init__(self) -> None:
        super().__init__()
        self.bank = FaultyBank()
        self.vault = new_vault(self.bank)
        self.wanted: dict[str, dict[bytes, bytes]] = {}

    @rule(target=snapshots, numbers=st.sets(st.integers(0, 12), max_size=8), again=st.booleans())
    def save(self, numbers: set[int], again: bool) -> str:
        """`again` stores blobs although they are there, as two writers that run at once do."""
        files = {b"%02d" % number: _text(number) for number in numbers}
        index = self.vault.load_index()
        known = [text for text in files.values() if (DATA, blob_id(text)) in index and not again]
        snapshot = save_files(self.vault, files, known=known)
        self.wanted[snapshot] = files
        return snapshot

    @rule(snapshot=consumes(snapshots))
    def forget(self, snapshot: str) -> None:
        assert forget(self.vault, [snapshot]) == 1
        del self.wanted[snapshot]

    @rule(number=st.integers(20, 30), indexed=st.booleans())
    def crash_while_saving(self, number: int, indexed: bool) -> None:
        store_pack(self.vault, [(DATA, _text(number))], indexed=indexed)

    @rule()
    def index_everything_twice(self) -> None:
        for json in encode_index(self.vault.load_index().packs()):
            self.vault.save_unpacked(INDEX, json)

    @rule(changes=st.integers(0, 12))
    def prune_and_die(self, changes: int) -> None:
        self.bank.fault = killed_after(changes)
        try:
            prune(self.vault, pack_bytes=4000)
        except Killed:
            pass
        finally:
            self.bank.fault = lambda call, key: None

    @rule()
    def prune(self) -> None:
        before = data_bytes(self.vault)
        report = prune(self.vault, pack_bytes=4000)
        assert before - data_bytes(self.vault) == report.freed_bytes
        assert data_bytes(self.vault) == report.kept_bytes
        needed = {blob_id(text) for files in self.wanted.values() for text in files.values()}
        index = self.vault.load_index()
        assert {entry.id for _, entry in index if entry.kind == DATA} == needed
        assert len(index.known(DATA)) == len(needed)
        assert not check(self.vault).hints

    @invariant()
    def everything_wanted_is_there(self) -> None:
        report = check(self.vault, read_data=True)
        assert report.ok, report.errors
        reader = BlobReader(self.vault, self.vault.load_index())
        assert {snapshot.id for snapshot in self.vault.snapshots()} == self.wanted.keys()
        for snapshot in self.vault.snapshots():
            nodes = decode_tree(reader.load(TREE, snapshot.tree_id))
            found = {
                node.name: b"".join(reader.load(DATA, each) for each in node.content or ()) for node in nodes
            }
            assert found == self.wanted[snapshot.id]


Life.TestCase.settings = settings(max_examples=25, stateful_step_count=14, deadline=None)
test_a_vault_keeps_what_is_needed_and_gives_back_the_rest = Life.TestCase
