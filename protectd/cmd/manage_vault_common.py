"""What the vault's actions share: opening one, choosing snapshots, passwords that nobody else sees."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from protectd.cmd.build import Parts
from protectd.cmd.manage_actions import moment, need_database
from protectd.common.errors import BadRequest
from protectd.domain.providers import Provider
from protectd.vault.choosing import choose
from protectd.vault.engine import VaultSession
from protectd.vault.reading import Reading
from protectd.vault.snapshot import Snapshot
from protectd.vault.tags import checkpoint_of, hold_of, manifest_of, resource_of

FOUND = 1
"""Exit code when all was looked at, and something is damaged, missing or left out."""


class NoPassword(BadRequest):
    code = "manage.no_password"
    message = "no password from {where}: {reason}"


def provider_of(made: Parts, name: str) -> Provider:
    need_database(made)
    return made.providers.by_name_or_id(name)


@contextmanager
def opened(made: Parts, args: argparse.Namespace) -> Iterator[VaultSession]:
    """The vault that `--provider` and `--project` name."""
    provider = provider_of(made, args.provider)
    with made.vaults.session(provider, args.project, make=False) as session:
        yield session


def chosen(session: VaultSession, names: Sequence[str]) -> list[Snapshot]:
    """The snapshots that these ids, starts of ids and checkpoints name, each once. None given: none."""
    snapshots = session.snapshots() if names else []
    found = {each.id: each for name in names for each in choose(snapshots, name, manifests=True)}
    return list(found.values())


def ids_or_all(session: VaultSession, names: Sequence[str]) -> list[str] | None:
    return [each.id for each in chosen(session, names)] if names else None


def snapshot_view(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "id": snapshot.id,
        "time": moment(snapshot.time),
        "checkpoint_id": checkpoint_of(snapshot),
        "resource_id": resource_of(snapshot),
        "manifest": manifest_of(snapshot) is not None,
        "hold": hold_of(snapshot) is not None,
        "paths": list(snapshot.paths),
        "hostname": snapshot.hostname,
        "username": snapshot.username,
        "tags": list(snapshot.tags),
        "tree": snapshot.tree,
        "original": snapshot.original,
    }


def ended(looking: Reading) -> int:
    """Tell what could not be read, beside what goes to the standard output; the exit code."""
    for issue in looking.issues.kept:
        print(f"{issue.path}: {issue.kind}: {issue.reason}", file=sys.stderr)
    return FOUND if looking.issues.count else 0


def read_password(file: str | None) -> str:
    """From a file (`-`: the first line of the standard input), or from the person at the terminal.

    As restic reads them: white space around a file's text does not count.

    :raises NoPassword: the file does not read, or there is neither a file nor a terminal.
    """
    if file == "-":
        return sys.stdin.readline().rstrip("\r\n")
    if file is not None:
        return _from_file(Path(file))
    if not sys.stdin.isatty():
        raise NoPassword(where="the terminal", reason="there is none; name a file, or - for standard input")
    return _from_person()


def _from_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise NoPassword(where=str(path), reason="it is not UTF-8") from None
    except OSError as error:
        raise NoPassword(where=str(path), reason=error.strerror) from error


def _from_person() -> str:
    password = getpass.getpass("password: ")
    if getpass.getpass("the same again: ") != password:
        raise NoPassword(where="the terminal", reason="the two are not the same")
    return password
