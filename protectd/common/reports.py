"""What the vault reports of its work: plain values that plug-ins, tasks and views share."""

from __future__ import annotations

from dataclasses import dataclass

DAMAGED = "resource.damaged"
"""Code of the error of a check that has found damage."""

UNREAD = "resource.unread"
"""Code of the error of a check that has found none, and could not look at everything."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One entry of a tree, or object of a vault, that could not be handled as wished; the operation went on.

    `path` is text for people: bytes that are no UTF-8 are shown as backslash escapes.
    `kind` is one of vanished, changed, unreadable, socket, metadata, refused, damaged, withheld (what the
    caller may not have back) and kept (a target that was left as it was).
    """

    path: str
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class SaveReport:
    """One saved tree. Sizes in bytes; `added` is new plain data, `stored` the same as it lies in the bank."""

    snapshot_id: str
    tree_id: str
    files: int
    directories: int
    others: int
    files_unmodified: int
    logical_bytes: int
    read_bytes: int
    added_bytes: int
    stored_bytes: int
    issues: tuple[Issue, ...] = ()
    issue_count: int = 0
    """All issues, also those beyond the first 1,000 that `issues` keeps."""


@dataclass(frozen=True, slots=True)
class RestoreReport:
    files: int
    directories: int
    others: int
    written_bytes: int
    issues: tuple[Issue, ...] = ()
    issue_count: int = 0
    missing_count: int = 0
    """Of the issues, entries that are not there as they were saved."""


