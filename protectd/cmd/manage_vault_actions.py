"""What protectd-manage does with a vault as a whole. What it prints is JSON; it ends with 1 when it found
something damaged, missing or left out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from protectd.cmd.build import Parts
from protectd.cmd.manage_actions import show
from protectd.cmd.manage_vault_common import (
    FOUND,
    chosen,
    ids_or_all,
    opened,
    provider_of,
    read_password,
    snapshot_view,
)
from protectd.cmd.terminal import progress
from protectd.common.errors import BadRequest
from protectd.domain.forgetting import refuse_needed
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.vault.engine import VaultSession
from protectd.vault.findings import MAKE_AGAIN, Damage
from protectd.vault.pack_share import PackShare
from protectd.vault.repository import Repository


class NoTarget(BadRequest):
    code = "manage.no_target"
    message = "name one vault to copy to: --to-provider and --to-project, or --to-repository"


def vault_credentials(made: Parts, args: argparse.Namespace) -> int:
    provider = provider_of(made, args.provider)
    repository, password = made.vaults.credentials(provider, args.project)
    environment = dict(provider.vault_bank(args.project).restic_environment())
    needed = {"environment": environment} if environment else {}
    show({"repository": repository, "password": password, **needed})
    return 0


def vault_snapshots(made: Parts, args: argparse.Namespace) -> int:
    damage = Damage(MAKE_AGAIN)
    with opened(made, args) as session:
        found = chosen(session, args.names) if args.names else session.snapshots(damage)
        show([snapshot_view(each) for each in found])
    for error in damage.found.values():
        print(error, file=sys.stderr)
    return FOUND if damage.found else 0


def vault_check(made: Parts, args: argparse.Namespace) -> int:
    share = args.subset
    if args.daily is not None:
        share = PackShare.daily(args.daily, made.clock.now().date())
    with opened(made, args) as session, progress() as told:
        report = session.check(
            ids_or_all(session, args.names),
            read_data=args.read_data or share is not None,
            share=share,
            progress=told,
        )
    show(asdict(report))
    return 0 if report.ok else FOUND


def vault_prune(made: Parts, args: argparse.Namespace) -> int:
    with opened(made, args) as session, progress() as told:
        report = session.prune(told)
    show(asdict(report))
    return 0


def vault_stats(made: Parts, args: argparse.Namespace) -> int:
    with opened(made, args) as session, progress() as told:
        stats = session.stats(told)
    shared = [{**asdict(each), "shared_bytes": each.shared_bytes} for each in stats.checkpoints]
    show(asdict(stats) | {"checkpoints": shared})
    return FOUND if stats.errors else 0


def vault_forget(made: Parts, args: argparse.Namespace) -> int:
    with opened(made, args) as session:
        damaged = _damaged(session, args)
        snapshots = chosen(session, [name for name in args.names if name not in damaged])
        if not args.force:
            provider = provider_of(made, args.provider)
            with made.database.read() as uow:
                refuse_needed(uow, args.project, provider.id, snapshots)
        session.forget([each.id for each in snapshots] + damaged)
        views = [snapshot_view(each) for each in snapshots]
        show({"forgotten": views + [{"id": name} for name in damaged]})
    return 0


def _damaged(session: VaultSession, args: argparse.Namespace) -> list[str]:
    """Those of the names that are ids of damaged snapshots. Nobody can tell what checkpoint they are of.

    :raises VaultDamaged: it is one, and there is no --force.
    """
    damage = Damage(MAKE_AGAIN)
    session.snapshots(damage)
    damaged = [name for name in args.names if name in damage.found]
    if damaged and not args.force:
        raise damage.found[damaged[0]]
    return damaged


def repair_index(made: Parts, args: argparse.Namespace) -> int:
    with opened(made, args) as session, progress() as told:
        report = session.repair_index(read_all=args.read_all_packs, progress=told)
    show(asdict(report))
    return 0 if report.ok else FOUND


# --- copy ---


def vault_copy(made: Parts, args: argparse.Namespace) -> int:
    with opened(made, args) as session, _target(made, args) as target, progress() as told:
        report = session.copy(target, ids_or_all(session, args.names), told)
    pairs = {
        "copied": [{"from": source, "to": copy} for source, copy in report.copied],
        "present": [{"from": source, "to": copy} for source, copy in report.present],
    }
    show(asdict(report) | pairs)
    return 0 if report.ok else FOUND


@contextmanager
def _target(made: Parts, args: argparse.Namespace) -> Iterator[VaultSession]:
    """A vault of this service, made when there is none yet; or a repository that is there."""
    if bool(args.to_repository) == bool(args.to_provider or args.to_project):
        raise NoTarget()
    if args.to_repository is None:
        provider = provider_of(made, args.to_provider or args.provider)
        with made.vaults.session(provider, args.to_project or args.project) as session:
            yield session
        return
    bank = FilesystemBank.from_options({"path": os.path.abspath(args.to_repository)})
    repository = Repository.open(bank, read_password(args.to_password_file))
    with made.vault_engine.session(bank, repository.key) as session:
        yield session
