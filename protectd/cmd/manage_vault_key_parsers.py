"""The command line of protectd-manage vault key."""

from __future__ import annotations

from typing import Any

from protectd.cmd import manage_vault_keys as keys
from protectd.cmd.manage_parsers import of_vault


def add(key: Any) -> None:
    of_vault(key, "list", keys.key_list, "print the keys; the service's own is `current`")
    add_one = of_vault(
        key,
        "add",
        keys.key_add,
        "let one more password open the vault",
        "For a person, or for restic. Asked for at the terminal, or read from a file; never an argument.",
    )
    add_one.add_argument(
        "--password-file", metavar="FILE", help="with the new password; - for standard input"
    )
    remove = of_vault(
        key,
        "remove",
        keys.key_remove,
        "let a password open the vault no more",
        "The service's own key stays. Nobody else may use the vault meanwhile.",
    )
    remove.add_argument("id", metavar="ID", help="of the key, or its first digits (four or more)")
    of_vault(
        key,
        "rotate",
        keys.key_rotate,
        "give the vault another password of the service's own",
        "May be interrupted at any instant and run again: what the database says always opens the vault.",
    )
