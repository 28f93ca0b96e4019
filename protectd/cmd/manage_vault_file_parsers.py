"""The command line of protectd-manage vault: files and directories in a vault."""

from __future__ import annotations

import argparse
from typing import Any

from protectd.cmd.manage_parsers import NAMES, of_vault
from protectd.cmd.manage_vault_diff import vault_diff
from protectd.cmd.manage_vault_ls import vault_cat, vault_ls
from protectd.cmd.manage_vault_restore import vault_restore


def add(vault: Any) -> None:
    listing = of_vault(vault, "ls", vault_ls, "list what a snapshot holds")
    _snapshot(listing)
    listing.add_argument(
        "paths", nargs="*", metavar="PATH", help="directory or entry (default: what was saved)"
    )
    listing.add_argument("-R", "--recursive", action="store_true", help="with all that is below")
    form = listing.add_mutually_exclusive_group()
    form.add_argument("-l", "--long", action="store_true", help="with mode, owner, size and time (UTC)")
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    cat = of_vault(
        vault,
        "cat",
        vault_cat,
        "write one file of a snapshot to standard output",
        "Each part is proven before it is written.",
    )
    _snapshot(cat)
    cat.add_argument("path", metavar="PATH", help="absolute, or relative to what was saved")
    _diff(vault)
    _restore(vault)


def _snapshot(made: argparse.ArgumentParser) -> None:
    made.add_argument("snapshot", metavar="ID", help=NAMES)


def _diff(vault: Any) -> None:
    diff = of_vault(
        vault,
        "diff",
        vault_diff,
        "tell what changed from one snapshot or checkpoint to another",
        "+ added, - removed, M content changed, U only owner, mode, time or attributes, T something else.",
    )
    diff.add_argument("before", metavar="BEFORE", help=NAMES)
    diff.add_argument("after", metavar="AFTER", help=NAMES)
    diff.add_argument("path", nargs="?", metavar="PATH", help="only there (default: what was saved)")
    diff.add_argument("--json", action="store_true", help="one JSON object a line, the totals last")


def _restore(vault: Any) -> None:
    restore = of_vault(
        vault,
        "restore",
        vault_restore,
        "write a snapshot, or chosen paths of it, to a directory",
        "A path that is not in the snapshot is named before anything is written.",
    )
    _snapshot(restore)
    restore.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="only these, with the directories that lead to them: absolute, or relative to what was saved",
    )
    restore.add_argument("--target", required=True, metavar="DIR", help="directory; made when it is missing")
    restore.add_argument("--overwrite", action="store_true", help="replace what is there")
