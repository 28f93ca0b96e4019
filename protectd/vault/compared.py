"""Is a directory on disk what the vault recorded? Read back from the medium, and hashed anew.

Knows nothing of how it was written there: neither the plan nor the words of whoever restored it count.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from protectd.common.progress import Counts, Progress
from protectd.common.reports import CompareReport
from protectd.plugin.base import BankRefused
from protectd.vault.attributes import ACL, HARMLESS, SET_ID, read_attributes
from protectd.vault.entries import Entry, nodes_of
from protectd.vault.errors import VaultDamaged
from protectd.vault.opening import READ_DIRECTORY, READ_FILE, open_long, shown
from protectd.vault.pack import DATA
from protectd.vault.repository import BlobReader
from protectd.vault.tree import Node, Xattrs

MAX_DIFFERENCES = 1000
_NOT_KEPT = "this file system does not keep it as it was"
_NOT_TRIED = "this worker has not the rights to give it"
_KINDS = {
    "file": stat.S_IFREG,
    "dir": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
}
"""What is written back for a restore that is not trusted. Of others nothing is expected."""


@dataclass
class _Tally:
    files: int = 0
    directories: int = 0
    others: int = 0
    read_bytes: int = 0
    differences: list[str] = field(default_factory=list)
    count: int = 0
    owners: int = 0
    attributes: int = 0
    not_compared: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, path: bytes, what: str) -> None:
        self.count += 1
        if self.count <= MAX_DIFFERENCES:
            self.differences.append(f"{shown(path)}: {what}")

    def report(self) -> CompareReport:
        return CompareReport(
            self.files,
            self.directories,
            self.others,
            self.read_bytes,
            tuple(self.differences),
            self.count,
            self.owners,
            self.attributes,
            tuple(
                f"{what} of {count} {'entry' if count == 1 else 'entries'}: {why}"
                for (what, why), count in sorted(self.not_compared.items())
            ),
        )


def compare(
    reader: BlobReader, recorded: Entry, directory: str, progress: Progress, *, owners: bool = False
) -> CompareReport:
    """A directory beside the entry that it was restored from, without trust: no set-id bits, no devices.

    What the owner of this process may not read is made readable: the directory is his. An owner or attribute
    that is another one is given to the entry: only what can be given here could have come back.

    :param owners: foreign owners and attributes with power were restored, where that can be.
    """
    return _Comparison(reader, os.fsencode(directory), progress, owners).run(recorded)


class _Comparison:
    def __init__(self, reader: BlobReader, top: bytes, progress: Progress, owners: bool) -> None:
        self._owners = owners
        self._reader = reader
        self._top = top
        self._progress = progress
        self._tally = _Tally()

    def run(self, recorded: Entry) -> CompareReport:
        if recorded.subtree is None:
            self._tally.add(b".", "it was no directory")
            return self._tally.report()
        _write_back(self._top)
        status = os.lstat(self._top)
        if recorded.node is not None and self._look(b".", recorded.node, status):
            self._metadata(b".", self._top, recorded.node, status)
        self._tally.directories += 1
        _open_up(self._top, status)
        waiting = [(b"", recorded.subtree)]
        while waiting:
            relative, subtree = waiting.pop()
            waiting.extend(self._folder(relative, subtree))
        return self._tally.report()

    def _folder(self, relative: bytes, subtree: bytes) -> Sequence[tuple[bytes, bytes]]:
        """Compare what a directory holds; the directories in it, with what was recorded of them."""
        try:
            nodes = nodes_of(self._reader, subtree, relative)
        except (VaultDamaged, BankRefused) as error:
            self._tally.add(relative or b".", f"what was recorded of it does not read: {error}")
            return ()
        descriptor = open_long(os.path.join(self._top, relative).rstrip(b"/"), READ_DIRECTORY)
        try:
            self._surplus(relative, descriptor, nodes)
            return [found for node in nodes if (found := self._entry(relative, descriptor, node))]
        finally:
            os.close(descriptor)

    def _surplus(self, relative: bytes, folder: int, nodes: Sequence[Node]) -> None:
        known = {node.name for node in nodes}
        for name in sorted(map(os.fsencode, os.listdir(folder))):
            if name not in known:
                self._tally.add(os.path.join(relative, name), "it is there and was not recorded")

    def _entry(self, relative: bytes, folder: int, node: Node) -> tuple[bytes, bytes] | None:
        self._progress.check()
        path = os.path.join(relative, node.name)
        if node.type not in _KINDS:
            return None
        try:
            status = os.stat(node.name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            self._tally.add(path, "it is missing")
            return None
        if not self._look(path, node, status):
            return None
        self._metadata(path, b"/proc/self/fd/%d/%s" % (folder, node.name), node, status)
        if node.type == "dir":
            self._tally.directories += 1
            _open_up(node.name, status, folder)
            return (path, node.subtree) if node.subtree is not None else None
        if node.type == "file":
            self._tally.files += 1
            self._content(path, folder, node, status)
        else:
            self._tally.others += 1
        if node.type == "symlink" and os.readlink(node.name, dir_fd=folder) != node.link_target:
            self._tally.add(path, "it leads elsewhere")
        return None

    def _look(self, path: bytes, node: Node, status: os.stat_result) -> bool:
        """Whether it is of the kind that was recorded; what else differs is told."""
        if stat.S_IFMT(status.st_mode) != _KINDS[node.type]:
            self._tally.add(path, f"it is no {node.type} any more")
            return False
        expected, found = stat.S_IMODE(node.mode) & ~SET_ID, stat.S_IMODE(status.st_mode)
        if node.type != "symlink" and expected != found:
            self._tally.add(path, f"its mode is {found:o}, not {expected:o}")
        if status.st_mtime_ns != node.mtime_ns:
            self._tally.add(path, f"its time is {status.st_mtime_ns} ns, not {node.mtime_ns}")
        if node.type == "file" and status.st_size != node.size:
            self._tally.add(path, f"it has {status.st_size} bytes, not {node.size}")
        return True

    # --- owners and attributes ---

    def _metadata(self, path: bytes, place: bytes, node: Node, status: os.stat_result) -> None:
        """Before anything is made readable, which changes an ACL.

        :param place: a path of the entry for calls that take no directory.
        """
        self._owner(path, place, node, status)
        if node.type != "symlink":
            self._attributes(path, place, node)

    def _owner(self, path: bytes, place: bytes, node: Node, status: os.stat_result) -> None:
        found, expected = (status.st_uid, status.st_gid), (node.uid, node.gid)
        if found != expected:
            trouble = _give_owner(place, expected) if self._owners else _NOT_TRIED
            if trouble:
                self._tally.not_compared["owners", trouble] += 1
                return
            self._tally.add(path, "its owner is {}:{}, not {}:{}".format(*found, *expected))
        self._tally.owners += 1

    def _attributes(self, path: bytes, place: bytes, node: Node) -> None:
        """What the kernel adds by itself, such as labels of its security modules, is nobody's fault."""
        expected = _by_name(node.xattrs)
        try:
            found = _attributes_of(place)
        except OSError as error:
            self._tally.add(path, f"its attributes do not read: {error.strerror}")
            return
        for name in sorted(found.keys() - expected.keys()):
            if name.startswith(HARMLESS):
                self._tally.add(path, f"its attribute {shown(os.fsencode(name))} was not recorded")
        for name, value in expected.items():
            self._attribute(path, place, name, value, found.get(name))

    def _attribute(self, path: bytes, place: bytes, name: str, value: bytes, found: bytes | None) -> None:
        what = f"attribute {shown(os.fsencode(name))}"
        if found != value:
            tried = self._owners or name.startswith(HARMLESS)
            trouble = _give_attribute(place, name, value) if tried else _NOT_TRIED
            if trouble:
                self._tally.not_compared[what, trouble] += 1
                return
            self._tally.add(path, f"its {what} is {'missing' if found is None else 'another'}")
        self._tally.attributes += 1

    # --- content ---

    def _content(self, path: bytes, folder: int, node: Node, status: os.stat_result) -> None:
        try:
            descriptor = _readable(node.name, folder, status)
        except OSError as error:
            self._tally.add(path, f"it does not read: {error.strerror}")
            return
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            self._pieces(path, descriptor, node)
        except OSError as error:
            self._tally.add(path, f"it does not read: {error.strerror}")
        finally:
            os.close(descriptor)

    def _pieces(self, path: bytes, descriptor: int, node: Node) -> None:
        """Each blob's worth of bytes against the blob's id. The first that differs is told."""
        place = 0
        for blob_id in node.content or ():
            self._progress.check()
            known = self._reader.index.lookup(DATA, blob_id)
            if known is None:
                self._tally.add(path, f"data blob {blob_id.hex()} is in no index")
                return
            size = known[1].size
            piece = _read(descriptor, size, place)
            self._tally.read_bytes += len(piece)
            if len(piece) != size or hashlib.sha256(piece).digest() != blob_id:
                self._tally.add(path, f"its content differs from byte {place} to {place + size}")
                return
            place += size
            self._progress.report(Counts("compare", self._tally.read_bytes, done_files=self._tally.files))


