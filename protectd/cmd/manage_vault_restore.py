"""protectd-manage vault restore: a snapshot, or a part of it, back into a directory."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict

from protectd.cmd.build import Parts
from protectd.cmd.manage_actions import show
from protectd.cmd.manage_vault_common import FOUND, opened, provider_of
from protectd.cmd.terminal import progress
from protectd.common.reports import RestoreOptions
from protectd.plugin.paths import plain_path, resolve_target
from protectd.vault.choosing import choose_one


def vault_restore(made: Parts, args: argparse.Namespace) -> int:
    """Root gives every entry its owner; whoever else restores, owns what he restores."""
    access = provider_of(made, args.provider).access(args.project, is_admin=True)
    target = resolve_target(plain_path(os.path.abspath(args.target), "--target"), access)
    options = RestoreOptions(overwrite=args.overwrite, trusted=os.geteuid() == 0, paths=tuple(args.paths))
    with opened(made, args) as session, progress() as told:
        with session.reading(told) as looking:
            snapshot = choose_one(looking.snapshots(), args.snapshot)
            source = os.fsdecode(looking.find(snapshot).path)
        report = session.restore_tree(snapshot.id, snapshot.tree, source, target, options, told)
    show({"target": target} | asdict(report))
    return FOUND if report.issue_count else 0
