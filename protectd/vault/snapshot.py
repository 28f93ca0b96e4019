"""Snapshots: which tree stood where, when and on which host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from protectd.vault.errors import FormatError
from protectd.vault.gofmt import clean_text, datetime_text, parse_datetime
from protectd.vault.tree import decode_id


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`tree`, `parent`, `original` and `id` are 64 hex digits; `paths` absolute; `id` is "" until stored.

    A tag holds no comma: restic's command line splits there.
    """

    time: datetime
    tree: str
    paths: tuple[str, ...]
    hostname: str = ""
    username: str = ""
    uid: int = 0
    gid: int = 0
    tags: tuple[str, ...] = ()
    parent: str | None = None
    original: str | None = None
    id: str = ""

    @property
    def tree_id(self) -> bytes:
        return bytes.fromhex(self.tree)

    def encode(self) -> bytes:
        """JSON in restic's order of fields; empty ones are left out."""
        fields = {
            "time": datetime_text(self.time),
            "parent": self.parent,
            "tree": self.tree,
            "paths": list(map(clean_text, self.paths)),
            "hostname": clean_text(self.hostname),
            "username": clean_text(self.username),
            "uid": self.uid,
            "gid": self.gid,
            "tags": list(map(clean_text, self.tags)),
            "original": self.original,
        }
        wanted = {key: value for key, value in fields.items() if value or key == "paths"}
        return orjson.dumps(wanted)


def decode_snapshot(raw: bytes, snapshot_id: str = "") -> Snapshot:
    """:raises FormatError: not a snapshot. Unknown fields are ignored."""
    try:
        return _snapshot(orjson.loads(raw), snapshot_id)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(reason="it is not a snapshot's JSON") from error


def _snapshot(fields: Mapping[str, Any], snapshot_id: str) -> Snapshot:
    links = {key: fields[key] for key in ("parent", "original") if fields.get(key)}
    for hexadecimal in (fields["tree"], *links.values()):
        decode_id(hexadecimal)
    return Snapshot(
        time=parse_datetime(fields["time"]),
        tree=fields["tree"],
        paths=tuple(map(str, fields.get("paths") or ())),
        hostname=str(fields.get("hostname", "")),
        username=str(fields.get("username", "")),
        uid=int(fields.get("uid", 0)),
        gid=int(fields.get("gid", 0)),
        tags=tuple(map(str, fields.get("tags") or ())),
        id=snapshot_id,
        **links,
    )
