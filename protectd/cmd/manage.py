"""protectd-manage: the operator's tool. Works beside running daemons."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from protectd.api.controllers.root import KEY_MANAGER_NOUNS
from protectd.cmd import arguments
from protectd.cmd import manage_actions as actions
from protectd.cmd.build import parts
from protectd.cmd.door import guarded
from protectd.cmd.logs import start_logging

BINARY = "protectd-manage"
NAME_CHARACTERS = 255


def parser() -> argparse.ArgumentParser:
    made = arguments.parser(
        BINARY,
        "Look after an installation: its database, tokens, vaults and configuration. Works beside daemons.",
    )
    arguments.add_state_dir(made)
    groups = made.add_subparsers(metavar="GROUP", required=True)
    _db(_group(groups, "db", "the database's schema"))
    _token(_group(groups, "token", "who may use the API"))
    _vault(_group(groups, "vault", "vaults of projects"))
    _action(
        _group(groups, "provider", "providers"), "list", actions.provider_list, "print the enabled providers"
    )
    _action(
        _group(groups, "service", "daemons"),
        "list",
        actions.service_list,
        "print daemons and their heartbeats",
    )
    _action(
        _group(groups, "secrets", "the service's own secrets"),
        "create-master-key",
        actions.master_key,
        "make the master key file; one that is there stays",
    )
    _action(
        _group(groups, "config", "the configuration"), "sample", actions.config_sample, "print a sample file"
    )
    _action(groups, "routes", actions.show_routes, "print what the API answers")
    return made


def _group(groups: Any, name: str, about: str) -> Any:
    group = groups.add_parser(name, help=about, description=f"About {about}.", allow_abbrev=False)
    return group.add_subparsers(metavar="ACTION", required=True)


def _action(group: Any, name: str, action: actions.Action, about: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = group.add_parser(
        name, help=about, description=about[0].upper() + about[1:] + ".", allow_abbrev=False
    )
    made.set_defaults(action=action)
    return made


def _db(group: Any) -> None:
    upgrade = _action(group, "upgrade", actions.db_upgrade, "bring the tables to this version")
    upgrade.add_argument("revision", nargs="?", default="head")
    downgrade = _action(
        group, "downgrade", actions.db_downgrade, "take the tables back to a revision; base: none"
    )
    downgrade.add_argument("revision")
    _action(group, "current", actions.db_current, "print the revision of the tables")
    _action(group, "check", actions.db_check, "compare the tables with what this version expects")


def _token(group: Any) -> None:
    create = _action(
        group, "create", actions.token_create, "make a token and print it; it cannot be printed again"
    )
    create.add_argument("--project", required=True, type=project, metavar="ID", help="project it is for")
    create.add_argument(
        "--role", action="append", type=word, metavar="NAME", help="may be repeated (default: member)"
    )
    create.add_argument("--ttl", type=seconds, metavar="S", help="seconds until it expires (default: never)")
    create.add_argument("--user", type=word, default="operator", metavar="ID", help="who it stands for")
    create.add_argument("--name", type=note, default="", help="a note")
    listing = _action(group, "list", actions.token_list, "print tokens, without their text")
    listing.add_argument("--project", metavar="ID", help="of this project only")
    listing.add_argument("--limit", type=count, default=1000, metavar="N")
    revoke = _action(group, "revoke", actions.token_revoke, "let nobody in with a token any more")
    revoke.add_argument("id", help="its id, as `token list` prints it")


def _vault(group: Any) -> None:
    credentials = _action(
        group, "credentials", actions.vault_credentials, "print a vault's repository and password, for restic"
    )
    credentials.add_argument("--provider", required=True, metavar="NAME", help="name or id")
    credentials.add_argument("--project", required=True, metavar="ID")


def project(text: str) -> str:
    """What can stand in a path of the API and name a directory of the bank."""
    good = 0 < len(text) <= 64 and all(c.isascii() and (c.isalnum() or c in "_-") for c in text)
    if not good:
        raise argparse.ArgumentTypeError("use up to 64 letters, digits, '_' and '-'")
    if text in KEY_MANAGER_NOUNS:
        raise argparse.ArgumentTypeError(f"{text} stands for something else in the API")
    return text


def note(text: str) -> str:
    """What a database keeps of a name, whichever it is."""
    if len(text) > NAME_CHARACTERS or not text.isprintable():
        raise argparse.ArgumentTypeError(f"use up to {NAME_CHARACTERS} printable characters")
    return text


def word(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return note(text)


def count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise argparse.ArgumentTypeError("it must be a number from 1 on")
    return int(text)


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e10:
        raise argparse.ArgumentTypeError("it must be a number of seconds above 0")
    return value


def run(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    os.umask(0o077)
    conf = arguments.settings(args)
    start_logging(debug=conf.debug)
    with parts(conf, BINARY) as made:
        action: actions.Action = args.action
        return action(made, args)


def main() -> int:
    return guarded(BINARY, run)


if __name__ == "__main__":
    sys.exit(main())
