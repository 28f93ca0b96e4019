"""The second half of a prune: marked packs are deleted, when nobody is left who could need them.

The order keeps every instant true: index files without them are stored, the old index files go, then the
packs, then the marks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from protectd.common.progress import Counts, Progress
from protectd.vault.index import BlobIndex, IndexPart, Rows, encode_index
from protectd.vault.index_files import Mark, Marks, encode_marks
from protectd.vault.locks import store_confirmed
from protectd.vault.pack import pack_key
from protectd.vault.prune_mark import named_packs, whole_index
from protectd.vault.prune_used import Roots, Walked
from protectd.vault.repository import INDEX, Repository

_CONFIRM_EVERY = 64
_SMALL_INDEX_BLOBS = 5_000
_MANY_SMALL_INDEXES = 16


class Sweep:
    """Deletes packs that are marked and still not needed.

    :param walked: what it has seen need not be looked at again, for none of it needs a pack that is `going`.
    :param going: packs, all marked. :param mark_files: index files with their marks, by name; what else they
        mark is needed, and its mark goes with them.
    :param confirm: looks whether the lock of the prune holds.
    :ivar notes: what the marks say, where they come from an earlier prune.
    """

    notes: Mapping[bytes, Mark] = MappingProxyType({})

    def __init__(
        self,
        repository: Repository,
        walked: Walked,
        progress: Progress,
        going: frozenset[bytes],
        mark_files: frozenset[str],
        confirm: Callable[[], None],
    ) -> None:
        self._repository = repository
        self._walked = walked
        self._progress = progress
        self._going = set(going)
        self._mark_files = mark_files
        self._confirm = confirm
        self._needed: set[bytes] = set()
        self._files: dict[str, IndexPart] = {}
        self._outdated: dict[str, IndexPart] = {}

    @classmethod
    def of_marks(
        cls,
        repository: Repository,
        progress: Progress,
        mark_files: frozenset[str],
        confirm: Callable[[], None],
    ) -> Sweep:
        """Of all that these files mark; what an earlier prune has seen is not known any more."""
        files = repository.index_files()
        marks = Marks.of(part for name, part in files.items() if name in mark_files)
        walked, going = Walked(repository, progress), frozenset(marks.notes)
        sweep = cls(repository, walked, progress, going, mark_files, confirm)
        sweep.notes = marks.notes
        return sweep

    # --- before other programs are kept out ---

    def prepare(self) -> bool:
        """Store the index files that will replace old ones. Whether there is anything to be done."""
        self._look()
        self._outdated = self._choose_outdated()
        carried = dict(BlobIndex(self._outdated.values()).each_pack())
        for json in encode_index({pack: each for pack, each in carried.items() if pack not in self._going}):
            store_confirmed(self._repository, INDEX, json, self._confirm)
        self._carry_marks()
        return bool(self._going or self._outdated)

    def _choose_outdated(self) -> dict[str, IndexPart]:
        """Files that name a pack which goes, or one that another file names too, or settled marks; and small
        files when there are many."""
        times = Counter(pack_id for part in self._files.values() for pack_id in part.pack_ids)
        outdated = {
            name: part
            for name, part in self._files.items()
            if name in self._mark_files
            or any(pack_id in self._going or times[pack_id] > 1 for pack_id in part.pack_ids)
        }
        small = {name: part for name, part in self._files.items() if len(part.ids) < _SMALL_INDEX_BLOBS}
        return outdated | small if len(small) > _MANY_SMALL_INDEXES else outdated

    def _carry_marks(self) -> None:
        """Marks of others that would go with an outdated file stay."""
        others = [part for name, part in self._outdated.items() if name not in self._mark_files]
        notes = Marks.of(others).notes
        entries = dict(BlobIndex(part.marked.part for part in others if part.marked).each_pack())
        packs = {pack_id: entries.get(pack_id, []) for pack_id in notes}
        for json in encode_marks(packs, notes):
            store_confirmed(self._repository, INDEX, json, self._confirm)

    def _look(self) -> None:
        """See what has become needed: a backup had looked into the index before there were marks, and another
        program does not heed them.

        :raises VaultDamaged: a snapshot or a tree does not read, or what it needs is in no pack.
        """
        roots = self._walked.new_roots()
        self._files = self._repository.index_files(known=self._files)
        # What no index named belonged to a backup if one names it now. So it stays, and what is in it need
        # not stay elsewhere: a marked pack may be gone already, if whoever marked it was killed.
        leaving = Marks.of(self._files.values()).leaving
        self._going -= named_packs(self._files) - leaving
        if roots:
            needed = self._find_needed(roots)
            self._needed |= needed
            self._going -= needed

    def _find_needed(self, roots: Roots) -> set[bytes]:
        """Of the packs that go, those that alone have a blob below the roots."""
        index = whole_index(self._files.values())
        groups, packs, _, _ = index.columns()
        going = np.array([pack_id in self._going for pack_id in index.pack_ids], np.bool_)[packs]
        elsewhere = np.zeros(len(index) + 1, np.bool_)
        elsewhere[groups[~going]] = True
        lonely: list[Rows] = [np.empty(0, np.intp)]
        for kind, ids in self._walked.ids(roots, index):
            found = groups[index.rows_of(kind, ids)]
            lonely.append(found[~elsewhere[found]])
        return _packs_of(index, np.isin(groups, np.concatenate(lonely)) & going)

    # --- while they are ---

    def run(self, strangers_out: Callable[[], None]) -> frozenset[bytes]:
        """Which packs are gone. Whoever could need them has ended; other programs are kept out.

        :param strangers_out: raises LockLost when they are not any more.
        """
        self._look()
        self._put_back()

        def confirm() -> None:
            self._confirm()
            strangers_out()

        naming = {name for name, part in self._outdated.items() if part.pack_ids}
        self._delete_files(naming, confirm)
        self._delete_packs(confirm)
        self._correct_late(confirm)
        self._delete_files(self._outdated.keys() - naming, confirm)
        return frozenset(self._going)

    def _put_back(self) -> None:
        """Name what is needed after all, where only outdated files do."""
        lasting = {name: part for name, part in self._files.items() if name not in self._outdated}
        back = self._needed - named_packs(lasting)
        for json in encode_index(dict(whole_index(self._files.values()).each_pack(back)) if back else {}):
            store_confirmed(self._repository, INDEX, json, self._confirm)

    def _correct_late(self, confirm: Callable[[], None]) -> None:
        """Take what is gone out of index files that came since the last look. A backup that was halted until
        it was taken for dead may store one when it goes on, just before it learns of that."""
        files = self._repository.index_files(known=self._files)
        late = {name: part for name, part in files.items() if not self._going.isdisjoint(part.pack_ids)}
        entries = BlobIndex(late.values()).each_pack() if late else ()
        for json in encode_index({pack_id: each for pack_id, each in entries if pack_id not in self._going}):
            store_confirmed(self._repository, INDEX, json, confirm)
        self._delete_files(late, confirm)

    def _delete_files(self, names: Iterable[str], confirm: Callable[[], None]) -> None:
        for name in sorted(names):
            confirm()
            self._repository.bank.delete(f"{INDEX}/{name}")

    def _delete_packs(self, confirm: Callable[[], None]) -> None:
        for done, pack_id in enumerate(sorted(self._going)):
            self._progress.check()
            if done % _CONFIRM_EVERY == 0:
                confirm()
            self._repository.bank.delete(pack_key(pack_id))
            self._progress.report(Counts("remove", done_files=done + 1, total_files=len(self._going)))


def _packs_of(index: BlobIndex, rows: npt.NDArray[np.bool_]) -> set[bytes]:
    return {index.pack_ids[number] for number in np.unique(index.columns()[1][rows])}
