"""protectd-manage vault recovery-kit: what opens every vault with the restic program alone."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protectd.cmd.build import Parts
from protectd.cmd.manage_actions import moment, need_database, show
from protectd.cmd.manage_parsers import action
from protectd.common.errors import Conflict, ProtectdError
from protectd.common.files import atomic_write
from protectd.model.models import Vault

FOUND = 1
"""Exit code when a vault could not be written down."""

HEAD = """\
# protectd recovery kit of {moment}
#
# Each block below is for a shell. It lets the restic program (0.14 or later) open one vault, without
# protectd, its database and its keys:
#
#     restic snapshots
#     restic restore SNAPSHOT --target DIRECTORY
#
# Whoever has this file can read every backup. Print it, or keep it on a medium that lies in a safe, apart
# from the banks; nowhere online, in no ticket and no mail. Make it anew when a vault is added or a password
# rotated: protectd-manage vault recovery-kit. Try it once: a kit that was never used is a hope.
"""


class FileThere(Conflict):
    code = "manage.file_there"
    message = "{path} is there already; move it away, or name another file"


@dataclass(frozen=True, slots=True)
class Opened:
    """One vault as the restic program opens it."""

    vault: Vault
    provider: str
    environment: Mapping[str, str]

    def text(self) -> str:
        told = remark(f"provider {self.provider}, project {self.vault.project_id}")
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return "\n".join(["", told, *lines, ""])


def remark(text: str) -> str:
    """One line that no shell obeys, whatever stands in the text."""
    return "# " + " ".join(text.split())


def add(vault: Any) -> None:
    made = action(
        vault,
        "recovery-kit",
        recovery_kit,
        "write down what opens every vault without protectd",
        "Each vault is opened once to prove its password. The file says how to use it and how to keep it.",
    )
    made.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="made with mode 0600; none may be there"
    )


def recovery_kit(made: Parts, args: argparse.Namespace) -> int:
    need_database(made)
    if args.output.exists():
        raise FileThere(path=args.output)
    missing: list[dict[str, str]] = []
    opened = list(_vaults(made, missing))
    with atomic_write(args.output.absolute()) as file:
        file.write(HEAD.format(moment=moment(made.clock.now())).encode())
        for each in opened:
            file.write(each.text().encode())
        for gap in missing:
            told = remark(f"NOT IN THIS KIT: project {gap['project_id']}: {gap['reason']}")
            file.write(f"\n{told}\n".encode())
    show({"file": str(args.output), "vaults": len(opened), "missing": missing})
    return FOUND if missing else 0


def _vaults(made: Parts, missing: list[dict[str, str]]) -> Iterator[Opened]:
    """Those that open; the others go to `missing` with the reason."""
    with made.database.read() as uow:
        vaults = uow.vaults.ready()
    for vault in vaults:
        try:
            yield _opened(made, vault)
        except ProtectdError as error:
            subject = {"provider_id": vault.provider_id, "project_id": vault.project_id}
            missing.append(subject | {"reason": str(error)})


def _opened(made: Parts, vault: Vault) -> Opened:
    provider = made.providers.get(vault.provider_id)
    repository, password = made.vaults.credentials(provider, vault.project_id)
    environment = dict(provider.vault_bank(vault.project_id).restic_environment())
    environment |= {"RESTIC_REPOSITORY": repository, "RESTIC_PASSWORD": password}
    return Opened(vault, f"{provider.name} ({provider.id})", environment)
