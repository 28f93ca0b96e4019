from __future__ import annotations

import hashlib
import json
import os
import stat
import tracemalloc
from pathlib import Path

import orjson
import pytest

from protectd.common.units import MIB
from protectd.vault.errors import FormatError
from protectd.vault.tree import (
    EMPTY_TREE,
    Node,
    decode_node,
    decode_tree,
    directory_node,
    encode_node,
    encode_tree,
    file_node,
    node_prefix,
    other_node,
    split_tree,
)
from tests.fakes.vault_kit import blob_id, directory_of, file_of, tree_of

ID = bytes(range(32))


def _node(**fields: object) -> dict[str, object]:
    base = {"name": "a", "type": "file", "mtime": "2020-01-01T00:00:00Z", "uid": 0, "gid": 0, "content": []}
    return base | fields


def _tree(*nodes: dict[str, object]) -> bytes:
    return orjson.dumps({"nodes": list(nodes)})


def test_the_empty_tree_has_the_id_of_the_format() -> None:
    assert encode_tree([]) == EMPTY_TREE
    assert hashlib.sha256(EMPTY_TREE).hexdigest() == (
        "ac08ce34ba4f8123618661bef2425f7028ffb9ac740578a3ee88684d2523fee8"
    )
    assert split_tree(EMPTY_TREE) == []
    assert decode_tree(EMPTY_TREE) == []


def test_a_node_holds_every_field_in_the_order_of_the_format() -> None:
    node = Node(
        b"dev", "chardev", stat.S_IFCHR | 0o600, 1, 2, 3, 4, 5, "u", "g", 6, 7, 0, 1,
        xattrs=[(b"user.a", b"\x00")], device=9,
    )  # fmt: skip
    assert encode_node(node) == (
        b'{"name":"dev","type":"chardev","mode":69206400,"mtime":"1970-01-01T00:00:00.000000001Z",'
        b'"atime":"1970-01-01T00:00:00.000000002Z","ctime":"1970-01-01T00:00:00.000000003Z","uid":4,"gid":5,'
        b'"user":"u","group":"g","inode":6,"device_id":7,"links":1,'
        b'"extended_attributes":[{"name":"user.a","value":"AA=="}],"device":9,"content":null}'
    )


def test_a_real_file_becomes_a_node_that_says_what_lstat_says(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    path.chmod(0o4640)
    status = path.lstat()
    node = decode_tree(encode_tree([file_node(node_prefix(b"file", status, "me", "us"), [ID])]))[0]
    assert (node.name, node.type, node.mode) == (b"file", "file", status.st_mode)
    assert (node.mtime_ns, node.atime_ns, node.ctime_ns) == (
        status.st_mtime_ns,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
    assert (node.uid, node.gid, node.user, node.group) == (status.st_uid, status.st_gid, "me", "us")
    assert (node.inode, node.device_id, node.size, node.links) == (status.st_ino, status.st_dev, 5, 1)
    assert node.content == [ID] and node.subtree is None


def test_zero_and_empty_fields_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(0)
    prefix = node_prefix(b"file", path.lstat())
    for absent in (b'"mode"', b'"user"', b'"group"', b'"size"', b'"device"', b"extended"):
        assert absent not in prefix
    assert file_node(prefix, []).endswith(b'"content":[]}')
    directory = node_prefix(b"d", tmp_path.lstat())
    assert b'"links"' not in directory and b'"size"' not in directory


def test_a_link_target_that_is_no_utf8_is_kept_raw_beside_the_text(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "link")
    os.symlink(b"\xff\nx", path)
    raw = other_node(node_prefix(b"link", os.lstat(path), link_target=os.readlink(path)))
    assert b'"linktarget":"\\ufffd\\nx","linktarget_raw":"/wp4",' in raw
    assert decode_tree(encode_tree([raw]))[0].link_target == b"\xff\nx"


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "/", "a/../b", "nul\\x00", "\\x2e\\x2e", "\\u002e", "\\x2f", '"', "\\", "a\nb"],
)
def test_a_name_that_no_directory_can_hold_is_refused(name: str) -> None:
    with pytest.raises(FormatError):
        decode_tree(_tree(_node(name=name)))


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "irregular"},
        {"type": None},
        {"type": []},
        {"mtime": "yesterday"},
        {"mtime": 5},
        {"content": None},
        {"content": ["abc"]},
        {"content": ["0" * 64]},
        {"content": [5]},
        {"content": 7},
        {"type": "dir", "content": None},
        {"type": "dir", "subtree": "x" * 64},
        {"uid": "0"},
        {"uid": -1},
        {"size": 1.5},
        {"size": 10**30},
        {"mode": None},
        {"user": 5},
        {"name": 5},
        {"extended_attributes": [{"name": "user.a", "value": "%"}]},
        {"extended_attributes": [5]},
        {"type": "symlink", "linktarget_raw": "%"},
    ],
)
def test_an_impossible_field_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        decode_tree(json.dumps({"nodes": [_node(**fields)]}).encode())


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b'{"nodes":5}', b'{"nodes":[5]}', b'{"nodes":[{}]}', b"\xff"]
)
def test_rubbish_is_refused(raw: bytes) -> None:
    with pytest.raises(FormatError):
        decode_tree(raw)


