"""What changed between two snapshots. A directory whose tree has the same id is not even read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from protectd.plugin.base import BankRefused
from protectd.vault.entries import Entry, Trouble, children, list_entries, unreadable
from protectd.vault.errors import VaultDamaged
from protectd.vault.repository import BlobReader
from protectd.vault.tree import Node

ADDED, REMOVED, CHANGED, METADATA, TYPE = "added", "removed", "changed", "metadata", "type"
KINDS = (ADDED, REMOVED, CHANGED, METADATA, TYPE)


@dataclass(frozen=True, slots=True)
class Change:
    """`kind` is `changed` for another content, `metadata` when only owner, mode, time or attributes differ,
    `type` when something else stands under the name. `before` or `after` is None where there was nothing."""

    path: bytes
    kind: str
    before: Node | None
    after: Node | None


Pair = tuple[Entry | None, Entry | None]


def diff(
    reader: BlobReader,
    before: Entry,
    after: Entry,
    trouble: Trouble,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Change]:
    """Changes from one entry to another, each directory's own before those in it.

    Content is compared by its blobs: a large file that restic and protectd have cut differently counts as
    changed. Paths are those of `after`, and of `before` for what is gone.

    :param trouble: hears of directories that cannot be read; what is in them is left out.
    :param check: called once an entry that is compared; may raise.
    :raises VaultDamaged: one of the two themselves cannot be read.
    """
    yield from _changes(reader, (before, after), trouble)
    waiting = [iter(_pairs(reader, before, after))] if _goes_down(before, after) else []
    while waiting:
        check()
        pair = next(waiting[-1], None)
        if pair is None:
            waiting.pop()
            continue
        yield from _changes(reader, pair, trouble)
        old, new = pair
        if old and new and _goes_down(old, new):
            waiting.append(iter(_pairs_or_trouble(reader, old, new, trouble)))


def _goes_down(old: Entry, new: Entry) -> bool:
    return old.subtree is not None and new.subtree is not None and old.subtree != new.subtree


def _pairs_or_trouble(reader: BlobReader, old: Entry, new: Entry, trouble: Trouble) -> Sequence[Pair]:
    try:
        return _pairs(reader, old, new)
    except (VaultDamaged, BankRefused) as error:
        trouble(new.path, unreadable(error))
        return ()


def _pairs(reader: BlobReader, before: Entry, after: Entry) -> Sequence[Pair]:
    """Entries of two directories by name, in order."""
    old, new = _by_name(reader, before), _by_name(reader, after)
    return [(old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys())]


def _by_name(reader: BlobReader, folder: Entry) -> dict[bytes, Entry]:
    return {os.path.basename(each.path): each for each in children(reader, folder)}


def _changes(reader: BlobReader, pair: Pair, trouble: Trouble) -> Iterator[Change]:
    """Those of one name; of all that is below it, where only one side has it as a directory."""
    old, new = pair
    before, after = _node(old), _node(new)
    kind = _kind(before, after)
    if kind is None:
        return
    yield Change((new or old or _NOWHERE).path, kind, before, after)
    if kind in (REMOVED, TYPE) and old is not None:
        yield from (Change(each.path, REMOVED, each.node, None) for each in _below(reader, old, trouble))
    if kind in (ADDED, TYPE) and new is not None:
        yield from (Change(each.path, ADDED, None, each.node) for each in _below(reader, new, trouble))


_NOWHERE = Entry(b"", None, None)


def _node(entry: Entry | None) -> Node | None:
    return None if entry is None else entry.node


def _below(reader: BlobReader, top: Entry, trouble: Trouble) -> Iterator[Entry]:
    if top.subtree is not None:
        try:
            yield from list_entries(reader, top, trouble, recursive=True)
        except (VaultDamaged, BankRefused) as error:
            trouble(top.path, unreadable(error))


def _kind(before: Node | None, after: Node | None) -> str | None:
    """None: the same, as far as a user sees; and of `/`, which has nothing of its own."""
    if before is None or after is None:
        return None if before is after else ADDED if before is None else REMOVED
    if before.type != after.type:
        return TYPE
    if _content(before) != _content(after):
        return CHANGED
    return METADATA if _metadata(before) != _metadata(after) else None


def _content(node: Node) -> tuple[object, ...]:
    """What is in an entry. A directory's is what is below it: that is told by itself."""
    return node.content, node.link_target, node.device, node.size if node.type == "file" else 0


def _metadata(node: Node) -> tuple[object, ...]:
    """What a user sees of an entry beside its content; not where it happens to lie on a disk."""
    owner = node.uid, node.gid, node.user, node.group
    return node.mode, node.mtime_ns, owner, sorted(node.xattrs)


@dataclass(slots=True)
class DiffTotals:
    """Entries by kind of change, and bytes of file content: what went and what came, with both versions of
    what changed."""

    entries: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    before_bytes: int = 0
    after_bytes: int = 0

    def add(self, change: Change) -> None:
        self.entries[change.kind] += 1
        if change.kind != METADATA:
            self.before_bytes += change.before.size if change.before else 0
            self.after_bytes += change.after.size if change.after else 0
