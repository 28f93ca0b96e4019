"""protectd-manage vault key: who can open a vault."""

from __future__ import annotations

import argparse
from typing import Any

from protectd.cmd.build import Parts
from protectd.cmd.manage_actions import moment, show
from protectd.cmd.manage_vault_common import opened, provider_of, read_password
from protectd.vault.key_files import KeyFile


def key_list(made: Parts, args: argparse.Namespace) -> int:
    """The vault's own key is told by trying its password: a moment for each key."""
    with opened(made, args) as session:
        password = made.vaults.password(provider_of(made, args.provider), args.project)
        show([key_view(key) for key in session.keys.list(password)])
    return 0


def key_add(made: Parts, args: argparse.Namespace) -> int:
    with opened(made, args) as session:
        show({"id": session.keys.add(read_password(args.password_file))})
    return 0


def key_remove(made: Parts, args: argparse.Namespace) -> int:
    with opened(made, args) as session:
        password = made.vaults.password(provider_of(made, args.provider), args.project)
        show({"id": session.keys.remove(args.id, password)})
    return 0


def key_rotate(made: Parts, args: argparse.Namespace) -> int:
    show({"removed": made.vaults.rotate(provider_of(made, args.provider), args.project)})
    return 0


def key_view(key: KeyFile) -> dict[str, Any]:
    return {
        "id": key.id,
        "created_at": moment(key.created),
        "username": key.username,
        "hostname": key.hostname,
        "current": key.current,
        "damage": key.damage or None,
    }
