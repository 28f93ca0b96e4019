"""Trees: the JSON of one directory, byte for byte as restic has it, so equal directories share ids.

A node's bytes up to `"content"` (its *prefix*) hold all that `lstat` and friends say; comparing prefixes is
how an unchanged entry is recognized without parsing anything.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from protectd.common.units import MIB
from protectd.vault.errors import FormatError
from protectd.vault.gofmt import (
    go_mode,
    go_time,
    go_unquote,
    name_json,
    parse_go_time,
    string_json,
    unix_mode,
)

EMPTY_TREE = b'{"nodes":[]}\n'
_START, _END = b'{"nodes":[', b"]}\n"
_BETWEEN = b'},{"name":'
_CONTENT = b'"content":'
_PART_END = b'"]},{"name":'
"""Where a file ends and another node begins."""
_PART_BYTES = MIB
_MAX_OWNER = 2**32 - 1
_MAX_DEVICE = 2**64 - 1
_HIDDEN_FROM_LINKS = {"dir", "fifo", "socket"}
_DEVICES = {"dev", "chardev"}

Xattrs = Sequence[tuple[bytes, bytes]]


@dataclass(slots=True)
class Node:
    """One entry of a directory. Times are nanoseconds since 1970; `mode` is a `st_mode`, type included.

    `content` holds blob ids for a file and is None for all else; `subtree` is a directory's tree id.
    """

    name: bytes
    type: str
    mode: int
    mtime_ns: int
    atime_ns: int
    ctime_ns: int
    uid: int = 0
    gid: int = 0
    user: str = ""
    group: str = ""
    inode: int = 0
    device_id: int = 0
    size: int = 0
    links: int = 0
    link_target: bytes = b""
    xattrs: Xattrs = ()
    device: int = 0
    content: list[bytes] | None = None
    subtree: bytes | None = None


# --- writing ---


def node_prefix(
    name: bytes,
    status: os.stat_result,
    user: str = "",
    group: str = "",
    *,
    link_target: bytes = b"",
    xattrs: Xattrs = (),
) -> bytes:
    """The node of a real entry up to `"content":`, from what `lstat` told.

    :param user: and `group`: names of the owners, "" when unknown.
    :param xattrs: in the order of listxattr.
    :raises FormatError: a kind of file that is not stored.
    """
    kind, type_and_mode = _type_and_mode(status.st_mode)
    mtime = go_time(status.st_mtime_ns)
    prefix = b'{"name":"%s",%s"mtime":"%s","atime":"%s","ctime":"%s",%s%s' % (
        name_json(name),
        type_and_mode,
        mtime,
        mtime,
        go_time(status.st_ctime_ns),
        _owner_fields(status.st_uid, status.st_gid, user, group),
        _number_fields(kind, status),
    )
    if link_target:
        prefix += _link_fields(link_target)
    if xattrs:
        prefix += _xattr_field(xattrs)
    if kind in _DEVICES and status.st_rdev:
        prefix += b'"device":%d,' % status.st_rdev
    return prefix


@lru_cache(maxsize=4096)
def _type_and_mode(st_mode: int) -> tuple[str, bytes]:
    """A node's type, and the fields that tell of it."""
    kind, mode = go_mode(st_mode)
    return kind, b'"type":"%s",%s' % (kind.encode(), b'"mode":%d,' % mode if mode else b"")


def _number_fields(kind: str, status: os.stat_result) -> bytes:
    inode, device, size, links = status.st_ino, status.st_dev, status.st_size, status.st_nlink
    if kind == "file" and inode and device and size and links:  # nearly always
        return b'"inode":%d,"device_id":%d,"size":%d,"links":%d,' % (inode, device, size, links)
    fields = [(b"inode", inode), (b"device_id", device)]
    if kind == "file":
        fields.append((b"size", size))
    if kind not in _HIDDEN_FROM_LINKS:
        fields.append((b"links", links))
    return b"".join(b'"%s":%d,' % field for field in fields if field[1])


@lru_cache(maxsize=1024)
def _owner_fields(uid: int, gid: int, user: str, group: str) -> bytes:
    names = b"".join(
        b'"%s":"%s",' % (key, string_json(os.fsencode(value)))
        for key, value in ((b"user", user), (b"group", group))
        if value
    )
    return b'"uid":%d,"gid":%d,%s' % (uid, gid, names)


