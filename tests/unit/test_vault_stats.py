"""What a vault takes: against a count by hand, blob by blob."""

from __future__ import annotations

import random

import pytest

from protectd.common.errors import Cancelled
from protectd.common.progress import Counts, Progress
from protectd.common.reports import CheckpointStats
from protectd.vault.errors import FormatError
from protectd.vault.pack import DATA, TREE, pack_key
from protectd.vault.references import tree_references
from protectd.vault.repository import BlobReader, Repository
from protectd.vault.snapshot import Snapshot
from protectd.vault.stats import vault_stats
from protectd.vault.tree import EMPTY_TREE, decode_tree
from protectd.vault.tree_graph import TreeGraph
from tests.fakes.faults import FaultyBank
from tests.fakes.vault_kit import blob_id, directory_of, file_of, new_vault, save_root, store_pack, tree_of
from tests.fakes.vault_trees import save_nested


@pytest.fixture
def bank() -> FaultyBank:
    return FaultyBank()


@pytest.fixture
def vault(bank: FaultyBank) -> Repository:
    return new_vault(bank)


Key = tuple[str, bytes]


def needed(vault: Repository, *snapshots: Snapshot) -> set[Key]:
    """Every blob that they lead to, one by one."""
    reader = BlobReader(vault, vault.load_index())
    found: set[Key] = set()
    waiting = [snapshot.tree_id for snapshot in snapshots]
    while waiting:
        tree_id = waiting.pop()
        found.add((TREE, tree_id))
        for node in decode_tree(reader.load(TREE, tree_id)):
            found |= {(DATA, each) for each in node.content or ()}
            if node.subtree is not None:
                waiting.append(node.subtree)
    return found


def stored_bytes(vault: Repository, keys: set[Key]) -> int:
    index = vault.load_index()
    return sum(found[1].length for key in keys if (found := index.lookup(*key)))


def by_name(vault: Repository) -> dict[str, CheckpointStats]:
    return {each.name: each for each in vault_stats(vault).checkpoints}


def test_an_empty_vault_takes_nothing(vault: Repository) -> None:
    stats = vault_stats(vault)
    assert (stats.snapshots, stats.packs, stats.blobs, stats.stored_bytes) == (0, 0, 0, 0)
    assert stats.checkpoints == stats.errors == ()


def test_one_checkpoint_has_everything_for_itself(vault: Repository) -> None:
    content = {b"a": b"text" * 100, b"b": b"text" * 100, b"dir": {b"c": (b"one", b"two"), b"empty": b""}}
    snapshot = save_nested(vault, content, tags=("protectd:checkpoint=c1",))
    stats = vault_stats(vault)
    (of_checkpoint,) = stats.checkpoints
    assert (of_checkpoint.name, of_checkpoint.is_checkpoint) == ("c1", True)
    assert of_checkpoint.snapshot_ids == (snapshot.id,)
    assert (of_checkpoint.files, of_checkpoint.logical_bytes) == (4, 806)
    assert (
        of_checkpoint.stored_bytes
        == of_checkpoint.unique_bytes
        == stored_bytes(vault, needed(vault, snapshot))
    )
    assert of_checkpoint.shared_bytes == stats.shared_bytes == stats.unneeded_bytes == 0
    assert stats.stored_bytes == sum(item.size for item in vault.bank.list("data"))
    assert stats.plain_bytes == 406 + sum(
        len(BlobReader(vault, vault.load_index()).load(*key))
        for key in needed(vault, snapshot)
        if key[0] == TREE
    )


def test_a_tree_under_several_names_is_counted_for_each(vault: Repository) -> None:
    inner = {b"f": b"12345", b"deep": {b"g": b"1"}}
    save_nested(vault, {b"one": inner, b"two": inner, b"three": {b"again": inner}})
    (snapshot,) = vault_stats(vault).checkpoints
    assert (snapshot.files, snapshot.logical_bytes) == (6, 18)
    assert not snapshot.is_checkpoint


def test_what_several_checkpoints_need_is_shared(vault: Repository) -> None:
    both, mine, yours = {b"s": b"shared" * 50}, b"mine" * 30, b"yours" * 20
    one = save_nested(vault, {b"both": both, b"f": mine}, tags=("protectd:checkpoint=c1",))
    two = save_nested(vault, {b"both": both, b"f": yours}, tags=("protectd:checkpoint=c2",))
    stats, found = vault_stats(vault), by_name(vault)
    shared = needed(vault, one) & needed(vault, two)
    assert found["c1"].unique_bytes == stored_bytes(vault, needed(vault, one) - shared)
    assert found["c2"].unique_bytes == stored_bytes(vault, needed(vault, two) - shared)
    assert (
        found["c1"].shared_bytes
        == found["c2"].shared_bytes
        == stats.shared_bytes
        == stored_bytes(vault, shared)
    )


def test_snapshots_of_one_checkpoint_count_together(vault: Repository) -> None:
    tags = ("protectd:checkpoint=c1",)
    one = save_nested(vault, {b"same": b"x" * 99}, tags=tags)
    two = save_nested(vault, {b"same": b"x" * 99, b"more": b"y"}, tags=tags)
    (found,) = vault_stats(vault).checkpoints
    assert found.snapshot_ids == (one.id, two.id)
    assert found.unique_bytes == found.stored_bytes == stored_bytes(vault, needed(vault, one, two))


