"""protectd-manage key: master keys, from one to the next, and stores. What it prints is JSON."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from protectd.api.middleware import request_id
from protectd.cmd.build import Parts
from protectd.cmd.manage_actions import need_database, show
from protectd.cmd.manage_parsers import action, batch, group, of_store
from protectd.common.context import RequestContext
from protectd.common.errors import ConfigurationError
from protectd.domain.audit import Audit
from protectd.domain.key_rotation import BATCH, MasterKeys
from protectd.domain.store_moves import StoreMove

FOUND = 1
"""Exit code when something does not open, or is left."""

OPERATOR = "operator"


def add(groups: Any) -> None:
    key = group(groups, "key", "master keys, which seal the keys of projects")
    of_store(key, "status", status, "print the master keys and what each of them seals")
    of_store(
        key,
        "rotate",
        rotate,
        "make a new master key, which seals from now on",
        "Those before it stay and open what they have sealed: then rewrap. Running daemons take the new one "
        "up by themselves; hosts with a copy of the file need the new file first.",
    )
    rewrap_parser = of_store(
        key,
        "rewrap",
        rewrap,
        "seal with the newest master key whatever others seal",
        "Works beside daemons; may be broken off and begun again.",
    )
    _in_batches(rewrap_parser)
    move_parser = action(
        key,
        "move",
        move,
        "move all that one secret store has into another one",
        "Works beside daemons, if both stores are in the configuration of all of them; may be broken off and "
        "begun again. Ends with 1 when something does not open or is left, such as what came meanwhile.",
    )
    move_parser.add_argument("--from", required=True, dest="source", metavar="NAME", help="store to empty")
    move_parser.add_argument("--to", required=True, dest="target", metavar="NAME", help="store that takes it")
    _in_batches(move_parser)
    drop_parser = of_store(
        key,
        "drop",
        drop,
        "forget a master key that seals nothing any more",
        "A backup of the database from before the rewrap opens no more without it: keep it with that backup.",
    )
    drop_parser.add_argument("id", help="as `key status` prints it")


def _in_batches(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch", type=batch, default=BATCH, metavar="N", help=f"rows of one transaction (default: {BATCH})"
    )


def master_keys(made: Parts, args: argparse.Namespace) -> MasterKeys:
    need_database(made)
    made.check_schema()
    return MasterKeys(made.database, made.secrets.keys, args.store or made.conf.secrets.store)


def status(made: Parts, args: argparse.Namespace) -> int:
    uses = master_keys(made, args).uses()
    show([asdict(use) for use in uses])
    return FOUND if any(use.count and not use.present for use in uses) else 0


def rotate(made: Parts, args: argparse.Namespace) -> int:
    show({"master_key_id": master_keys(made, args).add()})
    return 0


def rewrap(made: Parts, args: argparse.Namespace) -> int:
    done = master_keys(made, args).rewrap(args.batch, _tell)
    _told()
    show(asdict(done))
    return FOUND if done.damaged else 0


def move(made: Parts, args: argparse.Namespace) -> int:
    need_database(made)
    made.check_schema()
    if args.source == made.conf.secrets.store:
        reason = f"{args.source} seals for every project that prefers no other; let another store do so first"
        raise ConfigurationError(where="[secrets] store", reason=reason)
    made.secret_stores.all()
    trail = OperatorTrail(made.audit)
    done = StoreMove(made.database, made.secrets.keys, args.source, args.target, trail).run(args.batch, _tell)
    _told()
    show(asdict(done))
    return 0 if done.is_empty else FOUND


class OperatorTrail:
    """What the operator's tool does with keys, in the log of who does what. An address it has not."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self._request_id = request_id.new()
        self.settle = audit.settle

    def note(self, event: str, project_id: str, **subject: str) -> None:
        self._audit.note(event, RequestContext(self._request_id, project_id, OPERATOR), "", **subject)


def _told() -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)


def _tell(count: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{count} sealed anew", end="", file=sys.stderr, flush=True)


def drop(made: Parts, args: argparse.Namespace) -> int:
    master_keys(made, args).drop(args.id)
    show({"dropped": args.id})
    return 0
