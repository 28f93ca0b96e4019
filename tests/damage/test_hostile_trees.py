"""Issue 3, point 6 (g): a hostile tree (names with `/`, `..`, absolute, symlink games) never writes outside
the target; also with chosen paths and into a target that holds something. And "Bad input": no exception of a
library leaves the package, and a partial restore says what is missing.

The trees are written by hand: whoever has a vault's key can store any.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protectd.common.errors import ProtectdError
from protectd.common.reports import RestoreOptions, RestoreReport
from protectd.plugin.banks.memory import MemoryBank
from protectd.vault import locks, restore
from protectd.vault.crew import Crew
from protectd.vault.engine import VaultEngine, VaultSession
from protectd.vault.errors import PathNotInSnapshot
from protectd.vault.options import EngineOptions
from protectd.vault.pack import DATA, TREE
from protectd.vault.pool import ThreadPool
from protectd.vault.restore_worker import Blob, FileLocks, PartFile, RestoreJob, RestoreWorker
from protectd.vault.shared import CancelFlag
from protectd.vault.target import Target
from protectd.vault.tree import Node, encode_node, encode_tree
from tests.fakes.engines import kinds
from tests.fakes.tree import Entry, tree
from tests.fakes.vault_kit import blob_id, directory_of, file_of, new_vault, save_root, store_pack, tree_of

ONE, TWO = b"first of two pieces", b"second of two pieces"


@pytest.fixture(scope="module")
def engine() -> Iterator[VaultEngine]:
    """One that looks at its workers after each entry, so that entries meet files that are being written; and
    alone in its vaults, so that it need not wait for others who may take a lock."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restore, "_FEED_EVERY", 1)
        patch.setattr(locks, "_SETTLE_S", 0.0)
        yield VaultEngine(EngineOptions(node="test", workers=2, in_process=True))


class Scene:
    """A vault with a few blobs, and a directory that nothing may be written to, beside the target."""

    def __init__(self, engine: VaultEngine, top: Path) -> None:
        self.target = top / "restored"
        self.outside = top / "outside"
        (self.outside / "folder").mkdir(parents=True)
        (self.outside / "secret").write_bytes(b"not yours")
        (self.outside / "folder/secret").write_bytes(b"not yours either")
        self._top = top
        self._before = self._surroundings()
        self._vault = new_vault(MemoryBank())
        self._session = VaultSession(engine, self._vault.bank, self._vault.key)
        store_pack(self._vault, [(DATA, ONE), (DATA, TWO)])

    def restore(
        self,
        root: bytes,
        *trees: bytes,
        paths: Sequence[str] = (),
        overwrite: bool = False,
        trusted: bool = True,
    ) -> RestoreReport:
        """Nothing but the target changes, whatever comes of it. Without `overwrite` it is a new one."""
        if not overwrite:
            shutil.rmtree(self.target, ignore_errors=True)
        store_pack(self._vault, [(TREE, each) for each in dict.fromkeys((*trees, root))])
        snapshot = save_root(self._vault, root)
        options = RestoreOptions(overwrite=overwrite, trusted=trusted, paths=tuple(paths))
        try:
            return self._session.restore_tree(snapshot, blob_id(root).hex(), "/", str(self.target), options)
        finally:
            assert self._surroundings() == self._before
            assert list(self._vault.bank.list("locks")) == []

    def fill(self, file: PartFile) -> list[tuple[int, str]]:
        """What a worker cannot do that is to write the first piece of this file, its number 0."""
        found = self._vault.load_index().lookup(DATA, blob_id(ONE))
        assert found is not None
        pack_id, entry = found
        blob = Blob(entry.id, entry.offset, entry.length, entry.plain_length, [(0, 0)])
        with ExitStack() as stack:
            target = stack.enter_context(closing(Target.prepare(str(self.target), overwrite=True)))
            cancel = stack.enter_context(closing(CancelFlag.create()))
            file_locks = stack.enter_context(closing(FileLocks.create()))
            role = RestoreWorker(
                bank=self._vault.bank,
                key=self._vault.key,
                target=target.path,
                identity=target.identity,
                overwrite=True,
                verify=True,
                locks=file_locks.path,
                cancel=cancel.path,
            )
            crew = stack.enter_context(Crew(ThreadPool(), [role], cancel))
            crew.give(RestoreJob(pack_id, [tuple(blob)], {0: tuple(file)}), None)
            ((_, reply),) = crew.replies(60)
            list(crew.finish())
        bad_files: list[tuple[int, str]] = reply.bad_files
        return bad_files

    def _surroundings(self) -> tuple[list[str], dict[bytes, Entry]]:
        """All but the target, and what is in it. The times tell whether anything came and went."""
        names = sorted({path.name for path in self._top.iterdir()} - {"restored"})
        return names, tree(self.outside)


