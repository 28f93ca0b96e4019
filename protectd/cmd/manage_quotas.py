"""protectd-manage quota: what projects may have, and what they have."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from protectd.cmd.build import Parts
from protectd.cmd.manage_actions import need_database, show
from protectd.cmd.manage_parsers import action, group, project
from protectd.domain.balances import BATCH, heal
from protectd.domain.quota import Quotas
from protectd.model.repositories.quotas import RESOURCES, limit_of


def add(groups: Any) -> None:
    within = group(groups, "quota", "what projects may have, and what they have")
    shown = action(within, "show", quota_show, "print the limits of a project and what it has in use")
    shown.add_argument("--project", required=True, type=project, metavar="ID", help="whose")
    recount = action(
        within,
        "recount",
        quota_recount,
        "set right what is said to be in use",
        "Prints what was wrong. Works beside daemons.",
    )
    recount.add_argument("--project", type=project, metavar="ID", help="of this project only")


def quota_show(made: Parts, args: argparse.Namespace) -> int:
    need_database(made)
    with made.database.read() as uow:
        quotas = Quotas(uow, made.quota_options)
        limits, usages = quotas.limits(args.project), quotas.usages(args.project)
    show({name: {"limit": limits[limit_of(name)], "in_use": usages[name]} for name in RESOURCES})
    return 0


def quota_recount(made: Parts, args: argparse.Namespace) -> int:
    need_database(made)
    made.check_schema()
    projects = [args.project] if args.project else _projects(made)
    healed = {id: heal(made.database, id, made.clock) for id in projects}
    show(
        {
            id: {name: {"said": said, "in_use": true} for name, (said, true) in found.items()}
            for id, found in healed.items()
            if found
        }
    )
    return 0


def _projects(made: Parts) -> Iterator[str]:
    after = ""
    while True:
        with made.database.read() as uow:
            found = uow.balances.projects(after, BATCH)
        yield from found
        if not found:
            return
        after = found[-1]
