"""What is wrong with an index, from its files and a listing of the packs alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from protectd.vault.index import BlobIndex, IndexPart


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """
    :ivar read: packs whose headers have to be read.
    :ivar carried: packs that are well described, in files that go: their entries move to new files.
    :ivar missing: packs that index files name and the bank does not have.
    :ivar replaced: names of the files that go once the new ones are there; those that stay are good.
    """

    read: frozenset[bytes]
    carried: frozenset[bytes]
    missing: frozenset[bytes]
    replaced: frozenset[str]


def make_plan(
    index: BlobIndex,
    files: Mapping[str, IndexPart],
    unreadable: Collection[str],
    sizes: Mapping[bytes, int],
    *,
    read_all: bool,
) -> RepairPlan:
    """Decide for each pack and each file. Marks of a prune do not outlive it: what they stand on may be lost.

    :param index: of all `files`. :param unreadable: names of the others.
    :param sizes: of the packs in the bank.
    :param read_all: believe no file.
    """
    expected = index.pack_sizes()
    missing = expected.keys() - sizes.keys()
    wrong = {pack_id for pack_id in expected.keys() & sizes.keys() if expected[pack_id] != sizes[pack_id]}
    read = sizes.keys() if read_all else (sizes.keys() - expected.keys()) | wrong
    times = Counter(pack_id for part in files.values() for pack_id in part.pack_ids)
    bad = missing | wrong | {pack_id for pack_id, count in times.items() if count > 1}
    going = {
        name
        for name, part in files.items()
        if read_all or part.marked is not None or not bad.isdisjoint(part.pack_ids)
    }
    named = {pack_id for name in going for pack_id in files[name].pack_ids}
    return RepairPlan(
        read=frozenset(read),
        carried=frozenset((named & sizes.keys()) - read),
        missing=frozenset(missing),
        replaced=frozenset(going | set(unreadable)),
    )
