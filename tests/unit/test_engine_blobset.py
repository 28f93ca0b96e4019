"""Known and new blobs in shared memory."""

from __future__ import annotations

import hashlib
from contextlib import closing

from protectd.vault.blobset import NewBlobs, StoredBlobs
from protectd.vault.index import BlobIndex
from protectd.vault.pack import DATA, BlobEntry


def blob_id(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def known(numbers: range) -> bytes:
    entries = [BlobEntry(DATA, blob_id(number), 100 * number, 100, None) for number in numbers]
    return BlobIndex.of({bytes(32): entries}).known(DATA).to_bytes()


def test_stored_blobs_are_found_in_another_attachment_and_no_others() -> None:
    with (
        closing(StoredBlobs.create(known(range(500)))) as made,
        closing(StoredBlobs.attach(made.path)) as attached,
    ):
        assert all(blob_id(number) in attached for number in range(500))
        assert not any(blob_id(number) in attached for number in range(500, 1000))


def test_an_empty_index_knows_nothing() -> None:
    with closing(StoredBlobs.create(b"")) as stored:
        assert blob_id(1) not in stored


def test_ids_that_agree_in_their_first_half_are_told_apart() -> None:
    with closing(StoredBlobs.create(known(range(3)))) as stored:
        assert blob_id(1)[:8] + bytes(24) not in stored


def test_a_blob_is_new_once_for_all_who_share_the_table() -> None:
    with closing(NewBlobs.create()) as one, closing(NewBlobs.attach(one.paths)) as other:
        assert one.add(blob_id(1))
        assert not other.add(blob_id(1))
        assert other.add(blob_id(2))
        assert not one.add(blob_id(2))


def test_a_full_table_is_followed_by_a_larger_one_and_nothing_is_forgotten() -> None:
    with closing(NewBlobs.create()) as blobs, closing(NewBlobs.attach(blobs.paths)) as other:
        assert all(blobs.add(blob_id(number)) for number in range(1000))
        blobs.grow_for(100_000)
        assert len(blobs.paths) == 2
        other.extend(blobs.paths)
        assert not any(other.add(blob_id(number)) for number in range(1000))
        assert other.add(blob_id(1000)) and not blobs.add(blob_id(1000))


def test_a_crowded_table_takes_blobs_for_new_rather_than_for_known() -> None:
    with closing(NewBlobs.create()) as blobs:
        crowded = [bytes(8) + number.to_bytes(8, "big") + bytes(16) for number in range(1, 200)]
        assert all(blobs.add(each) for each in crowded)
        assert not blobs.add(crowded[0])
        assert blobs.add(crowded[-1])
