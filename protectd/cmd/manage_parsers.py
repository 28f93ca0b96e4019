"""What the parsers of protectd-manage have in common: groups, actions, kinds of values."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from protectd.api.contracts import KEY_MANAGER_NOUNS, TRIGGERS
from protectd.cmd.build import Parts

Action = Callable[[Parts, argparse.Namespace], int]
NAME_CHARACTERS = 255
MOST_ROWS = 10_000


def group(groups: Any, name: str, about: str) -> Any:
    made = groups.add_parser(name, help=about, description=f"About {about}.", allow_abbrev=False)
    return made.add_subparsers(metavar="ACTION", required=True)


def action(group: Any, name: str, run: Action, about: str, more: str = "") -> argparse.ArgumentParser:
    """:param about: one line, without a capital and a full stop. :param more: what follows it in --help."""
    made: argparse.ArgumentParser = group.add_parser(
        name, help=about, description=f"{about[0].upper()}{about[1:]}. {more}".strip(), allow_abbrev=False
    )
    made.set_defaults(action=run)
    return made


def of_store(group: Any, name: str, run: Action, about: str, more: str = "") -> argparse.ArgumentParser:
    made = action(group, name, run, about, more)
    made.add_argument("--store", metavar="NAME", help="which secret store; without it, the one that seals")
    return made


# --- vaults ---

ENDS = "Ends with 0, 1 when something was found or failed, 2 for wrong use, 130 when it was interrupted."
NAMES = "snapshot or checkpoint id; of a snapshot's the first digits will do (four or more), or `latest`"


def of_vault(within: Any, name: str, run: Action, about: str, more: str = "") -> argparse.ArgumentParser:
    made = action(within, name, run, about, f"{more} {ENDS}".strip())
    made.add_argument("--provider", required=True, metavar="NAME", help="name or id of the vault's provider")
    made.add_argument("--project", required=True, metavar="ID", help="project that the vault belongs to")
    return made


def names(made: argparse.ArgumentParser, what: str, *, some: bool = False) -> None:
    made.add_argument("names", nargs="+" if some else "*", metavar="ID", help=f"{what}: {NAMES}")


# --- kinds of values ---


def project(text: str) -> str:
    """What can stand in a path of the API and name a directory of the bank."""
    good = 0 < len(text) <= 64 and all(c.isascii() and (c.isalnum() or c in "_-") for c in text)
    if not good:
        raise argparse.ArgumentTypeError("use up to 64 letters, digits, '_' and '-'")
    if text in KEY_MANAGER_NOUNS or text == TRIGGERS:
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


def batch(text: str) -> int:
    """What one statement may name, on each database."""
    value = count(text)
    if value > MOST_ROWS:
        raise argparse.ArgumentTypeError(f"it must be at most {MOST_ROWS}")
    return value


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e10:
        raise argparse.ArgumentTypeError("it must be a number of seconds above 0")
    return value
