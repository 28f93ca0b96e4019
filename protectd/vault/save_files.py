"""From what the workers found in files to the nodes of the tree."""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from protectd.vault.issues import Issues
from protectd.vault.opening import Identity
from protectd.vault.scan import FileEntry, Folder, Scanner
from protectd.vault.seen_files import FileResult
from protectd.vault.tree import file_node, one_blob_node

_TRIES = 3
_ID_BYTES = 32
_ID_DIGITS = 2 * _ID_BYTES


@dataclass(slots=True)
class _HardLink:
    """One file with several names: read under one of them."""

    content: list[bytes] | None = None
    size: int = 0
    waiting: list[FileEntry] = field(default_factory=list)


class Files:
    """Keeps track of each file between scan and node.

    :param read: called with a file that a worker has to read.
    :param settled: called with the folder of each entry that is through.
    """

    def __init__(
        self,
        scanner: Scanner,
        issues: Issues,
        read: Callable[[FileEntry], None],
        settled: Callable[[Folder], None],
    ) -> None:
        self._scanner = scanner
        self._issues = issues
        self._read = read
        self._settled = settled
        self._links: dict[Identity, _HardLink] = {}

    def found(self, entry: FileEntry) -> None:
        """A file that the scan met: read it, unless that is done or on its way under another name."""
        if not entry.hard_link:
            self._read(entry)
            return
        identity = entry.identity
        link = self._links.get(identity)
        if link is None:
            self._links[identity] = _HardLink()
            self._read(entry)
        elif link.content is None:
            link.waiting.append(entry)
        else:
            self._save(entry, link.content, link.size)

    def read(self, files: Sequence[FileEntry], ids: bytes, others: Mapping[int, FileResult]) -> int:
        """What a worker says of small files; how many bytes it has read.

        :param ids: 32 bytes for each, its one blob. :param others: by number, what does not go by `ids`.
        """
        digits = hexlify(ids)
        read = 0
        for number, entry in enumerate(files):
            if number in others:
                read += others[number].read_bytes
                self.result(entry, others[number])
                continue
            read += entry.size
            if entry.hard_link:
                self._read_well(entry, _split(ids[number * _ID_BYTES : (number + 1) * _ID_BYTES]), entry.size)
            else:
                id_digits = digits[number * _ID_DIGITS : (number + 1) * _ID_DIGITS]
                entry.folder.nodes[entry.place] = one_blob_node(entry.prefix, id_digits)
                self._settled(entry.folder)
        return read

    def result(self, entry: FileEntry, result: FileResult) -> None:
        """What a worker says of a file that it was given."""
        if result.trouble == "replaced":
            self._replaced(entry)
        elif result.trouble in (None, "changed"):
            if result.trouble:
                self._issues.add(entry.path, "changed", result.reason)
            self._read_well(entry, _split(result.ids), result.read_bytes)
        else:
            self._issues.add(entry.path, result.trouble or "", result.reason)
            self._leave_out(entry)

    def _read_well(self, entry: FileEntry, content: list[bytes], size: int) -> None:
        self._save(entry, content, size)
        link = self._links.get(entry.identity) if entry.hard_link else None
        if link is not None:
            link.content, link.size = content, size
            waiting, link.waiting = link.waiting, []
            for other in waiting:
                self._save(other, content, size)

    def _save(self, entry: FileEntry, content: list[bytes], size: int) -> None:
        prefix = entry.prefix if size == entry.size else _with_size(entry, size)
        entry.folder.nodes[entry.place] = file_node(prefix, content)
        self._settled(entry.folder)

    def _leave_out(self, entry: FileEntry) -> None:
        self._scanner.forget(entry)
        self._pass_on(entry)
        self._settled(entry.folder)

    def _pass_on(self, entry: FileEntry) -> None:
        """Another name of the same file may still lead to it."""
        link = self._links.get(entry.identity) if entry.hard_link else None
        if link is None or link.content is not None:
            return
        if link.waiting:
            self._read(link.waiting.pop(0))
        else:
            del self._links[entry.identity]

    def _replaced(self, entry: FileEntry) -> None:
        if entry.tries >= _TRIES:
            self._issues.add(entry.path, "changed", "it was replaced each time it was to be read")
            self._leave_out(entry)
            return
        self._pass_on(entry)
        found = self._scanner.again(entry)
        if isinstance(found, FileEntry):
            self.found(found)
        else:
            if isinstance(found, Folder):
                self._issues.add(entry.path, "changed", "a directory has taken the place of a file")
            self._settled(entry.folder)


def _split(ids: bytes) -> list[bytes]:
    return [ids[start : start + _ID_BYTES] for start in range(0, len(ids), _ID_BYTES)]


def _with_size(entry: FileEntry, size: int) -> bytes:
    """The node of a file of which more or less was read than the scan saw."""
    field_now = b'"size":%d,' % size if size else b""
    return entry.prefix.replace(b'"size":%d,' % entry.size, field_now, 1)
