"""Manifests that anybody might have written: what is read of them can be kept, and the rest is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protectd.common.ids import new_id
from protectd.domain import manifests
from protectd.domain.manifests import Manifest, ManifestDamaged
from protectd.model.unit_of_work import Database
from tests.fakes import rows

pytest_plugins = ["tests.fakes.databases"]

ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
GOOD: dict[str, Any] = {
    "format": 1,
    "protectd": "1.0",
    "checkpoint": {
        "id": ID,
        "project_id": rows.PROJECT,
        "provider_id": ID,
        "host": "here",
        "created_at": "2026-01-31T02:00:00.000001+00:00",
        "started_at": "2026-01-31T02:00:01.000000+00:00",
        "ended_at": None,
        "extra_info": {"k": None},
        "scheduled_operation_id": None,
        "source_id": None,
        "plan": {"id": ID, "name": "nightly", "provider_id": ID, "resources": [{"id": ID}]},
        "parameters": {},
        "resource_graph": "[{}, []]",
        "partial": False,
        "files": 1,
        "logical_bytes": 2,
        "added_bytes": 3,
        "stored_bytes": 4,
    },
    "resources": [
        {
            "id": ID,
            "type": "directory",
            "name": "home",
            "extra_info": {"path": "/x"},
            "snapshot_id": "a" * 64,
            "tree_id": "b" * 64,
            "source_path": "/x",
            "saved_info": {"path": "/x"},
            "files": 1,
            "directories": 1,
            "logical_bytes": 2,
            "added_bytes": 3,
            "stored_bytes": 4,
            "issue_count": 1,
            "issues": [{"path": "p", "kind": "socket", "reason": "r"}],
        }
    ],
}

TEXTS = st.one_of(
    st.text(st.characters(), max_size=8),
    st.sampled_from(
        [
            "x" * 256,
            "a\0b",
            "\ud800",
            "2026-01-31",
            "0001-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59-23:59",
            ID,
        ]
    ),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a JSON value something stands."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield from places(below, (*path, key))


def changed(path: tuple[Any, ...], value: Any, *, gone: bool) -> bytes:
    made = copy.deepcopy(GOOD)
    *way, last = path
    holder: Any = made
    for key in way:
        holder = holder[key]
    if gone:
        del holder[last]
    else:
        holder[last] = value
    return json.dumps(made).encode()


def kept(database: Database, manifest: Manifest) -> None:
    """As an import does, under an id of its own, so that it can be done again and again."""
    found = {manifests.key_of(each): each["snapshot_id"] for each in manifest.resources}
    row = manifests.row_of(manifest, ID, rows.PROJECT, found)
    row.id = new_id()
    with database.write() as uow:
        uow.checkpoints.add(row)
    with database.read() as uow:
        assert uow.checkpoints.get(row.id).plan_name == manifest.checkpoint["plan"]["name"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(sorted(places(GOOD), key=str)), value=VALUES, gone=st.booleans())
def test_whatever_stands_in_one_is_kept_or_refused(
    any_database: Database, path: tuple[Any, ...], value: Any, gone: bool
) -> None:
    try:
        manifest = Manifest.decode(changed(path, value, gone=gone), ID)
    except ManifestDamaged as error:
        assert error.facts["checkpoint_id"] == ID
        return
    kept(any_database, manifest)


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"\xff", b"null", b"[" * 100_000, b'{"format": 2}'])
def test_what_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(ManifestDamaged):
        Manifest.decode(raw, ID)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_what_no_other_reader_takes_is_refused(value: Any) -> None:
    with pytest.raises(ManifestDamaged):
        Manifest.decode(changed(("checkpoint", "extra_info", "k"), value, gone=False), ID)


def test_one_is_read_as_it_was_written() -> None:
    manifest = Manifest.decode(json.dumps(GOOD).encode(), ID)
    assert Manifest.decode(manifest.encode(), ID) == manifest
    assert manifest.whole


def test_that_of_another_checkpoint_is_refused() -> None:
    with pytest.raises(ManifestDamaged):
        Manifest.decode(json.dumps(GOOD).encode(), new_id())
