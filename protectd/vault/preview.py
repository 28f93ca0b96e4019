"""What a restore would do: the saved tree beside what stands in its target, and nothing written."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, field

from protectd.common.progress import Counts
from protectd.common.reports import RestoreOptions, RestorePreview
from protectd.plugin.base import BankRefused
from protectd.vault.attributes import SET_ID
from protectd.vault.chosen import Chosen
from protectd.vault.errors import FormatError, VaultDamaged
from protectd.vault.issues import Issues
from protectd.vault.opening import READ_DIRECTORY, open_plain
from protectd.vault.operation import Reporter
from protectd.vault.pack import DATA, TREE
from protectd.vault.repository import BlobReader
from protectd.vault.staging import has_mounts_below
from protectd.vault.target import Target
from protectd.vault.tree import Node, decode_tree
from protectd.vault.tree_role import SavedTree, TreeRole

KINDS_MADE = frozenset({"file", "symlink", "fifo", "dev", "chardev"})
MOUNTED = "another file system is mounted below: files would be replaced one by one"
DEVICES = frozenset({"dev", "chardev"})


class PreviewTree(TreeRole[RestorePreview]):
    """As `RestoreTree`, without a hand on the target."""

    def bring(self, saved: SavedTree) -> RestorePreview:
        place = Place.look(self.target, overwrite=self.options.overwrite)
        with nullcontext() if place.target is None else closing(place.target):
            if self.options.staged and place.target is not None and has_mounts_below(place.path):
                place.notes.append(MOUNTED)
            look = _Look(saved.reader, place, self.options, saved.reporter)
            look.at(saved.tree_id, saved.chosen)
        saved.blame(look.issues)
        return look.report()


@dataclass
class Place:
    """Where a restore would write.

    :ivar target: the directory, when it is there.
    :ivar writable: whether something can be made in it, or in the nearest directory above that is there.
    :ivar refusal: why it would not be taken.
    """

    path: bytes
    target: Target | None
    owner: tuple[int, int]
    writable: bool
    free_bytes: int
    device: int
    refusal: str = ""
    notes: list[str] = field(default_factory=list)

    @classmethod
    def look(cls, path: str, *, overwrite: bool) -> Place:
        raw = os.path.normpath(os.fsencode(path))
        above, folder = _nearest(raw)
        try:
            status, room = os.fstat(folder), os.statvfs(folder)
            place = cls(
                path=raw,
                target=None,
                owner=(status.st_uid, status.st_gid),
                writable=_may_write(folder),
                free_bytes=room.f_bavail * room.f_frsize,
                device=status.st_dev,
            )
        except BaseException:
            os.close(folder)
            raise
        if above == raw:
            place.target = Target(raw, folder, place.owner)
            place.refusal = "" if overwrite or not os.listdir(folder) else "the target is not empty"
        else:
            os.close(folder)
            place.refusal = _in_the_way(raw, above)
        return place


def _nearest(path: bytes) -> tuple[bytes, int]:
    """The directory, or the next one above that is there; open."""
    while True:
        try:
            return path, open_plain(path, READ_DIRECTORY)
        except OSError:
            if path == b"/":
                raise
            path = os.path.dirname(path)


def _in_the_way(path: bytes, above: bytes) -> str:
    """Why a directory that is to be made below `above` cannot be."""
    name = path[len(above) :].strip(b"/").split(b"/")[0]
    there = os.path.join(above, name)
    return f"{os.fsdecode(there)!r} cannot be entered as a directory" if os.path.lexists(there) else ""


def _may_write(folder: int) -> bool:
    return os.access(f"/proc/self/fd/{folder}", os.W_OK | os.X_OK)


@dataclass
class _Counted:
    files: int = 0
    directories: int = 0
    links: int = 0
    others: int = 0
    data_bytes: int = 0
    replaced: int = 0
    same: int = 0
    blocked: int = 0
    foreign: int = 0
    set_id: int = 0
    names: set[tuple[int, int, str]] = field(default_factory=set)
    """Files of several names that were counted."""


class _Look:
    """One walk through the saved tree."""

    def __init__(self, reader: BlobReader, place: Place, options: RestoreOptions, reporter: Reporter) -> None:
        self._reader = reader
        self._place = place
        self._trusted = options.trusted
        self._reporter = reporter
        self._counted = _Counted()
        self._conflicts = Issues()
        self.issues = Issues()

    def at(self, tree_id: bytes, chosen: Chosen) -> None:
        """Walk the tree that would be the target's."""
        self._counted.directories += 1
        waiting = [(b"", tree_id, chosen, self._place.target is not None)]
        while waiting:
            relative, subtree, wanted, there = waiting.pop()
            nodes = [node for node in self._nodes(relative, subtree) if node.name in wanted]
            stand = self._standing(relative, nodes) if there else {}
            self._sizes(relative, nodes)
            for node in nodes:
                status = stand.get(node.name)
                if node.type != "dir":
                    self._entry(relative, node, status)
                elif node.subtree is not None:
                    below, stands = wanted.below(node.name), self._folder(relative, node, status)
                    waiting.append((_join(relative, node.name), node.subtree, below, stands))
            self._tell()

    def report(self) -> RestorePreview:
        counted, place = self._counted, self._place
        return RestorePreview(
            target=os.fsdecode(place.path).encode("utf-8", "backslashreplace").decode(),
            exists=place.target is not None,
            writable=place.writable,
            files=counted.files,
            directories=counted.directories,
            links=counted.links,
            others=counted.others,
            data_bytes=counted.data_bytes,
            free_bytes=place.free_bytes,
            device=place.device,
            replaced=counted.replaced,
            same=counted.same,
            blocked=counted.blocked,
            conflicts=tuple(self._conflicts.kept),
            issues=tuple(self.issues.kept),
            issue_count=self.issues.count,
            refusal=place.refusal,
            notes=tuple(self._notes()),
        )

    def _notes(self) -> Sequence[str]:
        counted = self._counted
        told = (
            (counted.foreign, "entries will belong to the owner of the target, not to their own"),
            (counted.set_id, "files and directories will lose their set-id bits"),
        )
        return [*self._place.notes, *(f"{count} {what}" for count, what in told if count)]

    # --- the saved side ---

    def _nodes(self, relative: bytes, tree_id: bytes) -> list[Node]:
        try:
            return decode_tree(self._reader.load(TREE, tree_id))
        except (VaultDamaged, FormatError, BankRefused) as error:
            self._issue(relative, b"", "damaged", f"its entries could not be read: {error}")
            return []

    def _sizes(self, relative: bytes, nodes: Sequence[Node]) -> None:
        """Count the bytes of files, each once."""
        files = [node for node in nodes if node.content and self._is_first(node)]
        ids = [blob_id for node in files for blob_id in node.content or ()]
        sizes = {
            blob_id: None if place is None else place[1].size
            for blob_id, place in zip(ids, self._reader.index.lookup_all(DATA, ids), strict=True)
        }
        for node in files:
            missing = next((each for each in node.content or () if sizes[each] is None), None)
            if missing is not None:
                self._issue(relative, node.name, "damaged", f"data blob {missing.hex()} is in no index")
            else:
                self._counted.data_bytes += sum(sizes[each] or 0 for each in node.content or ())

    def _is_first(self, node: Node) -> bool:
        if node.links < 2 or not node.inode:
            return True
        key = node.device_id, node.inode, node.type
        if key in self._counted.names:
            return False
        self._counted.names.add(key)
        return True

    # --- the target's side ---

    def _standing(self, relative: bytes, nodes: Sequence[Node]) -> dict[bytes, os.stat_result]:
        """What is there already, by name."""
        assert self._place.target is not None
        try:
            folder = self._place.target.folder(relative)
        except OSError as error:
            self._block(relative, b"", error.strerror or str(error))
            return {}
        if nodes and not _may_write(folder):
            self._block(relative, b"", "nothing can be made in it")
        found = {}
        for node in nodes:
            with suppress(OSError):
                found[node.name] = os.stat(node.name, dir_fd=folder, follow_symlinks=False)
        return found

    def _folder(self, relative: bytes, node: Node, status: os.stat_result | None) -> bool:
        """Whether it is there."""
        self._counted.directories += 1
        self._rights(node)
        if status is None:
            return False
        if not stat.S_ISDIR(status.st_mode):
            self._replace(relative, node, "a directory takes its place")
            return False
        return True

    def _entry(self, relative: bytes, node: Node, status: os.stat_result | None) -> None:
        if node.type not in KINDS_MADE or (node.type in DEVICES and not self._trusted):
            self._issue(relative, node.name, "withheld", f"a {node.type} is not restored")
            return
        self._count(node)
        self._rights(node)
        if status is None:
            return
        if stat.S_ISDIR(status.st_mode):
            self._over_folder(relative, node)
        elif _looks_same(node, status):
            self._counted.replaced += 1
            self._counted.same += 1
        else:
            reason = "it differs" if _same_kind(node, status) else "it is of another kind"
            self._replace(relative, node, reason)

    def _count(self, node: Node) -> None:
        counted = self._counted
        if node.type == "file":
            counted.files += 1
        elif node.type == "symlink":
            counted.links += 1
        else:
            counted.others += 1

    def _rights(self, node: Node) -> None:
        if self._trusted:
            return
        self._counted.foreign += (node.uid, node.gid) != self._place.owner
        self._counted.set_id += bool(node.mode & SET_ID and node.type in ("file", "dir"))

    def _over_folder(self, relative: bytes, node: Node) -> None:
        assert self._place.target is not None
        try:
            folder = os.open(node.name, READ_DIRECTORY, dir_fd=self._place.target.folder(relative))
        except OSError as error:
            self._block(relative, node.name, error.strerror or str(error))
            return
        try:
            is_full = bool(os.listdir(folder))
        finally:
            os.close(folder)
        if is_full:
            self._block(relative, node.name, "a directory that is not empty is in its place")
        else:
            self._replace(relative, node, "it is an empty directory")

    def _replace(self, relative: bytes, node: Node, reason: str) -> None:
        self._counted.replaced += 1
        self._conflicts.add(self._where(relative, node.name), "replaced", reason)

    def _block(self, relative: bytes, name: bytes, reason: str) -> None:
        self._counted.blocked += 1
        self._conflicts.add(self._where(relative, name), "blocked", reason)

    def _issue(self, relative: bytes, name: bytes, kind: str, reason: str) -> None:
        self.issues.add(self._where(relative, name), kind, reason)

    def _where(self, relative: bytes, name: bytes) -> bytes:
        return os.path.join(self._place.path, relative, name).rstrip(b"/")

    def _tell(self) -> None:
        counted = self._counted
        self._reporter.tell(Counts("preview", counted.data_bytes, None, counted.files, None))


def _looks_same(node: Node, status: os.stat_result) -> bool:
    is_file = node.type == "file" and stat.S_ISREG(status.st_mode)
    return is_file and (node.size, node.mtime_ns) == (status.st_size, status.st_mtime_ns)


_same_kinds: dict[str, Callable[[int], bool]] = {
    "file": stat.S_ISREG,
    "symlink": stat.S_ISLNK,
    "fifo": stat.S_ISFIFO,
    "dev": stat.S_ISBLK,
    "chardev": stat.S_ISCHR,
}


def _same_kind(node: Node, status: os.stat_result) -> bool:
    return _same_kinds[node.type](status.st_mode)


def _join(relative: bytes, name: bytes) -> bytes:
    return relative + b"/" + name if relative else name
