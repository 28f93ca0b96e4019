"""protectd-manage audit: whether what was noted of secrets is what was noted. What it prints is JSON."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from protectd.cmd.build import Parts
from protectd.cmd.manage_actions import need_database, show
from protectd.cmd.manage_parsers import action, group
from protectd.common.errors import ConfigurationError
from protectd.domain.audit import verify

FOUND = 1
"""Exit code when a chain is not what was written."""


def add(groups: Any) -> None:
    audit = group(groups, "audit", "who has read or moved which secret")
    made = action(
        audit,
        "verify",
        audit_verify,
        "look whether the chains of events are what was written",
        "Names chains that were changed, cut off or removed. Ends with 1 when there is one.",
    )
    made.add_argument(
        "--directory", type=Path, metavar="DIR", help="of another host (default: as configured)"
    )


def audit_verify(made: Parts, args: argparse.Namespace) -> int:
    need_database(made)
    made.check_schema()
    directory = args.directory or Path(made.conf.audit.directory)
    if not directory.is_dir():
        raise ConfigurationError(where=f"audit {directory}", reason="the directory is not there")
    with made.database.read() as uow:
        anchors = uow.audit_anchors.all()
    proofs = list(verify(directory, anchors))
    show([asdict(proof) for proof in proofs])
    return 0 if all(proof.ok for proof in proofs) else FOUND