def test_unknown_fields_and_a_missing_access_time_are_no_error() -> None:
    tree = orjson.dumps({"nodes": [_node(new=[{"name": "x"}])], "more": 1})
    assert decode_tree(tree)[0].name == b"a"


def test_splitting_gives_the_very_bytes_also_where_attributes_look_like_nodes() -> None:
    nodes = [
        file_of(b'odd},{"name":"', b"text"),
        directory_of(b"sub", EMPTY_TREE),
        file_of(b"plain"),
    ]
    for node in nodes[:2]:
        node.xattrs = [(b"user.%d" % n, b'{"content":null},{"name":"x"') for n in range(3)]
    tree = tree_of(*nodes)
    assert split_tree(tree) == [encode_node(node) for node in nodes]
    assert decode_tree(tree) == nodes


def test_a_tree_in_another_form_is_not_split() -> None:
    assert split_tree(b'{"nodes": []}') is None
    assert split_tree(b'{"nodes":[]}') is None


def huge_tree() -> bytes:
    """Three parts and more, of files with attributes that look like nodes, links and directories."""
    attributes = [(b"user.a", b"1"), (b"user.b", b"")]
    nodes = []
    for number in range(0, 24_000, 3):
        file = file_of(b"%06d" % number, b"content", b"]},")
        file.xattrs = attributes
        link = Node(
            b"%06d" % (number + 1), "symlink", stat.S_IFLNK | 0o777, 0, 0, 0, link_target=b'"]},{"name":'
        )
        nodes += [file, link, directory_of(b'%06d"]},{"name":' % (number + 2), b"tree")]
    return tree_of(*nodes)


def test_a_huge_tree_is_read_as_any_other() -> None:
    tree = huge_tree()
    assert len(tree) > 3 * MIB
    assert decode_tree(tree) == list(map(decode_node, orjson.loads(tree)["nodes"]))


def test_a_huge_tree_takes_little_more_than_its_nodes_while_it_is_read() -> None:
    tree = huge_tree()
    tracemalloc.start()
    try:
        nodes = decode_tree(tree)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(nodes) == 24_000
    assert peak - held < 4 * len(tree)


def test_a_huge_tree_with_fields_of_other_programs_is_read_too() -> None:
    node = _node(content=[ID.hex()], other=[{"list": ["x"]}, {"name": "y"}])
    tree = encode_tree([orjson.dumps(node)] * 40_000)
    assert len(tree) > 3 * MIB
    assert len(decode_tree(tree)) == 40_000


def test_a_directory_node_names_its_subtree() -> None:
    raw = directory_node(b'{"name":"d",', blob_id(b""))
    assert raw.endswith(b'"content":null,"subtree":"%s"}' % blob_id(b"").hex().encode())
