"""protectd-manage vault import: checkpoints back into a database that has lost them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from protectd.cmd.build import Parts
from protectd.cmd.manage_actions import show
from protectd.cmd.manage_vault_common import FOUND, provider_of, read_password
from protectd.cmd.terminal import progress
from protectd.common.errors import BadRequest, ProtectdError, Unavailable
from protectd.domain.imports import Importer
from protectd.domain.providers import Provider
from protectd.vault.repository import CONFIG


class OneVault(BadRequest):
    code = "manage.one_vault"
    message = "name one --project, or --all; a password is that of one project's vault"


def vault_import(made: Parts, args: argparse.Namespace) -> int:
    if bool(args.project) == args.all or (args.all and args.password_file):
        raise OneVault
    provider = provider_of(made, args.provider)
    projects = list(projects_of(provider)) if args.all else [args.project]
    found = [_imported(made, args, provider, project_id) for project_id in projects]
    show(found)
    return FOUND if any(each["left_out"] or each["error"] for each in found) else 0


def _imported(made: Parts, args: argparse.Namespace, provider: Provider, project_id: str) -> dict[str, Any]:
    """One vault that does not open does not keep the others from being imported."""
    view: dict[str, Any] = {
        "project_id": project_id,
        "imported": [],
        "known": [],
        "held": [],
        "left_out": [],
        "error": None,
    }
    try:
        return view | _of_vault(made, args, provider, project_id)
    except Unavailable:
        raise
    except ProtectdError as error:
        if not args.all:
            raise
        return view | {"error": str(error)}


def _of_vault(made: Parts, args: argparse.Namespace, provider: Provider, project_id: str) -> dict[str, Any]:
    if args.password_file is not None:
        made.vaults.adopt(provider, project_id, read_password(args.password_file))
    with (
        made.vaults.session(provider, project_id, make=False) as session,
        progress(shown=False) as told,
        session.reading(told) as looking,
    ):
        done = Importer(made.database, provider.id, project_id, args.dry_run, args.host).run(looking)
        for issue in looking.issues.kept:
            print(f"{issue.path}: {issue.kind}: {issue.reason}", file=sys.stderr)
    left_out = [{"checkpoint_id": id, "reason": reason} for id, reason in done.left_out.items()]
    found = {"imported": done.imported, "known": done.known, "held": done.held}
    return found | {"left_out": left_out}


def projects_of(provider: Provider) -> Iterator[str]:
    """Projects that have a vault in the bank of a provider. Lists all that is in it."""
    for found in provider.bank.section(provider.id).list(""):
        project_id, _, rest = found.key.partition("/")
        if rest == CONFIG:
            yield project_id
