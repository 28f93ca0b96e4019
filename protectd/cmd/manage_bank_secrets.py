"""protectd-manage bank-secret: credentials that providers' files name. What it prints is JSON."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any

from protectd.cmd.build import Parts
from protectd.cmd.manage_actions import need_database, show
from protectd.cmd.manage_parsers import action, group, word
from protectd.common.errors import ConfigurationError
from protectd.domain.bank_secrets import BankSecrets
from protectd.plugin.banks.credentials import MAX_BYTES, REFERENCE

READS = "It is read from standard input, or asked for at a terminal; never from the command line."


def add(groups: Any) -> None:
    made = group(groups, "bank-secret", "credentials of banks, which providers' files name")
    add_parser = action(made, "add", add_one, "keep one, and print what a provider's file names it by", READS)
    add_parser.add_argument("--name", required=True, type=word, help="for people")
    action(made, "list", list_all, "print which there are")
    replace_parser = action(
        made, "replace", replace, "give one another text, which is used from the next sign-in on", READS
    )
    remove_parser = action(made, "remove", remove, "forget one; who names it gets into its bank no more")
    for parser in (replace_parser, remove_parser):
        parser.add_argument("id", help="as `bank-secret list` prints it")


def add_one(made: Parts, args: argparse.Namespace) -> int:
    secret_id = _secrets(made).add(args.name, _text())
    show({"id": secret_id, "reference": REFERENCE + secret_id})
    return 0


def list_all(made: Parts, args: argparse.Namespace) -> int:
    found = _secrets(made).all()
    show([{"id": each.id, "name": each.name, "created_at": each.created_at.isoformat()} for each in found])
    return 0


def replace(made: Parts, args: argparse.Namespace) -> int:
    _secrets(made).replace(args.id, _text())
    show({"replaced": args.id})
    return 0


def remove(made: Parts, args: argparse.Namespace) -> int:
    _secrets(made).remove(args.id)
    show({"removed": args.id})
    return 0


def _secrets(made: Parts) -> BankSecrets:
    need_database(made)
    made.check_schema()
    return made.bank_secrets


def _text() -> str:
    """:raises ConfigurationError: it is empty, or too long for any."""
    text = getpass.getpass("Credential: ") if sys.stdin.isatty() else sys.stdin.read(MAX_BYTES + 1)
    text = text.strip("\r\n")
    if not text.strip() or len(text) > MAX_BYTES:
        reason = f"must be a text of at most {MAX_BYTES} characters"
        raise ConfigurationError(where="the credential", reason=reason)
    return text
