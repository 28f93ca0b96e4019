"""The first half of a prune: what nobody needs is written anew or marked to be deleted. Nothing goes yet.

Others may work in the vault meanwhile. New packs, then the index files that name them, then the marks: each
is durable before the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from protectd.common.progress import Progress
from protectd.vault.check_packs import stored_packs
from protectd.vault.index import BlobIndex, IndexPart, encode_index
from protectd.vault.index_files import Mark, Marks, encode_marks
from protectd.vault.locks import store_confirmed
from protectd.vault.prune_plan import Plan, make_plan
from protectd.vault.prune_repack import Written, repack
from protectd.vault.prune_used import Walked, used_rows
from protectd.vault.repository import INDEX, Repository

Files = Mapping[str, IndexPart]


@dataclass(frozen=True, slots=True)
class Marking:
    """
    :ivar going: packs that nobody needs, all of them marked. :ivar files: index files that say so, by name.
    :ivar known: whether any of them stands or stood in the index; others may be those of a backup that runs.
    """

    plan: Plan
    written: Written
    going: frozenset[bytes]
    files: frozenset[str]
    known: bool


def mark(
    repository: Repository,
    walked: Walked,
    progress: Progress,
    confirm: Callable[[], None],
    pack_bytes: int,
    now: datetime,
) -> Marking:
    """Write anew what is partly needed, and mark all packs that nobody needs then.

    :param confirm: looks whether the lock holds, before and after anything is stored that others rely on.
    :raises VaultDamaged: something does not read that is needed, or is missing: nothing was marked.
    """
    roots = walked.new_roots()
    files = repository.index_files()
    index, marks = whole_index(files.values()), Marks.of(files.values())
    used = used_rows(walked, roots, index)
    sizes = stored_packs(repository.bank)
    plan = make_plan(index, used, sizes, pack_bytes, marks.notes.keys())
    written = repack(repository, index, plan, progress, pack_bytes)
    # A pack that is named and not listed goes like the others: a listing may be behind.
    going = plan.repack | plan.drop | (frozenset(index.pack_ids) - sizes.keys())
    live = named_packs(files)
    returned = dict(index.each_pack(frozenset(index.pack_ids) - going - live))
    for json in encode_index({**returned, **written.packs}):
        store_confirmed(repository, INDEX, json, confirm)
    known = going & live
    fresh = (known - marks.leaving) | (going - live - marks.notes.keys())
    notes = {pack_id: Mark(now, sizes.get(pack_id)) for pack_id in sorted(fresh)}
    names = _store_marks(repository, index, notes, confirm)
    return Marking(plan, written, going, names | marking_files(files), bool(going & (live | marks.leaving)))


def _store_marks(
    repository: Repository, index: BlobIndex, notes: Mapping[bytes, Mark], confirm: Callable[[], None]
) -> frozenset[str]:
    entries = dict(index.each_pack(notes.keys()))
    packs = {pack_id: entries.get(pack_id, []) for pack_id in notes}
    return frozenset(store_confirmed(repository, INDEX, json, confirm) for json in encode_marks(packs, notes))


def whole_index(parts: Iterable[IndexPart]) -> BlobIndex:
    """All that index files name, also what they name among their marks only."""
    parts = list(parts)
    return BlobIndex([*parts, *(part.marked.part for part in parts if part.marked is not None)])


def named_packs(files: Files) -> frozenset[bytes]:
    """Packs that are in the index, marked or not."""
    return frozenset(pack_id for part in files.values() for pack_id in part.pack_ids)


def marking_files(files: Files) -> frozenset[str]:
    return frozenset(name for name, part in files.items() if part.marked is not None)
