"""restic reads what we write, we read what restic writes, and equal directories have equal ids."""

from __future__ import annotations

import json
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from protectd.common.clock import SystemClock
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.vault.check import check
from protectd.vault.crypto import MasterKey
from protectd.vault.errors import VaultLocked, WrongPassword
from protectd.vault.forget import forget
from protectd.vault.keys import create_key_file
from protectd.vault.locks import exclusive_lock, shared_lock
from protectd.vault.pack import DATA, TREE, pack_key
from protectd.vault.prune import prune
from protectd.vault.repository import INDEX, BlobReader, Repository, WriterIdentity
from protectd.vault.snapshot import Snapshot
from protectd.vault.tree import decode_tree, encode_node, encode_tree, split_tree
from tests.fakes.vault_kit import (
    CHEAP,
    ME,
    PASSWORD,
    Restic,
    SavedDirectory,
    blob_id,
    data_bytes,
    file_of,
    file_vault,
    make_pack,
    save_directory,
    save_files,
    save_root,
    store_pack,
    tree_of,
)

HARD_NAMES = [
    b"plain", b"two words", b'quote"s', b"apos'trophe", b"back\\slash", b"new\nline",
    b"cr\rtab\tff\x0cvt\x0bbs\x08", b"bell\x07", b"\x01\x02\x1f\x7f", b"<a>&b;", b'x},{"name":"y',
    b"caf\xc3\xa9", b"cafe\xcc\x81", b"\xff\xfe", b"half \xe2\x82", b"\xed\xa0\x80 surrogate",
    b"\xf0\x9f\x98\x80", b"\xf4\x90\x80\x80 too high", b"\xc0\x80 overlong", "no-break\u00a0space".encode(),
    "zero\u200bwidth".encode(), "line\u2028separator".encode(), "paragraph\u2029separator".encode(),
    "\ufeffbom".encode(), "soft\u00adhyphen".encode(), "private\ue000use".encode(),
    "\U000e0001tag".encode(), "\u0378unassigned".encode(), "\U0010ffff".encode(),
    "replacement\ufffd".encode(), "\u0085nel".encode(), "\u202eright to left".encode(),
    "\u65e5\u672c\u8a9e".encode(), b"-rf", b"...", b" ", b"*?[", b"%s", b"{}", b"$(x)", b"~", b"a" * 255,
]  # fmt: skip

LOOSE = bytes.fromhex("000000f0030000f0030000f0030000f0")
"""The bits that Poly1305 clears in r."""


@pytest.fixture
def source(tmp_path: Path) -> bytes:
    """A directory with every case that a tree's bytes have to get right."""
    top = os.fsencode(tmp_path / "source dir")
    os.mkdir(top)
    for name in HARD_NAMES:
        _write(top, name, b"content of " + name)
        os.mkdir(os.path.join(top, b"d" + name[:254]))
    _kinds(top)
    _modes_and_owners(top)
    _attributes(top)
    _times(top)
    return top


