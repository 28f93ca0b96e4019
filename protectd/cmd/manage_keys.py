"""protectd-manage key: master keys, from one to the next. What it prints is JSON."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from protectd.cmd.build import Parts
from protectd.cmd.manage_actions import need_database, show
from protectd.cmd.manage_parsers import batch, group, of_store
from protectd.domain.key_rotation import BATCH, MasterKeys

FOUND = 1
"""Exit code when something does not open."""


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
    rewrap_parser.add_argument(
        "--batch", type=batch, default=BATCH, metavar="N", help=f"rows of one transaction (default: {BATCH})"
    )
    drop_parser = of_store(
        key,
        "drop",
        drop,
        "forget a master key that seals nothing any more",
        "A backup of the database from before the rewrap opens no more without it: keep it with that backup.",
    )
    drop_parser.add_argument("id", help="as `key status` prints it")


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
    if sys.stderr.isatty():
        print(file=sys.stderr)
    show(asdict(done))
    return FOUND if done.damaged else 0


def _tell(count: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{count} sealed anew", end="", file=sys.stderr, flush=True)


def drop(made: Parts, args: argparse.Namespace) -> int:
    master_keys(made, args).drop(args.id)
    show({"dropped": args.id})
    return 0