def _link_fields(target: bytes) -> bytes:
    text = b'"linktarget":"%s",' % string_json(target)
    if not _is_utf8(target):
        text += b'"linktarget_raw":"%s",' % base64.b64encode(target)
    return text


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _xattr_field(xattrs: Xattrs) -> bytes:
    each = (b'{"name":"%s","value":"%s"}' % (string_json(name), base64.b64encode(v)) for name, v in xattrs)
    return b'"extended_attributes":[%s],' % b",".join(each)


def file_node(prefix: bytes, content: Iterable[bytes]) -> bytes:
    """A whole file node from its prefix and the ids of its blobs."""
    ids = '","'.join(blob_id.hex() for blob_id in content)
    return prefix + (b'"content":["%s"]}' % ids.encode() if ids else b'"content":[]}')


def one_blob_node(prefix: bytes, id_digits: bytes) -> bytes:
    """As `file_node`, for a file of one blob."""
    return b'%s"content":["%s"]}' % (prefix, id_digits)


def directory_node(prefix: bytes, subtree: bytes) -> bytes:
    return prefix + b'"content":null,"subtree":"%s"}' % subtree.hex().encode()


def other_node(prefix: bytes) -> bytes:
    """A symbolic link, device or FIFO."""
    return prefix + b'"content":null}'


def encode_tree(nodes: Iterable[bytes]) -> bytes:
    """The tree of these nodes. The caller has sorted them by the raw bytes of their names."""
    return _START + b",".join(nodes) + _END


def encode_node(node: Node) -> bytes:
    """A whole node from its parts; for nodes that do not come from `lstat`."""
    kind, mode = go_mode(node.mode)
    fields = [
        b'{"name":"%s","type":"%s",' % (name_json(node.name), kind.encode()),
        b'"mode":%d,' % mode if mode else b"",
        b'"mtime":"%s",' % go_time(node.mtime_ns),
        b'"atime":"%s",' % go_time(node.atime_ns),
        b'"ctime":"%s",' % go_time(node.ctime_ns),
        _owner_fields(node.uid, node.gid, node.user, node.group),
    ]
    for key in ("inode", "device_id", "size", "links"):
        if value := getattr(node, key):
            fields.append(b'"%s":%d,' % (key.encode(), value))
    if node.link_target:
        fields.append(_link_fields(node.link_target))
    if node.xattrs:
        fields.append(_xattr_field(node.xattrs))
    if node.device:
        fields.append(b'"device":%d,' % node.device)
    return _finish(node, b"".join(fields))


def _finish(node: Node, prefix: bytes) -> bytes:
    if node.content is not None:
        return file_node(prefix, node.content)
    return other_node(prefix) if node.subtree is None else directory_node(prefix, node.subtree)


# --- reading ---


def split_tree(tree: bytes) -> list[bytes] | None:
    """The bytes of each node, unparsed; None when the tree is not written as this module does.

    Quotes inside values are escaped, so `},{"name":` separates nodes, or extended attributes of one node;
    only a piece with `"content":` ends a node.
    """
    if not (tree.startswith(_START) and tree.endswith(_END)):
        return None
    body = tree[len(_START) : -len(_END)]
    if not body:
        return []
    pieces = body.split(_BETWEEN)
    nodes = [b'{"name":%s}' % piece for piece in pieces[1:-1]]
    nodes.insert(0, pieces[0] + b"}" if len(pieces) > 1 else pieces[0])
    if len(pieces) > 1:
        nodes.append(b'{"name":' + pieces[-1])
    return nodes if b'"extended_attributes":' not in body else _join_attributes(nodes)


def _join_attributes(pieces: list[bytes]) -> list[bytes]:
    nodes: list[bytes] = []
    unfinished: list[bytes] = []
    for piece in pieces:
        unfinished.append(piece)
        if _CONTENT in piece:
            nodes.append(b",".join(unfinished))
            unfinished = []
    return nodes


def decode_tree(tree: bytes) -> list[Node]:
    """All nodes, in the order they stand.

    :raises FormatError: not a tree; or a name that is empty, `.`, `..` or has a `/` or NUL, which nobody may
        ever write to a disk; or another text or number that no system call takes.
    """
    try:
        try:
            return _nodes_of(_parts(tree))
        except orjson.JSONDecodeError:  # cut where no file ended
            return _nodes_of([tree])
    except FormatError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(reason="it is not a directory's JSON") from error


def _nodes_of(trees: Iterable[bytes]) -> list[Node]:
    return [decode_node(fields) for tree in trees for fields in orjson.loads(tree)["nodes"]]


