"""protectd-manage vault diff: what changed between two snapshots or checkpoints."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from protectd.cmd.build import Parts
from protectd.cmd.manage_vault_common import ended, opened
from protectd.cmd.manage_vault_ls import path_view, printable
from protectd.cmd.terminal import progress
from protectd.vault.choosing import choose
from protectd.vault.diff import ADDED, CHANGED, METADATA, REMOVED, TYPE, Change, DiffTotals
from protectd.vault.snapshot import Snapshot
from protectd.vault.tags import resource_of

_SIGNS = {ADDED: "+", REMOVED: "-", CHANGED: "M", METADATA: "U", TYPE: "T"}


def vault_diff(made: Parts, args: argparse.Namespace) -> int:
    path = None if args.path is None else os.fsencode(args.path)
    totals = DiffTotals()
    with opened(made, args) as session, progress(shown=False) as told, session.reading(told) as looking:
        snapshots = looking.snapshots()
        before, after = choose(snapshots, args.before), choose(snapshots, args.after)
        for old, new in pairs(before, after):
            if old is None or new is None:
                print(_alone(old, new), file=sys.stderr)
                continue
            for change in looking.diff(old, new, path):
                totals.add(change)
                print(json.dumps(change_view(change)) if args.json else _change_line(change))
        print(json.dumps({"totals": asdict(totals)}) if args.json else _totals_line(totals))
        return ended(looking)


def pairs(
    before: Sequence[Snapshot], after: Sequence[Snapshot]
) -> Iterator[tuple[Snapshot | None, Snapshot | None]]:
    """One of each; those of checkpoints by the resource that was saved."""
    if len(before) == len(after) == 1:
        yield before[0], after[0]
        return
    old = {resource_of(each) or each.id: each for each in before}
    new = {resource_of(each) or each.id: each for each in after}
    for key in dict.fromkeys([*old, *new]):
        yield old.get(key), new.get(key)


def _alone(old: Snapshot | None, new: Snapshot | None) -> str:
    here = old or new
    assert here is not None
    where = "the first" if new is None else "the second"
    return f"{', '.join(here.paths)} is in {where} alone (snapshot {here.id})"


def change_view(change: Change) -> dict[str, Any]:
    node = change.after or change.before
    return path_view(change.path) | {
        "change": change.kind,
        "type": node.type if node else None,
        "before_bytes": change.before.size if change.before else None,
        "after_bytes": change.after.size if change.after else None,
    }


def _change_line(change: Change) -> str:
    sizes = [str(node.size) for node in (change.before, change.after) if node and node.type == "file"]
    told = " -> ".join(dict.fromkeys(sizes))
    return f"{_SIGNS[change.kind]} {printable(change.path)}{f'  ({told})' if told else ''}"


def _totals_line(totals: DiffTotals) -> str:
    entries = ", ".join(f"{count} {kind}" for kind, count in totals.entries.items() if count)
    return f"{entries or 'nothing differs'}; {totals.before_bytes} -> {totals.after_bytes} bytes"
