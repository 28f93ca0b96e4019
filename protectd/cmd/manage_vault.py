"""The command line of protectd-manage vault: what is done with a vault as a whole."""

from __future__ import annotations

import argparse
from typing import Any

from protectd.cmd import manage_vault_actions as actions
from protectd.cmd import manage_vault_file_parsers as file_parsers
from protectd.cmd import manage_vault_import as importing
from protectd.cmd import manage_vault_key_parsers as key_parsers
from protectd.cmd import recovery_kit
from protectd.cmd.manage_parsers import ENDS, action, count, group, names, of_vault, project, word
from protectd.common.errors import BadRequest
from protectd.vault.pack_share import PackShare


def add(groups: Any) -> None:
    vault = group(groups, "vault", "vaults of projects")
    _whole(vault)
    file_parsers.add(vault)
    _import(vault)
    key_parsers.add(group(vault, "key", "who can open a vault"))
    repair = of_vault(
        group(vault, "repair", "mending a vault"),
        "index",
        actions.repair_index,
        "make the index anew from the packs",
        "Reads the headers of packs that no index file describes well, stores new index files, then removes"
        " those they replace. Damaged and missing packs are named. Nobody else may use the vault meanwhile.",
    )
    repair.add_argument("--read-all-packs", action="store_true", help="believe no index file")


def _whole(vault: Any) -> None:
    of_vault(
        vault,
        "credentials",
        actions.vault_credentials,
        "print a vault's repository and password, for restic",
    )
    recovery_kit.add(vault)
    listing = of_vault(vault, "snapshots", actions.vault_snapshots, "print the snapshots, oldest first")
    names(listing, "only these")
    _check(vault)
    of_vault(vault, "prune", actions.vault_prune, "give back what no snapshot needs")
    of_vault(
        vault,
        "stats",
        actions.vault_stats,
        "count what the vault takes, and what each checkpoint has for itself",
    )
    forget = of_vault(
        vault,
        "forget",
        actions.vault_forget,
        "remove snapshots",
        "The bytes come back with the next prune. Refused while a checkpoint in the database has one.",
    )
    names(forget, "which", some=True)
    forget.add_argument("--force", action="store_true", help="even if a checkpoint loses its data by it")
    _copy(vault)


def _check(vault: Any) -> None:
    check = of_vault(
        vault,
        "check",
        actions.vault_check,
        "look whether everything is there and is what was written",
        "Structure always: index files, snapshots, directories, presence and size of packs; data when asked.",
    )
    names(check, "only what these need")
    data = check.add_mutually_exclusive_group()
    data.add_argument("--read-data", action="store_true", help="read every byte, fresh from the bank")
    data.add_argument(
        "--read-data-subset",
        dest="subset",
        type=share,
        metavar="N/T",
        help="read the Nth of T parts of the packs: the one that restic reads for it",
    )
    data.add_argument(
        "--daily",
        type=count,
        metavar="DAYS",
        help="read today's share; run once a day, everything is read once in DAYS days",
    )


def _import(vault: Any) -> None:
    made = action(
        vault,
        "import",
        importing.vault_import,
        "make the database know the checkpoints of a vault again",
        "For a database that was lost, or is older than its bank. Checkpoints that it knows are left alone,"
        f" and so those that were deleted. Works beside daemons; may be repeated. {ENDS}",
    )
    made.add_argument("--provider", required=True, metavar="NAME", help="name or id of the provider")
    made.add_argument("--project", type=project, metavar="ID", help="project that the vault belongs to")
    made.add_argument("--all", action="store_true", help="the vaults of all projects in the provider's bank")
    made.add_argument(
        "--password-file",
        metavar="FILE",
        help="with a password of the vault, where the database has none; - for standard input",
    )
    made.add_argument(
        "--host", type=word, metavar="NAME", help="where restores go, if the host of the data is gone"
    )
    made.add_argument("--dry-run", action="store_true", help="only say what would be imported")


def share(text: str) -> PackShare:
    try:
        return PackShare.parse(text)
    except BadRequest as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _copy(vault: Any) -> None:
    copy = of_vault(
        vault,
        "copy",
        actions.vault_copy,
        "have snapshots in another vault as well",
        "Only what is missing there moves, sealed anew with its key. May be interrupted and repeated.",
    )
    names(copy, "only these")
    copy.add_argument("--to-provider", metavar="NAME", help="provider of the other vault (default: the same)")
    copy.add_argument("--to-project", type=project, metavar="ID", help="its project (default: the same)")
    copy.add_argument("--to-repository", metavar="DIR", help="or the directory of a restic repository")
    copy.add_argument(
        "--to-password-file", metavar="FILE", help="with the repository's password; - for standard input"
    )