def _parts(tree: bytes) -> Iterator[bytes]:
    """A tree as several of a MiB, where it is written as this module does: parsed at once, a huge one takes
    several times its size beside its nodes."""
    start, end = len(_START), len(tree) - len(_END)
    if end - start <= _PART_BYTES or not (tree.startswith(_START) and tree.endswith(_END)):
        yield tree
        return
    while start < end:
        cut = tree.find(_PART_END, start + _PART_BYTES, end)
        stop = end if cut < 0 else cut + _PART_END.index(b",")
        yield _START + tree[start:stop] + _END
        start = stop + 1


def decode_node(fields: dict[str, Any]) -> Node:
    """One node from its parsed JSON; see `decode_tree`."""
    get = fields.get
    kind, name, mtime = fields["type"], decode_name(fields["name"]), fields["mtime"]
    modified, ctime = parse_go_time(mtime), get("ctime", mtime)
    user, group = get("user", ""), get("group", "")
    numbers = (
        get("mode", 0), get("uid", 0), get("gid", 0), get("inode", 0),
        get("device_id", 0), get("size", 0), get("links", 0), get("device", 0),
    )  # fmt: skip
    if (
        set(map(type, numbers)) != _ONLY_INT
        or min(numbers) < 0
        or type(user) is not str
        or type(group) is not str
    ):
        raise FormatError(reason=f"the entry {os.fsdecode(name)!r} has a field of a wrong type")
    mode, uid, gid, inode, device_id, size, links, device = numbers
    if uid > _MAX_OWNER or gid > _MAX_OWNER or device > _MAX_DEVICE:
        raise FormatError(reason=f"the entry {os.fsdecode(name)!r} has an owner or a device that cannot be")
    return Node(
        name,
        kind,
        unix_mode(kind, mode),
        modified,
        modified if get("atime", mtime) == mtime else parse_go_time(fields["atime"]),
        modified if ctime == mtime else parse_go_time(ctime),
        uid,
        gid,
        user,
        group,
        inode,
        device_id,
        size,
        links,
        _link_target(fields) if kind == "symlink" else b"",
        _xattrs(fields["extended_attributes"] or ()) if "extended_attributes" in fields else (),
        device,
        _content(name, fields) if kind == "file" else None,
        _subtree(name, fields) if kind == "dir" else None,
    )


_ONLY_INT = {int}


_is_plain = re.compile("[A-Za-z0-9_+,@=:~ -][A-Za-z0-9_+,@=:~. -]*").fullmatch


def decode_name(text: str) -> bytes:
    """The raw name that stands quoted in a tree. :raises FormatError: see `decode_tree`."""
    if _is_plain(text):
        return text.encode()
    name = go_unquote(text)
    if not name or b"/" in name or b"\0" in name or name == b"." or name == b"..":
        raise FormatError(reason=f"an entry has the name {text[:80]!r}, which no directory can hold")
    return name


def _link_target(fields: dict[str, Any]) -> bytes:
    raw = fields.get("linktarget_raw")
    target = (
        str(fields.get("linktarget", "")).encode() if raw is None else base64.b64decode(raw, validate=True)
    )
    if b"\0" in target:
        raise FormatError(reason="the target of a symbolic link has a NUL in it")
    return target


def _xattrs(fields: Iterable[dict[str, str]]) -> Xattrs:
    try:
        found = [
            (each["name"].encode(), base64.b64decode(each["value"] or "", validate=True)) for each in fields
        ]
    except binascii.Error as error:
        raise FormatError(reason="an extended attribute is not base64") from error
    if any(b"\0" in name for name, _ in found):
        raise FormatError(reason="an extended attribute has a NUL in its name")
    return found


def _content(name: bytes, fields: dict[str, Any]) -> list[bytes]:
    content = fields.get("content")
    if content is None:
        raise FormatError(reason=f"the file {os.fsdecode(name)!r} has no content list")
    return list(map(decode_id, content))


def _subtree(name: bytes, fields: dict[str, Any]) -> bytes:
    if not fields.get("subtree"):
        raise FormatError(reason=f"the directory {os.fsdecode(name)!r} has no subtree")
    return decode_id(fields["subtree"])


def decode_id(text: str) -> bytes:
    """32 bytes from 64 hex digits. :raises FormatError: they are not, or all zero."""
    raw = bytes.fromhex(text) if len(text) == 64 else b""
    if len(raw) != 32 or not any(raw):
        raise FormatError(reason=f"{text[:70]!r} is not an id")
    return raw