def _attributes_of(place: bytes) -> dict[str, bytes]:
    try:
        return _by_name(read_attributes(place))
    except PermissionError:
        names = [name for name in os.listxattr(place, follow_symlinks=False) if name.startswith(ACL)]
        acls = {name: os.getxattr(place, name, follow_symlinks=False) for name in names}
        _open_for_owner(place)
        return _by_name(read_attributes(place)) | acls


def _open_for_owner(place: bytes) -> None:
    os.chmod(place, stat.S_IMODE(os.lstat(place).st_mode) | stat.S_IRWXU)


def _by_name(attributes: Xattrs) -> dict[str, bytes]:
    return {os.fsdecode(name): bytes(value) for name, value in attributes}


def _give_owner(place: bytes, owner: tuple[int, int]) -> str:
    """Why an entry cannot belong to him here; empty: it can."""
    try:
        os.chown(place, *owner, follow_symlinks=False)
    except OSError as error:
        return error.strerror or str(error)
    status = os.lstat(place)
    return "" if (status.st_uid, status.st_gid) == owner else _NOT_KEPT


def _give_attribute(place: bytes, name: str, value: bytes) -> str:
    """Why an entry cannot have it here; empty: it can."""
    try:
        _set_attribute(place, name, value)
    except OSError as error:
        return error.strerror or str(error)
    return "" if _attributes_of(place).get(name) == value else _NOT_KEPT


