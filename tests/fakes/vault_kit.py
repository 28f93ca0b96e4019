"""Small vaults made by hand: one call for each thing that a writer stores, so a test can leave one out."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import stat
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import zstandard

from protectd.common.clock import SystemClock
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.plugin.banks.memory import MemoryBank
from protectd.plugin.base import BankPlugin
from protectd.vault.index import encode_index
from protectd.vault.keys import ScryptCost
from protectd.vault.pack import DATA, TREE, BlobEntry, pack_key, seal_header
from protectd.vault.repository import INDEX, Repository, WriterIdentity
from protectd.vault.snapshot import Snapshot
from protectd.vault.tree import (
    Node,
    directory_node,
    encode_node,
    encode_tree,
    file_node,
    node_prefix,
    other_node,
)

PASSWORD = "correct horse battery staple"
CHEAP = ScryptCost(2, 8, 1)
ME = WriterIdentity("protectd-test", "tester", os.getpid())

Blob = tuple[str, bytes]
"""Kind and plain bytes."""


def blob_id(plain: bytes) -> bytes:
    return hashlib.sha256(plain).digest()


def new_vault(bank: BankPlugin | None = None, password: str = PASSWORD) -> Repository:
    return Repository.create(bank or MemoryBank(), password, identity=ME, clock=SystemClock(), cost=CHEAP)


def file_vault(path: Path) -> Repository:
    """A vault in a directory, for the restic program too."""
    path.mkdir()
    return new_vault(FilesystemBank.from_options({"path": str(path)}))


def make_pack(
    vault: Repository, blobs: Iterable[Blob], *, compress: bool = True
) -> tuple[bytes, bytes, list[BlobEntry]]:
    """Id, bytes and entries of a pack that is not stored yet."""
    entries: list[BlobEntry] = []
    units = b""
    for kind, plain in blobs:
        unit = vault.sealer.seal(zstandard.ZstdCompressor().compress(plain) if compress else plain)
        size = len(plain) if compress else None
        entries.append(BlobEntry(kind, blob_id(plain), len(units), len(unit), size))
        units += unit
    raw = units + seal_header(vault.sealer, entries)
    return blob_id(raw), raw, entries


def store_pack(
    vault: Repository, blobs: Iterable[Blob], *, compress: bool = True, indexed: bool = True
) -> bytes:
    """Store a pack and an index file for it; its id."""
    pack_id, raw, entries = make_pack(vault, blobs, compress=compress)
    vault.bank.put(pack_key(pack_id), raw)
    if indexed:
        for json in encode_index({pack_id: entries}):
            vault.save_unpacked(INDEX, json)
    return pack_id


def file_of(name: bytes, *contents: bytes, size: int | None = None) -> Node:
    """A file whose blobs are these contents."""
    return Node(
        name, "file", stat.S_IFREG | 0o644, 0, 0, 0,
        size=sum(map(len, contents)) if size is None else size,
        content=[blob_id(each) for each in contents if each],
    )  # fmt: skip


def directory_of(name: bytes, tree: bytes) -> Node:
    return Node(name, "dir", stat.S_IFDIR | 0o755, 0, 0, 0, subtree=blob_id(tree))


def tree_of(*nodes: Node) -> bytes:
    return encode_tree(map(encode_node, nodes))


def save_files(
    vault: Repository,
    files: Mapping[bytes, bytes],
    *,
    known: Iterable[bytes] = (),
    tags: tuple[str, ...] = (),
) -> str:
    """A snapshot of one directory with these files, one blob each; those that are `known` are not stored."""
    tree = tree_of(*(file_of(name, files[name]) for name in sorted(files)))
    fresh = [(DATA, plain) for plain in sorted(set(files.values()) - {b"", *known})]
    if fresh:
        store_pack(vault, fresh)
    store_pack(vault, [(TREE, tree)])
    return save_root(vault, tree, tags=tags)


def save_root(vault: Repository, tree: bytes, *, tags: tuple[str, ...] = ()) -> str:
    snapshot = Snapshot(SystemClock().now(), blob_id(tree).hex(), ("/",), "host", "user", tags=tags)
    return vault.save_snapshot(snapshot)


def data_bytes(vault: Repository) -> int:
    return sum(item.size for item in vault.bank.list("data"))


# --- a real directory ---


@dataclass
class SavedDirectory:
    """Root tree id of a directory as a backup has it, and every blob of it."""

    root: bytes
    blobs: dict[bytes, Blob]


def save_directory(target: bytes) -> SavedDirectory:
    """The trees of a real directory, from `/` down to it. Each file is one blob: at most 512 KiB."""
    blobs: dict[bytes, Blob] = {}
    tree = _tree(target, blobs)
    path = target
    while path != b"/":
        node = directory_node(_prefix(path), tree)
        path = os.path.dirname(path)
        tree = _keep(blobs, TREE, encode_tree([node]))
    return SavedDirectory(tree, blobs)


def _tree(folder: bytes, blobs: dict[bytes, Blob]) -> bytes:
    names = sorted(name for name in os.listdir(folder) if not _is_socket(os.path.join(folder, name)))
    return _keep(blobs, TREE, encode_tree(_node(os.path.join(folder, name), blobs) for name in names))


def _is_socket(path: bytes) -> bool:
    return stat.S_ISSOCK(os.lstat(path).st_mode)


def _node(path: bytes, blobs: dict[bytes, Blob]) -> bytes:
    mode, prefix = os.lstat(path).st_mode, _prefix(path)
    if stat.S_ISDIR(mode):
        return directory_node(prefix, _tree(path, blobs))
    if not stat.S_ISREG(mode):
        return other_node(prefix)
    with open(path, "rb") as file:
        content = file.read()
    return file_node(prefix, [_keep(blobs, DATA, content)] if content else [])


def _prefix(path: bytes) -> bytes:
    status = os.lstat(path)
    link = stat.S_ISLNK(status.st_mode)
    user = group = ""
    with suppress(KeyError):
        user = pwd.getpwuid(status.st_uid).pw_name
    with suppress(KeyError):
        group = grp.getgrgid(status.st_gid).gr_name
    names = [] if link else os.listxattr(path)  # this version of restic has none for symbolic links
    return node_prefix(
        os.path.basename(path),
        status,
        user,
        group,
        link_target=os.readlink(path) if link else b"",
        xattrs=[(os.fsencode(name), os.getxattr(path, name)) for name in names],
    )


def _keep(blobs: dict[bytes, Blob], kind: str, plain: bytes) -> bytes:
    blobs[blob_id(plain)] = (kind, plain)
    return blob_id(plain)


class Restic:
    """The restic program on one repository, without a cache, in UTC."""

    def __init__(
        self,
        program: str,
        repository: Path | str,
        password: str = PASSWORD,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._program = program
        self._environment = {**os.environ, **(environment or {})} | {
            "RESTIC_REPOSITORY": str(repository),
            "RESTIC_PASSWORD": password,
            "TZ": "UTC",
        }

    def run(self, *arguments: str | bytes) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program, "--no-cache", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=300,
        )

    def __call__(self, *arguments: str | bytes) -> str:
        """What it says; it has to succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, f"restic {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def check(self) -> None:
        """Every byte is good, without even a hint."""
        done = self.run("check", "--read-data")
        assert done.returncode == 0, done.stdout + done.stderr
        assert not done.stderr, done.stderr
        assert "no errors were found" in done.stdout, done.stdout

    @contextmanager
    def backup_from_pipe(self, vault: Repository) -> Iterator[None]:
        """A backup that has its lock and waits for input; ends when the block does."""
        with subprocess.Popen(
            [self._program, "--no-cache", "backup", "--stdin"],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            deadline = time.monotonic() + 60
            while not vault.names("locks"):
                assert process.poll() is None and time.monotonic() < deadline, "restic took no lock"
                time.sleep(0.05)
            time.sleep(0.5)
            assert process.stdin is not None
            try:
                yield
            finally:
                process.stdin.write(b"text")
                process.stdin.close()
                process.wait(60)
