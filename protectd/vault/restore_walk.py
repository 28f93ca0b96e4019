"""From the trees of a snapshot to directories on disk, and a plan for the files in them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from protectd.plugin.base import BankRefused
from protectd.vault.attributes import Policy, Wanted, apply
from protectd.vault.chosen import EVERYTHING, Chosen
from protectd.vault.errors import FormatError, VaultDamaged
from protectd.vault.issues import Issues
from protectd.vault.pack import TREE
from protectd.vault.repository import BlobReader
from protectd.vault.restore_plan import FileTarget, Plan
from protectd.vault.restore_worker import write_new
from protectd.vault.target import Target, move_into_place, temporary_name
from protectd.vault.tree import Node, decode_tree

_LinkKey = tuple[int, int, str, bytes]


_NODES_AT_ONCE = 256
"""Of several directories: their blobs are looked up together, at little more than the cost of one."""


class _Pending(NamedTuple):
    """A directory that is made and not filled."""

    relative: bytes
    tree_id: bytes
    chosen: Chosen


@dataclass(slots=True)
class MadeFolder:
    """A directory to be finished at the end, when nothing below it is touched any more."""

    relative: bytes
    wanted: Wanted
    new: bool


@dataclass(slots=True)
class Done:
    """What stands in the target."""

    files: int = 0
    directories: int = 0
    others: int = 0
    written_bytes: int = 0


class TreeWriter:
    """Makes directories and all entries without content; plans the files."""

    def __init__(
        self,
        reader: BlobReader,
        target: Target,
        policy: Policy,
        plan: Plan,
        issues: Issues,
        *,
        overwrite: bool,
        pause: Callable[[], None],
        chosen: Chosen = EVERYTHING,
        home: Target | None = None,
    ) -> None:
        """:param home: where what is written ends up, when that is not `target`."""
        self._home = target if home is None else home
        self._chosen = chosen
        self._reader = reader
        self._target = target
        self._policy = policy
        self._plan = plan
        self._issues = issues
        self._overwrite = overwrite
        self._pause = pause
        self._first_names: dict[_LinkKey, FileTarget | tuple[bytes, bytes] | None] = {}
        self.folders: list[MadeFolder] = []
        self.found: list[MadeFolder] = []
        """Directories that only lead to what is chosen and were there before: to be left as they were."""
        self.links: list[tuple[tuple[bytes, bytes], tuple[bytes, bytes], bool]] = []
        """(first name, further name, whether it is a regular file) of what has no content of its own."""
        self.done = Done()

    def write(self, tree_id: bytes, node: Node | None) -> None:
        """Write the tree into the target itself. :param node: the source directory's own."""
        if not self._chosen.all and self._target.found is not None:
            self.found.append(MadeFolder(b"", self._target.found, new=False))
        elif node is not None:
            self.folders.append(MadeFolder(b"", self._policy.wanted(node), new=False))
        self.done.directories += 1
        pending = [_Pending(b"", tree_id, self._chosen)]
        while pending:
            read: list[tuple[_Pending, list[Node]]] = []
            count = 0
            while pending and count < _NODES_AT_ONCE:
                folder = pending.pop()
                nodes = self._chosen_nodes(folder)
                read.append((folder, nodes))
                count += 1 + len(nodes)
                self._pause()
            self._plan.expect(
                blob_id for _, nodes in read for node in nodes for blob_id in node.content or ()
            )
            for folder, nodes in read:
                self._entries(folder, nodes, pending)

    def _chosen_nodes(self, folder: _Pending) -> list[Node]:
        nodes = self._nodes(folder.relative, folder.tree_id)
        return nodes if folder.chosen.all else [node for node in nodes if node.name in folder.chosen]

    def _entries(self, folder: _Pending, nodes: list[Node], pending: list[_Pending]) -> None:
        """Make or plan what is in a directory; those in it are pending then."""
        for node in nodes:
            if node.type != "dir":
                self._entry(folder.relative, node)
            elif node.subtree is not None:
                below = folder.chosen.below(node.name)
                if self._folder(folder.relative, node, below):
                    pending.append(_Pending(_join(folder.relative, node.name), node.subtree, below))
            self._pause()

    def _nodes(self, relative: bytes, tree_id: bytes) -> list[Node]:
        try:
            nodes = decode_tree(self._reader.load(TREE, tree_id))
        except (VaultDamaged, FormatError, BankRefused) as error:
            self._issue(relative, b"", "damaged", f"its entries could not be read: {error}")
            return []
        return (
            nodes
            if len({node.name for node in nodes}) == len(nodes)
            else self._first_of_each(relative, nodes)
        )

    def _first_of_each(self, relative: bytes, nodes: list[Node]) -> list[Node]:
        """A second entry of one name would be put where the first is still being written."""
        found: dict[bytes, Node] = {}
        for node in nodes:
            if found.setdefault(node.name, node) is not node:
                self._issue(relative, node.name, "damaged", "the directory has another entry of this name")
        return list(found.values())

    def _folder(self, relative: bytes, node: Node, chosen: Chosen) -> bool:
        found = None if chosen.all else self._home.found_folder(relative, node.name)
        try:
            new = self._target.make_folder(relative, node.name, overwrite=self._overwrite)
        except OSError as error:
            self._issue(relative, node.name, "refused", error.strerror or str(error))
            return False
        if found is not None:
            self.found.append(MadeFolder(_join(relative, node.name), found, new))
        else:
            self.folders.append(MadeFolder(_join(relative, node.name), self._policy.wanted(node), new))
        self.done.directories += 1
        return True

    def _entry(self, relative: bytes, node: Node) -> None:
        try:
            if node.links > 1 and node.inode and self._is_further_name(relative, node):
                return
            if node.type == "file":
                self._file(relative, node)
            else:
                self._other(relative, node)
        except OSError as error:
            self._issue(relative, node.name, "refused", error.strerror or str(error))

    # --- several names of one file ---

    def _is_further_name(self, relative: bytes, node: Node) -> bool:
        first = self._first_names.get(_link_key(node))
        if first is None:
            return False
        if isinstance(first, FileTarget):
            first.links.append((relative, node.name))
        else:
            self.links.append((first, (relative, node.name), node.type == "file"))
        return True

    def _remember(self, relative: bytes, node: Node, file: FileTarget | None = None) -> None:
        if node.links > 1 and node.inode:
            self._first_names[_link_key(node)] = file or (relative, node.name)

    # --- kinds of entries ---

    def _file(self, relative: bytes, node: Node) -> None:
        wanted = self._policy.wanted(node)
        if not node.content:
            folder = self._target.folder(relative)
            self._troubles(
                relative, node, write_new(folder, node.name, wanted, b"", overwrite=self._overwrite)
            )
            self.done.files += 1
            self._remember(relative, node)
            return
        file = self._plan.add(relative, node.name, wanted, node.content)
        if isinstance(file, FileTarget):
            self._remember(relative, node, file)
        else:
            self._issue(relative, node.name, "damaged", f"data blob {file.hex()} is in no index")

    def _other(self, relative: bytes, node: Node) -> None:
        if node.type in ("dev", "chardev") and not self._policy.trusted:
            self._issue(relative, node.name, "withheld", "device nodes are restored for administrators only")
            return
        if node.type not in ("symlink", "fifo", "dev", "chardev"):
            self._issue(relative, node.name, "withheld", f"a {node.type} is not restored")
            return
        folder = self._target.folder(relative)
        try:
            self._make(folder, node.name, node, relative)
        except FileExistsError:
            if not self._overwrite:
                raise
            temporary = temporary_name()
            self._make(folder, temporary, node, relative)
            move_into_place(folder, temporary, node.name)
        self.done.others += 1
        self._remember(relative, node)

    def _make(self, folder: int, name: bytes, node: Node, relative: bytes) -> None:
        wanted = self._policy.wanted(node)
        if node.type == "symlink":
            os.symlink(node.link_target, name, dir_fd=folder)
            self._troubles(relative, node, _finish_link(folder, name, wanted))
            return
        if node.type == "fifo":
            os.mkfifo(name, 0o600, dir_fd=folder)
        else:
            os.mknod(name, stat.S_IFMT(node.mode) | 0o600, node.device, dir_fd=folder)
        self._troubles(relative, node, _finish_special(folder, name, node, wanted))

    def _troubles(self, relative: bytes, node: Node, troubles: list[str]) -> None:
        for trouble in troubles:
            self._issue(relative, node.name, "metadata", trouble)

    def _issue(self, relative: bytes, name: bytes, kind: str, reason: str) -> None:
        self._issues.add(os.path.join(self._target.stands_for, relative, name).rstrip(b"/"), kind, reason)


def _link_key(node: Node) -> _LinkKey:
    return node.device_id, node.inode, node.type, b"".join(node.content or ()) or node.link_target


def _finish_link(folder: int, name: bytes, wanted: Wanted) -> list[str]:
    troubles = []
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if (status.st_uid, status.st_gid) != (wanted.uid, wanted.gid):
        try:
            os.chown(name, wanted.uid, wanted.gid, dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            troubles.append(f"its owner {wanted.uid}:{wanted.gid}: {error.strerror}")
    times = (wanted.mtime_ns, wanted.mtime_ns)
    os.utime(name, ns=times, dir_fd=folder, follow_symlinks=False)
    return troubles


def _finish_special(folder: int, name: bytes, node: Node, wanted: Wanted) -> list[str]:
    """By a handle of the very entry, for a name could lead elsewhere by now; it is not opened for use."""
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        status = os.fstat(descriptor)
        if stat.S_IFMT(status.st_mode) != stat.S_IFMT(node.mode):
            return ["another entry has taken its place"]
        return apply(f"/proc/self/fd/{descriptor}", status, wanted)
    finally:
        with suppress(OSError):
            os.close(descriptor)


def _join(relative: bytes, name: bytes) -> bytes:
    return relative + b"/" + name if relative else name