@dataclass(frozen=True, slots=True)
class RestorePreview:
    """What a restore of one tree would do. Nothing was written to find it out.

    :ivar exists: whether the target is there; `writable`: whether something can be made in it, or where it
        would be made.
    :ivar data_bytes: of file content that would be written; a file of several names counts once.
    :ivar free_bytes: what this user may still use where the target lies, on file system `device`.
    :ivar replaced: entries of the target that would be; `same` those of them that have the size and time of
        what would replace them.
    :ivar blocked: entries that could not be written, for something that is never replaced is in the way.
    :ivar conflicts: the first 1,000 of what is replaced or blocked, without those that are the same.
    :ivar issues: what would not come back as it was saved: damaged, withheld, refused.
    :ivar refusal: why the restore would end before it begins; "": it would not.
    :ivar notes: what else is worth knowing, in sentences.
    """

    target: str
    exists: bool
    writable: bool
    files: int
    directories: int
    links: int
    others: int
    data_bytes: int
    free_bytes: int
    device: int = 0
    replaced: int = 0
    same: int = 0
    blocked: int = 0
    conflicts: tuple[Issue, ...] = ()
    issues: tuple[Issue, ...] = ()
    issue_count: int = 0
    """All, also those beyond the first 1,000 that `issues` keeps."""

    refusal: str = ""
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        return self.data_bytes <= self.free_bytes

    @property
    def possible(self) -> bool:
        """Whether it would bring everything back, as things are now."""
        return not self.refusal and not self.blocked and self.fits and self.writable


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check looked at and what it found damaged. `errors` name objects and what to do; `unread` name
    what the bank did not give, of which nothing is known."""

    snapshots: int = 0
    packs: int = 0
    blobs: int = 0
    read_bytes: int = 0
    errors: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    read_packs: int = 0
    """Of the packs, how many were read whole: fewer when only a share was asked for."""
    unread: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.errors and not self.unread


@dataclass(frozen=True, slots=True)
class CompareReport:
    """A directory on disk beside what a vault recorded of it: names, kinds, sizes, modes, times, owners,
    attributes, targets of links and every byte. Device nodes and attributes of links are not looked at.

    :ivar differences: the first 1,000 in words, each with the path of its entry.
    :ivar owners: so many entries had theirs compared. :ivar attributes: so many were.
    :ivar not_compared: owners and attributes that could not be, because this place does not take them: how
        many, and why.
    """

    files: int = 0
    directories: int = 0
    others: int = 0
    read_bytes: int = 0
    differences: tuple[str, ...] = ()
    difference_count: int = 0
    owners: int = 0
    attributes: int = 0
    not_compared: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.difference_count


@dataclass(frozen=True, slots=True)
class PruneReport:
    removed_packs: int = 0
    repacked_packs: int = 0
    freed_bytes: int = 0
    kept_bytes: int = 0


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What was done to an index, and what cannot be mended there: packs `missing` from the bank are in the
    index no more; of `damaged` ones what reads is. Each is told with what is to be done.

    :ivar added_packs: those that no index file named.
    :ivar unreadable_files: index files that were replaced because they did not read.
    """

    packs: int = 0
    read_packs: int = 0
    added_packs: int = 0
    written_files: int = 0
    removed_files: int = 0
    unreadable_files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.missing and not self.damaged


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What a copy to another vault has moved.

    :ivar copied: id of each snapshot, and of its new copy.
    :ivar present: the same for those that were there before.
    :ivar blobs: and `copied_bytes`, as they lie in the bank: those that were missing there.
    :ivar errors: snapshots that were not copied, and what is to be done; all others were.
    """

    copied: tuple[tuple[str, str], ...] = ()
    present: tuple[tuple[str, str], ...] = ()
    blobs: int = 0
    copied_bytes: int = 0
    errors: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.errors


@dataclass(frozen=True, slots=True)
class CheckpointStats:
    """What one checkpoint, or one snapshot that belongs to none, takes. Bytes.

    :ivar name: the checkpoint's id, or the snapshot's.
    :ivar logical_bytes: of its files, each as often as it has a name.
    :ivar stored_bytes: of the different blobs it needs, as they lie in the bank.
    :ivar unique_bytes: of those that no other checkpoint needs: what its deletion gives back.
    """

    name: str
    is_checkpoint: bool
    snapshot_ids: tuple[str, ...]
    files: int
    logical_bytes: int
    stored_bytes: int
    unique_bytes: int

    @property
    def shared_bytes(self) -> int:
        return self.stored_bytes - self.unique_bytes


@dataclass(frozen=True, slots=True)
class VaultStats:
    """What a vault takes. Bytes; `stored` is all packs, `needed` and `plain` the different blobs that
    snapshots need, as they lie there and as they were, `shared` those that several checkpoints need.

    `unneeded_bytes` is what no snapshot needs: a prune gives it back, except what is not worth a rewrite.
    `errors` name what could not be counted.
    """

    snapshots: int = 0
    packs: int = 0
    blobs: int = 0
    logical_bytes: int = 0
    plain_bytes: int = 0
    stored_bytes: int = 0
    needed_bytes: int = 0
    shared_bytes: int = 0
    unneeded_bytes: int = 0
    checkpoints: tuple[CheckpointStats, ...] = ()
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """How a tree is written back.

    :ivar overwrite: existing entries may be replaced; without it a non-empty target is refused.
    :ivar trusted: set-id bits, device nodes and foreign owners are restored (administrators only).
    :ivar owners: foreign owners and all attributes are, but no set-id bits and no device nodes: for a target
        that nobody else can enter.
    :ivar verify: hash each blob again; without it the authentication tag alone stands for it.
    :ivar staged: with `overwrite`, where something is there: nothing of it is touched before all that comes
        in its place is written and proven; what is not whole replaces nothing. Takes room for both meanwhile.
    :ivar paths: only these files and directories, with the directories that lead to them: absolute as in the
        snapshot, or relative to the directory that was saved. None given: everything. Directories on the way
        that are in the target already stay as they are.

    Entries of the target that the tree does not have are kept.
    """

    overwrite: bool = False
    trusted: bool = False
    owners: bool = False
    verify: bool = True
    staged: bool = False
    paths: tuple[str, ...] = ()
