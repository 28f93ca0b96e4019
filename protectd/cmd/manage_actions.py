"""What protectd-manage does, one function an action. What it prints for programs is JSON."""

from __future__ import annotations

import argparse
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from protectd.api.routes import routes
from protectd.cmd.build import Parts
from protectd.common.errors import ConfigurationError, NotFound
from protectd.conf import secrets as secrets_options
from protectd.conf.sample import sample
from protectd.domain import tokens
from protectd.domain.purge import purge
from protectd.model import migrate
from protectd.model.models import Token
from protectd.model.repositories.base import Page
from protectd.plugin.secret_stores.master_keys import make_master_key


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


def db_purge(made: Parts, args: argparse.Namespace) -> int:
    need_database(made)
    made.check_schema()
    before = made.clock.now() - timedelta(days=args.older_than)
    show(purge(made.database, before, args.batch))
    return 0


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


def show_routes(made: Parts, args: argparse.Namespace) -> int:
    for verb, path in routes():
        print(f"{verb:7}{path}")
    return 0


def config_sample(made: Parts, args: argparse.Namespace) -> int:
    print(sample(), end="")
    return 0


def master_key(made: Parts, args: argparse.Namespace) -> int:
    name = args.store or made.conf.secrets.store
    if name not in made.store_names:
        raise ConfigurationError(where="[secrets] stores", reason=f"{name} is not among them")
    path = Path(secrets_options.of(made.conf, name).options["master_key_file"])
    if not path.parent.is_dir():
        raise ConfigurationError(where=f"master key {path}", reason="its directory is not there")
    print(f"made {path}" if make_master_key(path) else f"{path} is there already and stays")
    return 0