def _write(folder: bytes, name: bytes, data: bytes = b"x") -> bytes:
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def _kinds(top: bytes) -> None:
    _write(top, b"empty", b"")
    _write(top, b"half a MiB", os.urandom(512 * 1024))
    _write(top, b"zeros", bytes(100_000))
    first = _write(top, b"hard 1", b"one file")
    os.link(first, os.path.join(top, b"hard 2"))
    os.symlink(first, os.path.join(top, b"hard 3 is soft"))
    targets = [b"/nowhere", b"..", b'a\\b"<&>\n\t\x01', "caf\u00e9\u2028".encode(), b"x" * 4000]
    for number, target in enumerate(targets):
        os.symlink(target, os.path.join(top, b"link %d" % number))
    os.mkfifo(os.path.join(top, b"fifo"))
    with socket.socket(socket.AF_UNIX) as listener, suppress(OSError):
        listener.bind(os.path.join(top, b"socket"))
    if os.geteuid() == 0:
        with suppress(PermissionError):
            os.mknod(os.path.join(top, b"null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
            os.mknod(os.path.join(top, b"big minor"), stat.S_IFBLK | 0o600, os.makedev(259, 70000))


def _modes_and_owners(top: bytes) -> None:
    for mode in (0o000, 0o400, 0o644, 0o4755, 0o2711, 0o6777, 0o1644, 0o7777):
        if mode & 0o400 or os.geteuid() == 0:
            os.chmod(_write(top, b"mode %04o" % mode), mode)
    for mode in (0o700, 0o1777, 0o2775, 0o4755):
        path = os.path.join(top, b"directory mode %04o" % mode)
        os.mkdir(path)
        os.chmod(path, mode)
    if os.geteuid() == 0:
        for uid, gid in ((12345, 54321), (1, 65534), (2**32 - 2, 7)):
            os.lchown(_write(top, b"owner %d" % uid), uid, gid)


def _attributes(top: bytes) -> None:
    path = _write(top, b"attributes")
    with suppress(OSError):
        for name, value in ((b"user.b", b"\x00\xff"), (b"user.a", b""), (b"user.\xc3\xa9<>", b"text" * 50)):
            os.setxattr(path, name, value)
        os.setxattr(top, b"user.one", b"1")
        os.setxattr(top, b"user.two", b"2")
    if os.geteuid() == 0:
        with suppress(OSError):
            os.setxattr(path, b"trusted.note", b"for root")


def _times(top: bytes) -> None:
    moments = [
        0,
        1,
        -1,
        999_999_999,
        10**9,
        1_700_000_000_120_000_000,
        -86_400_000_000_001,
        -(10**18),
        4 * 10**18,
    ]
    for number, name in enumerate(sorted(os.listdir(top))):
        moment = moments[number % len(moments)]
        os.utime(os.path.join(top, name), ns=(moment, moment), follow_symlinks=False)


@pytest.fixture
def vault(tmp_path: Path) -> Repository:
    return file_vault(tmp_path / "vault")


@pytest.fixture
def program(restic: str, tmp_path: Path) -> Restic:
    return Restic(restic, tmp_path / "vault")


def _save(vault: Repository, source: bytes) -> Snapshot:
    saved = save_directory(source)
    for kind in (DATA, TREE):
        store_pack(vault, [blob for blob in saved.blobs.values() if blob[0] == kind])
    snapshot = Snapshot(SystemClock().now(), saved.root.hex(), (os.fsdecode(source),), "host", "root")
    return vault.load_snapshot(vault.save_snapshot(snapshot))


def test_a_directory_of_hard_cases_has_the_tree_id_that_restic_gives_it(
    vault: Repository, program: Restic, source: bytes
) -> None:
    ours = _steady_backup(program, source)
    theirs = vault.snapshots()[-1]
    reader = BlobReader(vault, vault.load_index())
    tree = reader.load(TREE, theirs.tree_id)
    for name in source.split(b"/")[1:]:
        node = next(node for node in decode_tree(tree) if node.name == name)
        tree = reader.load(TREE, node.subtree or b"")
    assert ours.blobs[blob_id(tree)][1] == tree
    assert ours.root.hex() == theirs.tree


def _steady_backup(program: Restic, source: bytes) -> SavedDirectory:
    """Back up while nobody touches the directories above, whose times are part of the root's id."""
    for _ in range(40):
        before = save_directory(source)
        program("backup", "--force", source)
        if save_directory(source).root == before.root:
            return before
    raise AssertionError(f"something changes {source!r} or a directory above it all the time")


def test_restic_adds_no_byte_after_us(vault: Repository, program: Restic, source: bytes) -> None:
    for _ in range(40):
        ours = _save(vault, source)
        before = data_bytes(vault)
        program("backup", "--host", "host", source)
        newest = vault.snapshots()[-1]
        assert newest.parent == ours.id
        if data_bytes(vault) == before:  # else something has touched a directory above
            break
    assert data_bytes(vault) == before
    assert newest.tree == ours.tree


def test_restic_lists_checks_and_restores_what_we_wrote(
    vault: Repository, program: Restic, source: bytes, tmp_path: Path
) -> None:
    snapshot = _save(vault, source)
    program.check()
    assert snapshot.id[:8] in program("snapshots")
    listed = [json.loads(line) for line in program("ls", "--json", snapshot.id).split("\n") if line]
    assert sum(each["struct_type"] == "node" for each in listed) > 100
    program("restore", snapshot.id, "--target", os.fsencode(tmp_path / "back"))
    back = os.fsencode(tmp_path / "back") + source
    assert save_directory(back).blobs.keys() >= _data_ids(source)
    for name in HARD_NAMES:
        assert Path(os.fsdecode(os.path.join(back, name))).read_bytes() == b"content of " + name


def _data_ids(source: bytes) -> set[bytes]:
    return {blob_id for blob_id, (kind, _) in save_directory(source).blobs.items() if kind == DATA}


def test_we_read_every_blob_that_restic_wrote(vault: Repository, program: Restic, source: bytes) -> None:
    program("backup", "--tag", "protectd:checkpoint=1", "--tag", "two", source)
    _write(source, b"more", b"a second snapshot")
    program("backup", source)
    report = check(vault, read_data=True)
    assert report.ok and not report.hints
    assert report.snapshots == 2
    first, second = vault.snapshots()
    assert first.tags == ("protectd:checkpoint=1", "two")
    assert first.paths == (os.fsdecode(source),)
    assert second.parent == first.id


def test_trees_of_restic_survive_decoding_and_splitting_unchanged(
    vault: Repository, program: Restic, source: bytes
) -> None:
    program("backup", source)
    index = vault.load_index()
    reader = BlobReader(vault, index)
    for _, entry in index:
        if entry.kind == TREE:
            tree = reader.load(TREE, entry.id)
            assert encode_tree(map(encode_node, decode_tree(tree))) == tree
            assert encode_tree(split_tree(tree) or []) == tree


def test_a_repository_made_by_restic_opens_without_compression_too(
    restic: str, tmp_path: Path, source: bytes
) -> None:
    program = Restic(restic, tmp_path / "theirs")
    program("init", "--repository-version", "2")
    program("backup", "--compression", "off", source)
    program("backup", "--compression", "max", "--force", "--host", "other", source)
    vault = Repository.open(FilesystemBank.from_options({"path": str(tmp_path / "theirs")}), PASSWORD)
    assert check(vault, read_data=True).ok
    assert len(vault.snapshots()) == 2
    with pytest.raises(WrongPassword):
        Repository.open(vault.bank, "another")


def test_a_repository_of_version_1_is_refused_with_its_version(restic: str, tmp_path: Path) -> None:
    Restic(restic, tmp_path / "old")("init", "--repository-version", "1")
    with pytest.raises(Exception, match="version 1"):
        Repository.open(FilesystemBank.from_options({"path": str(tmp_path / "old")}), PASSWORD)


def test_a_password_that_restic_adds_opens_the_vault_and_ours_opens_for_restic(
    vault: Repository, program: Restic, tmp_path: Path
) -> None:
    (tmp_path / "new password").write_text("a second one")
    program("key", "add", "--new-password-file", str(tmp_path / "new password"))
    assert Repository.open(vault.bank, "a second one").key == vault.key
    assert "tester" in program("key", "list")


def test_a_key_that_stores_r_unclamped_means_the_same_key(
    vault: Repository, restic: str, tmp_path: Path
) -> None:
    """Programs differ in what they store."""
    loose = MasterKey(
        vault.key.encrypt, vault.key.mac_k, bytes(r | m for r, m in zip(vault.key.mac_r, LOOSE, strict=True))
    )
    assert loose != vault.key
    name, raw = create_key_file(loose, "loose", created=SystemClock().now(), cost=CHEAP)
    vault.bank.put(f"keys/{name}", raw)
    save_files(vault, {b"a": b"text"})
    assert check(Repository.open(vault.bank, "loose"), read_data=True).ok
    Restic(restic, tmp_path / "vault", "loose").check()


def test_plain_blobs_and_plain_json_and_doubled_packs_are_good_for_both(
    vault: Repository, program: Restic, tmp_path: Path
) -> None:
    tree = tree_of(file_of(b"a", b"first", b"second"), file_of(b"b", b"second"))
    store_pack(vault, [(DATA, b"first"), (DATA, b"second")], compress=False)
    store_pack(vault, [(DATA, b"second")])
    store_pack(vault, [(TREE, tree)], compress=False)
    raw = vault.sealer.seal(b'{"packs":[]}\n')
    vault.bank.put(f"{INDEX}/{blob_id(raw).hex()}", raw)
    save_root(vault, tree)
    assert check(vault, read_data=True).ok
    program("check", "--read-data")
    program("restore", "latest", "--target", str(tmp_path / "back"))
    assert (tmp_path / "back/a").read_bytes() == b"firstsecond"


def test_restic_keeps_working_on_what_prune_left(vault: Repository, program: Restic, tmp_path: Path) -> None:
    texts = [os.urandom(30_000) for _ in range(8)]
    first = save_files(vault, {b"%d" % n: text for n, text in enumerate(texts)})
    save_files(vault, {b"%d" % n: text for n, text in enumerate(texts[:5])}, known=texts)
    forget(vault, [first])
    report = prune(vault)
    assert report.repacked_packs == 1 and report.freed_bytes > 90_000
    program.check()
    program("restore", "latest", "--target", str(tmp_path / "back"))
    assert (tmp_path / "back/4").read_bytes() == texts[4]


def test_we_keep_working_on_what_restic_pruned(vault: Repository, program: Restic, source: bytes) -> None:
    snapshot = _save(vault, source)
    for name in HARD_NAMES[:20]:
        os.unlink(os.path.join(source, name))
    program("backup", source)
    program("forget", snapshot.id, "--prune", "--max-unused", "0")
    report = check(vault, read_data=True)
    assert report.ok and report.snapshots == 1


def test_restic_stays_out_while_we_hold_the_vault_alone(
    vault: Repository, program: Restic, source: bytes
) -> None:
    with exclusive_lock(vault, ME, SystemClock()):
        refused = program.run("backup", source)
        assert refused.returncode != 0 and "locked exclusively" in refused.stderr
    program("backup", source)


def test_restic_adds_but_does_not_remove_beside_our_shared_lock(
    vault: Repository, program: Restic, source: bytes
) -> None:
    with shared_lock(vault, ME, SystemClock()):
        program("backup", source)
        refused = program.run("prune")
        assert refused.returncode != 0 and "locked" in refused.stderr
        program("unlock")
        assert program.run("prune").returncode != 0, "unlock must leave a fresh lock of another host alone"
    program("prune")


def test_we_honor_a_lock_of_restic(vault: Repository, program: Restic) -> None:
    """restic's own lock, kept by a process that stands still while it waits for its input."""
    with program.backup_from_pipe(vault):
        with shared_lock(vault, ME, SystemClock()):
            pass
        with pytest.raises(VaultLocked) as caught, exclusive_lock(vault, ME, SystemClock()):
            pass
        assert "process" in caught.value.facts["holder"]
    with exclusive_lock(vault, ME, SystemClock()):
        pass


def test_restic_names_damage_where_we_do(vault: Repository, program: Restic) -> None:
    save_files(vault, {b"a": b"some text", b"b": b"other text"})
    pack_id, raw, _ = make_pack(vault, [(DATA, b"unused")])
    vault.bank.put(pack_key(pack_id), raw)
    victim = next(pack for pack, entries in vault.load_index().packs().items() if entries[0].kind == DATA)
    vault.bank.delete(pack_key(victim))
    ours = check(vault)
    theirs = program.run("check")
    assert victim.hex() in ours.errors[0] and victim.hex()[:8] in theirs.stderr
    assert pack_id.hex() in ours.hints[0] and theirs.returncode != 0


def test_a_lock_of_a_process_that_died_is_removed_and_a_foreign_one_is_not(vault: Repository) -> None:
    dead = WriterIdentity(ME.hostname, "tester", 2**22 - 1)
    foreign = WriterIdentity("protectd-elsewhere", "tester", 2**22 - 1)
    for identity in (dead, foreign):
        lock = exclusive_lock(vault, identity, SystemClock())
        lock.__enter__()
        if identity is dead:
            with exclusive_lock(vault, ME, SystemClock()):
                pass
        else:
            with pytest.raises(VaultLocked), exclusive_lock(vault, ME, SystemClock()):
                pass
        lock.__exit__(None, None, None)
