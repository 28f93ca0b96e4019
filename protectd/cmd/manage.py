"""protectd-manage: the operator's tool. Works beside running daemons."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from protectd.cmd import (
    arguments,
    manage_audit,
    manage_bank_secrets,
    manage_keys,
    manage_quotas,
    manage_services,
    manage_vault,
)
from protectd.cmd import manage_actions as actions
from protectd.cmd.build import parts
from protectd.cmd.door import guarded
from protectd.cmd.logs import start_logging
from protectd.cmd.manage_parsers import (
    Action,
    action,
    batch,
    count,
    group,
    note,
    of_store,
    project,
    seconds,
    word,
)
from protectd.domain.purge import BATCH

BINARY = "protectd-manage"


def parser() -> argparse.ArgumentParser:
    made = arguments.parser(
        BINARY,
        "Look after an installation: its database, tokens, vaults and configuration. Works beside daemons.",
    )
    arguments.add_state_dir(made)
    groups = made.add_subparsers(metavar="GROUP", required=True)
    _db(group(groups, "db", "the database's schema"))
    _token(group(groups, "token", "who may use the API"))
    manage_vault.add(groups)
    action(
        group(groups, "provider", "providers"), "list", actions.provider_list, "print the enabled providers"
    )
    manage_quotas.add(groups)
    manage_services.add(groups)
    manage_keys.add(groups)
    manage_bank_secrets.add(groups)
    manage_audit.add(groups)
    of_store(
        group(groups, "secrets", "the service's own secrets"),
        "create-master-key",
        actions.master_key,
        "make the master key file; one that is there stays",
    )
    action(
        group(groups, "config", "the configuration"), "sample", actions.config_sample, "print a sample file"
    )
    action(groups, "routes", actions.show_routes, "print what the API answers")
    return made


def _db(db: Any) -> None:
    upgrade = action(db, "upgrade", actions.db_upgrade, "bring the tables to this version")
    upgrade.add_argument("revision", nargs="?", default="head")
    downgrade = action(
        db, "downgrade", actions.db_downgrade, "take the tables back to a revision; base: none"
    )
    downgrade.add_argument("revision")
    action(db, "current", actions.db_current, "print the revision of the tables")
    action(db, "check", actions.db_check, "compare the tables with what this version expects")
    purge = action(
        db,
        "purge",
        actions.db_purge,
        "remove what was over long ago, for good",
        "Ended tasks, keys of requests, deleted rows that nothing living refers to. Works beside daemons; "
        "may be broken off and begun again.",
    )
    purge.add_argument(
        "--older-than", type=count, required=True, metavar="DAYS", help="over for more than so many days"
    )
    purge.add_argument(
        "--batch",
        type=batch,
        default=BATCH,
        metavar="N",
        help=f"rows that one transaction looks at (default: {BATCH})",
    )


def _token(token: Any) -> None:
    create = action(
        token, "create", actions.token_create, "make a token and print it; it cannot be printed again"
    )
    create.add_argument("--project", required=True, type=project, metavar="ID", help="project it is for")
    create.add_argument(
        "--role", action="append", type=word, metavar="NAME", help="may be repeated (default: member)"
    )
    create.add_argument("--ttl", type=seconds, metavar="S", help="seconds until it expires (default: never)")
    create.add_argument("--user", type=word, default="operator", metavar="ID", help="who it stands for")
    create.add_argument("--name", type=note, default="", help="a note")
    listing = action(token, "list", actions.token_list, "print tokens, without their text")
    listing.add_argument("--project", metavar="ID", help="of this project only")
    listing.add_argument("--limit", type=count, default=1000, metavar="N")
    revoke = action(token, "revoke", actions.token_revoke, "let nobody in with a token any more")
    revoke.add_argument("id", help="its id, as `token list` prints it")


def run(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    os.umask(0o077)
    conf = arguments.settings(args)
    start_logging(debug=conf.debug)
    with parts(conf, BINARY) as made:
        chosen: Action = args.action
        return chosen(made, args)


def main() -> int:
    return guarded(BINARY, run)


if __name__ == "__main__":
    sys.exit(main())
