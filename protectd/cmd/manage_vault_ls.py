"""protectd-manage vault ls and cat: the files in a snapshot."""

from __future__ import annotations

import argparse
import base64
import json
import os
import stat
import sys
from datetime import UTC, datetime
from typing import Any

from protectd.cmd.build import Parts
from protectd.cmd.manage_vault_common import ended, opened
from protectd.cmd.terminal import progress
from protectd.vault.choosing import choose_one
from protectd.vault.entries import Entry
from protectd.vault.opening import shown
from protectd.vault.tree import Node


def vault_ls(made: Parts, args: argparse.Namespace) -> int:
    with opened(made, args) as session, progress(shown=False) as told, session.reading(told) as looking:
        snapshot = choose_one(looking.snapshots(), args.snapshot)
        for path in args.paths or [None]:
            raw = None if path is None else os.fsencode(path)
            for entry in looking.list(snapshot, raw, recursive=args.recursive):
                print(_entry_line(entry, args))
        return ended(looking)


def _entry_line(entry: Entry, args: argparse.Namespace) -> str:
    if args.json:
        return json.dumps(entry_view(entry))
    return _long(entry) if args.long else printable(entry.path)


def entry_view(entry: Entry) -> dict[str, Any]:
    view, node = path_view(entry.path), entry.node
    if node is None:
        return view | {"type": "dir"}
    view |= {
        "type": node.type,
        "mode": f"{stat.S_IMODE(node.mode):04o}",
        "uid": node.uid,
        "gid": node.gid,
        "user": node.user,
        "group": node.group,
        "size": node.size,
        "modified_at": _time(node).isoformat(),
    }
    return view | ({"link_target": shown(node.link_target)} if node.type == "symlink" else {})


def path_view(path: bytes) -> dict[str, Any]:
    """`path_base64` tells the bytes of a path that is no text."""
    view = {"path": shown(path)}
    if shown(path).encode() != path:
        view["path_base64"] = base64.b64encode(path).decode()
    return view


def _long(entry: Entry) -> str:
    node = entry.node
    if node is None:
        return printable(entry.path)
    owner = f"{node.user or node.uid}:{node.group or node.gid}"
    moment = _time(node).strftime("%Y-%m-%d %H:%M:%S")
    link = f" -> {printable(node.link_target)}" if node.type == "symlink" else ""
    return f"{stat.filemode(node.mode)} {owner:<17} {node.size:>12} {moment} {printable(entry.path)}{link}"


def _time(node: Node) -> datetime:
    """Clamped to what a calendar has."""
    try:
        return datetime.fromtimestamp(node.mtime_ns / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return (datetime.min if node.mtime_ns < 0 else datetime.max).replace(tzinfo=UTC)


def printable(path: bytes) -> str:
    """One line, and nothing that a terminal obeys."""
    return "".join(c if c.isprintable() else _escaped(c) for c in shown(path))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


# --- cat ---


def vault_cat(made: Parts, args: argparse.Namespace) -> int:
    quiet = sys.stdout.isatty()
    with opened(made, args) as session, progress(shown=not quiet) as told, session.reading(told) as looking:
        snapshot = choose_one(looking.snapshots(), args.snapshot)
        looking.cat(snapshot, os.fsencode(args.path), sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
    return 0