@pytest.fixture
def scene(engine: VaultEngine, tmp_path: Path) -> Scene:
    return Scene(engine, tmp_path)


def link_to(name: bytes, target: Path | bytes, **fields: object) -> Node:
    made = Node(name, "symlink", stat.S_IFLNK | 0o777, 0, 0, 0, link_target=os.fsencode(target))
    return replace(made, **fields)


def special(name: bytes, kind: str, mode: int, device: int = 0) -> Node:
    return Node(name, kind, mode | 0o666, 0, 0, 0, device=device)


# --- names ---

NAMES = [
    b"..", b".", b"", b"a/b", b"/etc/escaped", b"../outside/planted", b"../../escaped", b"outside/../..",
    b"nul\0", b"\0", b"/", b"//", b"./x", b"..\0",
]  # fmt: skip


@pytest.mark.parametrize("paths", [(), ("bad",), ("good", "bad")], ids=" ".join)
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["file", "dir", "symlink"])
def test_a_directory_with_a_name_that_leads_out_is_named_and_left_empty(
    scene: Scene, kind: str, overwrite: bool, paths: tuple[str, ...]
) -> None:
    good = tree_of(file_of(b"file", ONE))
    for name in NAMES:
        node = {"file": file_of(name, ONE), "dir": directory_of(name, good), "symlink": link_to(name, b"x")}
        bad = encode_tree([encode_node(node[kind])])
        root = tree_of(directory_of(b"bad", bad), directory_of(b"good", good))
        report = scene.restore(root, bad, good, overwrite=overwrite, paths=paths)
        assert kinds(report.issues) == {"bad": "damaged"}, name
        assert list((scene.target / "bad").iterdir()) == []
        if paths != ("bad",):
            assert (scene.target / "good/file").read_bytes() == ONE


def test_a_root_with_a_name_that_leads_out_restores_nothing(scene: Scene) -> None:
    for name in NAMES:
        report = scene.restore(encode_tree([encode_node(file_of(name, ONE))]))
        assert kinds(report.issues) == {"restored": "damaged"}
        assert list(scene.target.iterdir()) == []


@pytest.mark.parametrize(
    "path", ["../outside", "a/../../outside", "/../outside", "..", "a\0b", "link/secret"]
)
def test_a_chosen_path_does_not_lead_out(scene: Scene, path: str) -> None:
    root = tree_of(file_of(b"a", ONE), link_to(b"link", scene.outside))
    with pytest.raises(PathNotInSnapshot):
        scene.restore(root, paths=[path])
    assert not scene.target.exists()


def test_names_longer_than_a_directory_takes_are_refused_one_by_one(scene: Scene) -> None:
    names = [b"x" * 255, b"y" * 256, b"z" * 100_000, "\u00e9".encode() * 128]
    root = tree_of(*(file_of(name, ONE) for name in sorted(names)), file_of(b"~", ONE))
    report = scene.restore(root)
    assert sorted(kinds(report.issues).values()) == ["refused"] * 3
    assert {path.name for path in scene.target.iterdir()} == {"x" * 255, "~"}


def test_a_tree_deeper_than_any_path_is_restored(scene: Scene) -> None:
    level, trees = b"level" * 30, [tree_of(file_of(b"bottom", ONE, TWO))]
    for _ in range(40):
        trees.append(tree_of(directory_of(level, trees[-1])))
    report = scene.restore(trees[-1], *trees)
    assert report.issues == () and (report.files, report.directories) == (1, 41)
    with closing(Target.prepare(str(scene.target), overwrite=True)) as target:
        folder = target.folder(b"/".join([level] * 40))
        assert os.stat("bottom", dir_fd=folder).st_size == len(ONE + TWO)


# --- two entries of one name ---

FIRST_COMES = [file_of(b"name", ONE, TWO), file_of(b"name", ONE), file_of(b"name")]


@pytest.mark.parametrize("paths", [(), ("name",), ("name/planted",)], ids=" ".join)
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("target", ["outside", "outside/folder", "outside/secret", "."])
def test_a_link_does_not_carry_what_has_its_name_out(
    scene: Scene, target: str, overwrite: bool, paths: tuple[str, ...]
) -> None:
    inner = tree_of(file_of(b"planted", ONE), file_of(b"planted too", ONE, TWO))
    link = link_to(b"name", scene.outside.parent / target)
    nodes = [*FIRST_COMES, directory_of(b"name", inner), replace(link, links=2, inode=7)]
    for node in nodes:
        for order in ([link, node], [node, link], [link, node, link, node]):
            try:
                report = scene.restore(tree_of(*order), inner, overwrite=overwrite, paths=paths)
            except PathNotInSnapshot:
                continue
            assert all(issue.kind in ("damaged", "refused") for issue in report.issues)