def test_what_nobody_needs_is_told_apart(vault: Repository) -> None:
    save_nested(vault, {b"f": b"needed"})
    needed_bytes = vault_stats(vault).needed_bytes
    store_pack(vault, [(DATA, b"garbage" * 9)])
    orphan = store_pack(vault, [(DATA, b"orphan")], indexed=False)
    store_pack(vault, [(DATA, b"needed")])
    stats = vault_stats(vault)
    extra = stored_bytes(vault, {(DATA, blob_id(b"garbage" * 9)), (DATA, blob_id(b"needed"))})
    assert stats.needed_bytes == needed_bytes
    assert stats.unneeded_bytes == extra + vault.bank.size(pack_key(orphan))


def test_random_histories_are_counted_as_by_hand(vault: Repository) -> None:
    chance = random.Random(7)
    texts = [b"%d" % number * chance.randint(1, 60) for number in range(12)]

    def folder(depth: int) -> dict[bytes, object]:
        made: dict[bytes, object] = {b"f%d" % n: chance.choice(texts) for n in range(chance.randint(0, 3))}
        if depth:
            made |= {b"d%d" % n: folder(depth - 1) for n in range(chance.randint(0, 3))}
        return made

    saved = [save_nested(vault, folder(3), tags=(f"protectd:checkpoint=c{n % 5}",)) for n in range(9)]
    found = by_name(vault)
    all_needed = {
        name: needed(vault, *(each for each in saved if f"protectd:checkpoint={name}" in each.tags))
        for name in found
    }
    for name, keys in all_needed.items():
        others: set[Key] = set().union(*(each for other, each in all_needed.items() if other != name))
        assert found[name].stored_bytes == stored_bytes(vault, keys)
        assert found[name].unique_bytes == stored_bytes(vault, keys - others)


def test_a_directory_that_does_not_read_is_told_and_the_rest_is_counted(
    vault: Repository, bank: FaultyBank
) -> None:
    lost = tree_of(file_of(b"x", b"in it"))
    root = tree_of(directory_of(b"dir", lost), file_of(b"f", b"text"))
    pack = store_pack(vault, [(TREE, lost)])
    store_pack(vault, [(TREE, root)])
    store_pack(vault, [(DATA, b"text"), (DATA, b"in it")])
    snapshot = save_root(vault, root)
    bank.change(pack_key(pack), lambda raw: raw[:20] + bytes(9) + raw[29:])
    stats = vault_stats(vault)
    (error,) = stats.errors
    assert "'/dir'" in error and snapshot in error and blob_id(lost).hex() in error
    assert stats.checkpoints[0].files == 1


def test_what_no_index_knows_is_told(vault: Repository) -> None:
    root = tree_of(directory_of(b"dir", b"nowhere"), file_of(b"f", b"never stored"))
    store_pack(vault, [(TREE, root)])
    save_root(vault, root)
    save_root(vault, b"a root that is nowhere")
    known, unknown = sorted(vault_stats(vault).errors, key=lambda error: "is in no index" in error)
    assert f"1 tree blob(s), first {blob_id(b'nowhere').hex()}" in known
    assert blob_id(b"a root that is nowhere").hex() in unknown


def test_each_tree_is_read_once(vault: Repository) -> None:
    same = {b"deep": {b"f": b"1"}}
    saved = [save_nested(vault, {b"same": same, b"f": b"%d" % number}) for number in range(5)]
    counts: list[int] = []
    graph = TreeGraph(BlobReader(vault, vault.load_index()), counts.append)
    for snapshot in saved:
        graph.add(snapshot.tree_id, snapshot.id)
    assert len(graph) == len(counts) == 7


def test_it_tells_how_far_it_is_and_stops_when_it_is_told_to(vault: Repository) -> None:
    save_nested(vault, {b"d%d" % number: {b"f%d" % number: b"1"} for number in range(300)})
    seen: list[Counts] = []

    class Watch(Progress):
        def report(self, counts: Counts) -> None:
            seen.append(counts)

        def check(self) -> None:
            if len(seen) > 1:
                raise Cancelled

    with pytest.raises(Cancelled):
        vault_stats(vault, Watch())
    assert [counts.done_files for counts in seen] == [0, 256]


# --- what a tree leads to ---


def test_references_are_those_of_the_nodes() -> None:
    tree = tree_of(
        directory_of(b"a", EMPTY_TREE),
        directory_of("ü\n".encode(), b"x"),
        file_of(b"f", b"one", b"two"),
        file_of(b"g"),
    )
    found = tree_references(tree)
    assert found.data == [blob_id(b"one"), blob_id(b"two")]
    assert found.subtrees == [(b"a", blob_id(EMPTY_TREE)), ("ü\n".encode(), blob_id(b"x"))]
    assert (found.files, found.logical_bytes) == (2, 6)
    assert tree_references(EMPTY_TREE) == ([], [], 0, 0)


@pytest.mark.parametrize(
    "tree",
    [
        b"", b"[]", b"{}", b'{"nodes":[1]}', b'{"nodes":[{"name":"f","type":"file","content":null}]}',
        b'{"nodes":[{"name":"f","type":"file","content":["abcd"]}]}',
        b'{"nodes":[{"name":"f","type":"file","content":["%s"]}]}' % (b"x" * 64),
        b'{"nodes":[{"name":"f","type":"file","content":[1]}]}',
        b'{"nodes":[{"name":"d","type":"dir"}]}',
        b'{"nodes":[{"name":"..","type":"dir","subtree":"%s"}]}' % (b"a" * 64),
    ],
)  # fmt: skip
def test_what_is_no_tree_is_refused(tree: bytes) -> None:
    with pytest.raises(FormatError):
        tree_references(tree)
