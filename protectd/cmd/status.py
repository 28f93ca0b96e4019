"""protectd-status: whether an installation is ready for daemons of this version."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Sequence

from protectd.cmd import arguments, status_checks
from protectd.cmd.build import parts
from protectd.cmd.door import guarded
from protectd.cmd.logs import start_logging
from protectd.cmd.status_checks import CHECKS, Code, Result
from protectd.common.errors import ConfigurationError

BINARY = "protectd-status"
WIDTH = 76

Named = tuple[str, Result]


def parser() -> argparse.ArgumentParser:
    made = arguments.parser(BINARY, "Tell whether an installation is ready for daemons of this version.")
    arguments.add_state_dir(made)
    upgrade = made.add_subparsers(metavar="GROUP", required=True).add_parser(
        "upgrade", help="before an upgrade", description="Before an upgrade.", allow_abbrev=False
    )
    check = upgrade.add_subparsers(metavar="ACTION", required=True).add_parser(
        "check",
        help="look at all that daemons of this version need",
        description="Look at all that daemons of this version need; changes nothing. Ends with 0, 1 when "
        "there is something to look at, 2 when something would fail.",
        allow_abbrev=False,
    )
    check.set_defaults(action=upgrade_check)
    return made


def upgrade_check(args: argparse.Namespace) -> int:
    results = found(args)
    print(table(results))
    return max(result.code for _, result in results)


def found(args: argparse.Namespace) -> list[Named]:
    """One result a check; of a configuration that cannot be read, that alone."""
    try:
        conf = arguments.settings(args)
    except ConfigurationError as error:
        return [(CHECKS[0][0], Result(Code.FAILURE, str(error)))]
    with parts(conf, BINARY) as made:
        return [(name, status_checks.run(check, made)) for name, check in CHECKS]


def table(results: Sequence[Named]) -> str:
    """As other services print it: a box for each check."""
    boxes = [["Upgrade Check Results"]]
    for name, result in results:
        details = textwrap.wrap(f"Details: {result.details or 'None'}", WIDTH, subsequent_indent="  ")
        boxes.append([f"Check: {name}", f"Result: {result.code.name.title()}", *details])
    width = max(len(line) for box in boxes for line in box)
    rule = f"+{'-' * (width + 2)}+"
    lines = [rule]
    for box in boxes:
        lines += [*(f"| {line.ljust(width)} |" for line in box), rule]
    return "\n".join(lines)


def run(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    os.umask(0o077)
    start_logging(debug=args.debug)
    return int(args.action(args))


def main() -> int:
    return guarded(BINARY, run)


if __name__ == "__main__":
    sys.exit(main())