def _set_attribute(place: bytes, name: str, value: bytes) -> None:
    try:
        os.setxattr(place, name, value, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.EACCES:
            raise
        _open_for_owner(place)
        os.setxattr(place, name, value, follow_symlinks=False)


def _read(descriptor: int, size: int, place: int) -> bytes:
    pieces: list[bytes] = []
    while size > 0:
        piece = os.pread(descriptor, size, place)
        if not piece:
            break
        pieces.append(piece)
        size, place = size - len(piece), place + len(piece)
    return b"".join(pieces)


def _readable(name: bytes, folder: int, status: os.stat_result) -> int:
    try:
        return os.open(name, READ_FILE, dir_fd=folder)
    except PermissionError:
        os.chmod(name, status.st_mode & 0o777 | 0o400, dir_fd=folder)
        return os.open(name, READ_FILE, dir_fd=folder)


def _open_up(name: bytes, status: os.stat_result, folder: int | None = None) -> None:
    """Let its owner look into a directory that he may not look into."""
    if os.geteuid() and status.st_mode & 0o500 != 0o500:
        os.chmod(name, 0o700, dir_fd=folder)


def _write_back(path: bytes) -> None:
    """Have the file system write what it still holds in memory: only that can be dropped and read anew."""
    sync: Callable[[int], int] = ctypes.CDLL(None, use_errno=True).syncfs
    with suppress(OSError):
        descriptor = os.open(path, READ_DIRECTORY)
        try:
            sync(descriptor)
        finally:
            os.close(descriptor)