def test_of_two_entries_with_one_name_the_first_is_restored_and_the_other_named(scene: Scene) -> None:
    report = scene.restore(tree_of(file_of(b"name", ONE, TWO), file_of(b"name", TWO), file_of(b"other", ONE)))
    assert kinds(report.issues) == {"name": "damaged"} and report.files == 2
    assert (scene.target / "name").read_bytes() == ONE + TWO


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make this")
@pytest.mark.parametrize("device_first", [False, True])
def test_a_device_in_the_place_of_a_file_is_never_written_to(scene: Scene, device_first: bool) -> None:
    device = special(b"name", "chardev", stat.S_IFCHR, os.makedev(1, 3))
    others = [file_of(b"o%03d" % number, ONE) for number in range(80)]
    nodes = [device, *others, file_of(b"name", ONE, TWO)]
    report = scene.restore(tree_of(*(nodes if device_first else reversed(nodes))), overwrite=True)
    assert kinds(report.issues) == {"name": "damaged"}
    assert stat.S_ISCHR(os.stat(scene.target / "name").st_mode) == device_first


# --- further names ---


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_further_name_is_one_of_what_was_restored(scene: Scene, overwrite: bool) -> None:
    """Neither a link's target nor what stood in the target before gets another name."""
    if overwrite:
        scene.target.mkdir()
        (scene.target / "b").symlink_to(scene.outside / "secret")
    same = {"links": 2, "inode": 9, "device_id": 9}
    link = link_to(b"a", scene.outside / "secret", **same)
    nodes = [
        link,
        replace(file_of(b"b", ONE), **same),
        replace(link, name=b"c"),
        replace(file_of(b"d", ONE), **same),
    ]
    scene.restore(tree_of(*nodes), overwrite=overwrite)
    assert os.stat(scene.outside / "secret").st_nlink == 1
    assert (scene.target / "d").read_bytes() == ONE
    assert os.lstat(scene.target / "c").st_ino == os.lstat(scene.target / "a").st_ino


# --- kinds and attributes ---


@pytest.mark.parametrize("paths", [(), ("null", "disk", "pipe", "socket", "file")], ids=["all", "chosen"])
def test_a_member_gets_no_device_whatever_it_is_called(scene: Scene, paths: tuple[str, ...]) -> None:
    nodes = [
        special(b"disk", "dev", stat.S_IFBLK, os.makedev(8, 0)),
        file_of(b"file", ONE),
        special(b"null", "chardev", stat.S_IFCHR, os.makedev(1, 3)),
        special(b"pipe", "fifo", stat.S_IFIFO),
        special(b"socket", "socket", stat.S_IFSOCK),
    ]
    report = scene.restore(tree_of(*nodes), trusted=False, paths=paths)
    assert kinds(report.issues) == dict.fromkeys(("disk", "null", "socket"), "withheld")
    found = {path.name: stat.S_IFMT(path.lstat().st_mode) for path in scene.target.iterdir()}
    assert found == {"file": stat.S_IFREG, "pipe": stat.S_IFIFO}


BAD_FIELDS = [
    (b'"uid":0', b'"uid":4294967296'),
    (b'"gid":0', b'"gid":1180591620717411303424'),
    (b'"uid":0', b'"uid":-1'),
    (b'"uid":0', b'"uid":0,"device":18446744073709551616'),
    (b'"uid":0', b'"uid":0,"extended_attributes":[{"name":"user.\\u0000","value":""}]'),
    (b'"uid":0', b'"uid":0,"extended_attributes":[{"name":"user.a","value":"no base64"}]'),
    (b'"type":"file"', b'"type":"symlink","linktarget":"a\\u0000b"'),
    (b'"type":"file"', b'"type":"symlink","linktarget_raw":"AAAA"'),
    (b'"type":"file"', b'"type":"door"'),
    (b'"type":"file"', b'"type":7'),
    (b'"mode":420', b'"mode":"rwx"'),
    (b'"mode":420', b'"mode":1180591620717411303424'),
    (b'"mtime":"1970-01-01T00:00:00Z"', b'"mtime":"1970-99-99T99:99:99Z"'),
    (b'"mtime":"1970-01-01T00:00:00Z"', b'"mtime":7'),
    (b'"content":["', b'"content":["..","'),
    (b'"content":["', b'"content":[{},"'),
]


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("field", BAD_FIELDS, ids=[new.decode() for _, new in BAD_FIELDS])
def test_an_entry_that_says_what_cannot_be_is_named_and_costs_its_directory_at_most(
    scene: Scene, field: tuple[bytes, bytes], trusted: bool
) -> None:
    raw = encode_node(file_of(b"odd", ONE))
    assert field[0] in raw
    bad, good = encode_tree([raw.replace(*field, 1)]), tree_of(file_of(b"file", ONE))
    root = tree_of(directory_of(b"bad", bad), directory_of(b"good", good))
    report = scene.restore(root, bad, good, trusted=trusted)
    assert (scene.target / "good/file").read_bytes() == ONE
    assert kinds(report.issues) in ({"bad": "damaged"}, {"odd": "withheld"}, {})
    if not report.issues:
        assert (scene.target / "bad/odd").read_bytes() == ONE


