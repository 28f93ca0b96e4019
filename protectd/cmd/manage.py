"""protectd-manage: the operator's tool. Works beside running daemons; what it prints for programs is JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from protectd.api.controllers.root import KEY_MANAGER_NOUNS
from protectd.api.routes import routes
from protectd.cmd import arguments
from protectd.cmd.build import Parts, parts
from protectd.cmd.door import guarded
from protectd.cmd.logs import start_logging
from protectd.common.errors import ConfigurationError, NotFound
from protectd.conf.sample import sample
from protectd.domain import tokens
from protectd.model import migrate
from protectd.model.models import Service, Token
from protectd.model.repositories.base import Page
from protectd.plugin.secret_stores.crypto import make_master_key

BINARY = "protectd-manage"

Action = Callable[[Parts, argparse.Namespace], int]


class NoDatabase(NotFound):
    code = "manage.no_database"
    message = "there is no database at {path}; is this the right --state-dir?"


def show(value: Any) -> None:
    print(json.dumps(value, indent=2))


# --- db ---


def db_upgrade(made: Parts, args: argparse.Namespace) -> int:
    migrate.upgrade(made.database_url, args.revision)
    print(f"the database is at revision {migrate.current(made.database_url)}")
    return 0


def db_downgrade(made: Parts, args: argparse.Namespace) -> int:
    migrate.downgrade(made.database_url, args.revision)
    print(f"the database is at revision {migrate.current(made.database_url) or 'nothing'}")
    return 0


def db_current(made: Parts, args: argparse.Namespace) -> int:
    need_database(made)
    print(migrate.current(made.database_url) or "nothing")
    return 0


def db_check(made: Parts, args: argparse.Namespace) -> int:
    """1 when the tables differ from what this version expects."""
    need_database(made)
    differences = migrate.check(made.database_url)
    for difference in differences:
        print(difference)
    print(f"{len(differences)} differences" if differences else "no differences")
    return 1 if differences else 0


def need_database(made: Parts) -> None:
    """SQLite would make an empty file of a mistyped directory."""
    path = made.database.engine.url.database or ""
    if made.database.engine.dialect.name == "sqlite" and not Path(path).exists():
        raise NoDatabase(path=path)


# --- token ---


def token_create(made: Parts, args: argparse.Namespace) -> int:
    need_database(made)
    roles = args.role or ["member"]
    with made.database.write() as uow:
        text = tokens.issue(uow, args.project, args.user, roles, args.ttl, made.clock.now(), name=args.name)
        row = uow.tokens.by_digest(tokens.digest(text))
        assert row is not None
        show({"token": text, **token_view(made, row)})
    return 0


def token_list(made: Parts, args: argparse.Namespace) -> int:
    need_database(made)
    with made.database.read() as uow:
        found = uow.tokens.page(Page(limit=args.limit), args.project)
        show([token_view(made, token) for token in found])
    return 0


def token_revoke(made: Parts, args: argparse.Namespace) -> int:
    need_database(made)
    with made.database.write() as uow:
        tokens.revoke(uow, args.id, made.clock.now())
        show(token_view(made, uow.tokens.get(args.id)))
    return 0


def token_view(made: Parts, token: Token) -> dict[str, Any]:
    """Everything but what opens a door."""
    return {
        "id": token.id,
        "name": token.name,
        "user_id": token.user_id,
        "project_id": token.project_id,
        "roles": list(token.roles),
        "created_at": moment(token.created_at),
        "expires_at": moment(token.expires_at),
        "revoked_at": moment(token.revoked_at),
        "live": tokens.is_live(token, made.clock.now()),
    }


def moment(value: Any) -> str | None:
    return None if value is None else str(value.isoformat())


# --- the rest ---


def vault_credentials(made: Parts, args: argparse.Namespace) -> int:
    need_database(made)
    provider = made.providers.by_name_or_id(args.provider)
    repository, password = made.vaults.credentials(provider, args.project)
    show({"repository": repository, "password": password})
    return 0


def provider_list(made: Parts, args: argparse.Namespace) -> int:
    show(
        [
            {
                "id": provider.id,
                "name": provider.name,
                "description": provider.description,
                "resource_types": sorted(provider.protections),
                "allowed_roots": {key: list(roots) for key, roots in provider.allowed_roots.items()},
            }
            for provider in made.providers
        ]
    )
    return 0


def service_list(made: Parts, args: argparse.Namespace) -> int:
    need_database(made)
    with made.database.read() as uow:
        show([service_view(service) for service in uow.services.all()])
    return 0


def service_view(service: Service) -> dict[str, Any]:
    return {
        "binary": service.binary,
        "host": service.host,
        "topic": service.topic,
        "report_count": service.report_count,
        "updated_at": moment(service.updated_at),
        "disabled": service.disabled,
    }


def show_routes(made: Parts, args: argparse.Namespace) -> int:
    for verb, path in routes():
        print(f"{verb:7}{path}")
    return 0


def config_sample(made: Parts, args: argparse.Namespace) -> int:
    print(sample(), end="")
    return 0


def master_key(made: Parts, args: argparse.Namespace) -> int:
    path = Path(made.conf.secrets.master_key_file)
    if not path.parent.is_dir():
        raise ConfigurationError(where=f"master key {path}", reason="its directory is not there")
    print(f"made {path}" if make_master_key(path) else f"{path} is there already and stays")
    return 0


# --- the command line ---


def parser() -> argparse.ArgumentParser:
    made = arguments.parser(
        BINARY,
        "Look after an installation: its database, tokens, vaults and configuration. Works beside daemons.",
    )
    arguments.add_state_dir(made)
    groups = made.add_subparsers(metavar="GROUP", required=True)
    _db(_group(groups, "db", "the database's schema"))
    _token(_group(groups, "token", "who may use the API"))
    _vault(_group(groups, "vault", "vaults of projects"))
    _action(_group(groups, "provider", "providers"), "list", provider_list, "print the enabled providers")
    _action(_group(groups, "service", "daemons"), "list", service_list, "print daemons and their heartbeats")
    _action(
        _group(groups, "secrets", "the service's own secrets"),
        "create-master-key",
        master_key,
        "make the master key file; one that is there stays",
    )
    _action(_group(groups, "config", "the configuration"), "sample", config_sample, "print a sample file")
    _action(groups, "routes", show_routes, "print what the API answers")
    return made


def _group(groups: Any, name: str, about: str) -> Any:
    group = groups.add_parser(name, help=about, description=f"About {about}.", allow_abbrev=False)
    return group.add_subparsers(metavar="ACTION", required=True)


def _action(group: Any, name: str, action: Action, about: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = group.add_parser(
        name, help=about, description=about[0].upper() + about[1:] + ".", allow_abbrev=False
    )
    made.set_defaults(action=action)
    return made


def _db(group: Any) -> None:
    upgrade = _action(group, "upgrade", db_upgrade, "bring the tables to this version")
    upgrade.add_argument("revision", nargs="?", default="head")
    downgrade = _action(group, "downgrade", db_downgrade, "take the tables back to a revision; base: none")
    downgrade.add_argument("revision")
    _action(group, "current", db_current, "print the revision of the tables")
    _action(group, "check", db_check, "compare the tables with what this version expects")


def _token(group: Any) -> None:
    create = _action(group, "create", token_create, "make a token and print it; it cannot be printed again")
    create.add_argument("--project", required=True, type=project, metavar="ID", help="project it is for")
    create.add_argument("--role", action="append", metavar="NAME", help="may be repeated (default: member)")
    create.add_argument("--ttl", type=seconds, metavar="S", help="seconds until it expires (default: never)")
    create.add_argument("--user", default="operator", metavar="ID", help="who it stands for")
    create.add_argument("--name", default="", help="a note")
    listing = _action(group, "list", token_list, "print tokens, without their text")
    listing.add_argument("--project", metavar="ID", help="of this project only")
    listing.add_argument("--limit", type=int, default=1000, metavar="N")
    revoke = _action(group, "revoke", token_revoke, "let nobody in with a token any more")
    revoke.add_argument("id", help="its id, as `token list` prints it")


def _vault(group: Any) -> None:
    credentials = _action(
        group, "credentials", vault_credentials, "print a vault's repository and password, for restic"
    )
    credentials.add_argument("--provider", required=True, metavar="NAME", help="name or id")
    credentials.add_argument("--project", required=True, metavar="ID")


def project(text: str) -> str:
    """What can stand in a path of the API and name a directory of the bank."""
    good = 0 < len(text) <= 64 and all(c.isascii() and (c.isalnum() or c in "_-") for c in text)
    if not good:
        raise argparse.ArgumentTypeError("use up to 64 letters, digits, '_' and '-'")
    if text in KEY_MANAGER_NOUNS:
        raise argparse.ArgumentTypeError(f"{text} stands for something else in the API")
    return text


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e10:
        raise argparse.ArgumentTypeError("it must be a number of seconds above 0")
    return value


def run(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    os.umask(0o077)
    conf = arguments.settings(args)
    start_logging(debug=conf.debug)
    with parts(conf, BINARY) as made:
        action: Action = args.action
        return action(made, args)


def main() -> int:
    return guarded(BINARY, run)


if __name__ == "__main__":
    sys.exit(main())