# --- what others do meanwhile ---


@pytest.mark.parametrize("other", ["hard link", "link", "fifo", "device"])
def test_a_worker_writes_to_the_very_file_that_was_made_for_it(scene: Scene, other: str) -> None:
    """Whoever owns the target may put something else under the name while the file is being filled."""
    scene.target.mkdir()
    made = scene.target / "name"
    made.write_bytes(b"")
    status = made.stat()
    os.rename(made, scene.target / "away")
    match other:
        case "hard link":
            os.link(scene.outside / "secret", made)
        case "link":
            made.symlink_to(scene.outside / "secret")
        case "fifo":
            os.mkfifo(made)
        case _ if os.geteuid():
            pytest.skip("only root may make this")
        case _:
            os.mknod(made, stat.S_IFCHR, os.makedev(1, 3))
    ((bad, reason),) = scene.fill(PartFile(b"", b"name", False, status.st_dev, status.st_ino))
    assert bad == 0 and reason
    assert (scene.outside / "secret").read_bytes() == b"not yours"


# --- anything at all ---

ENTRY_NAMES = st.sampled_from([b"a", b"b", b"c", b"a", b"b", b"c", b".."])
TARGETS = [
    b"outside",
    b"../outside",
    b"../../outside",
    b"/",
    b".",
    b"..",
    b"a",
    b"../a",
    b"../outside/secret",
    b"b/c",
]
PATHS = st.sampled_from(["a", "b", "a/b", "a/b/c", "c/a", ".", "b/.."])
Drawn = tuple[Node, "list[Drawn]"]


@st.composite
def entries(draw: st.DrawFn, depth: int = 0) -> Drawn:
    """A node and, for a directory, what is in it; its subtree is not known yet."""
    name = draw(ENTRY_NAMES)
    kinds = [
        "one",
        "two",
        "empty",
        "link",
        "link",
        "fifo",
        "chardev",
        "socket",
        *(["dir"] * 3 if depth < 3 else []),
    ]
    kind = draw(st.sampled_from(kinds))
    facts = {
        "uid": draw(st.sampled_from([0, 1234])),
        "inode": draw(st.integers(0, 2)),
        "links": draw(st.integers(1, 2)),
    }
    inner: list[Drawn] = []
    match kind:
        case "one":
            node = file_of(name, ONE)
        case "two":
            node = file_of(name, ONE, TWO)
        case "empty":
            node = file_of(name)
        case "link":
            node = link_to(name, draw(st.sampled_from(TARGETS)))
        case "dir":
            node, inner = directory_of(name, b""), draw(st.lists(entries(depth=depth + 1), max_size=4))
        case _:
            formats = {"fifo": stat.S_IFIFO, "chardev": stat.S_IFCHR, "socket": stat.S_IFSOCK}
            node = special(name, kind, formats[kind], os.makedev(1, 3))
    return replace(node, **facts), inner


def built(drawn: Sequence[Drawn], trees: list[bytes], top: bytes) -> bytes:
    """The tree of these, in the order they were drawn; those below it are put into `trees`."""
    nodes = []
    for node, inner in drawn:
        if node.type == "dir":
            node = replace(node, subtree=blob_id(built(inner, trees, top)))
        elif node.type == "symlink" and node.link_target == b"outside":
            node = replace(node, link_target=top + b"/outside")
        nodes.append(node)
    trees.append(tree_of(*nodes))
    return trees[-1]


@settings(max_examples=120, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(entries(), max_size=5), st.lists(PATHS, max_size=2), st.booleans()),
        min_size=1,
        max_size=3,
    )
)
def test_whatever_a_tree_says_only_the_target_is_written_to(
    engine: VaultEngine, restores: list[tuple[list[Drawn], list[str], bool]]
) -> None:
    """One tree after the other into the same target, so that each finds what the former has left there."""
    with TemporaryDirectory() as top:
        scene = Scene(engine, Path(top))
        for drawn, paths, trusted in restores:
            trees: list[bytes] = []
            root = built(drawn, trees, os.fsencode(top))
            with suppress(ProtectdError):
                scene.restore(root, *trees, paths=paths, overwrite=True, trusted=trusted)
