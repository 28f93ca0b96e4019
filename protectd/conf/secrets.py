"""[secrets]: how the service keeps its own secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from oslo_config import cfg

from protectd.common.errors import ConfigurationError
from protectd.conf.groups import register_in

GROUP = cfg.OptGroup("secrets", title="Secrets at rest")

OPTS = [
    cfg.StrOpt("store", default="crypto", help="Store that seals secrets: a plug-in, or one of `stores`."),
    cfg.ListOpt(
        "stores",
        default=[],
        help="""
Stores that are there at the same time, `store` among them: each secret is read from the one that sealed it,
and a project may choose the one that seals for it. A name is that of a plug-in, or `[secret_store:NAME]` says
which one it is by `plugin`. There the options that say where master keys are may stand, too; what is left out
is as here. Empty: there is but `store`.
""",
    ),
    cfg.StrOpt(
        "master_key_file",
        default="$state_dir/master.key",
        help="""
File with the key that seals every other secret; mode 0600. `protectd-manage secrets create-master-key`
makes one. Keep a copy elsewhere: without it no vault opens.
""",
    ),
    cfg.StrOpt(
        "pkcs11_library",
        default="",
        help="Store pkcs11: library of the security module, such as /usr/lib/softhsm/libsofthsm2.so.",
    ),
    cfg.StrOpt("pkcs11_token", default="", help="Store pkcs11: label of the token with the master keys."),
    cfg.StrOpt("pkcs11_pin_file", default="", help="Store pkcs11: file with the user's PIN; mode 0600."),
    cfg.StrOpt(
        "pkcs11_key_label",
        default="protectd",
        help="Store pkcs11: label of the master keys. `protectd-manage key rotate` makes the first one, too.",
    ),
    cfg.StrOpt(
        "service_project_id",
        default="00000000-0000-4000-8000-000000000000",
        help="Project that owns the service's own secrets; no tenant has it.",
    ),
]


MASTER_KEYS = (
    "master_key_file",
    "pkcs11_library",
    "pkcs11_token",
    "pkcs11_pin_file",
    "pkcs11_key_label",
)
"""Options that each store may have of its own."""

GROUP_OF_STORE = "secret_store:{}"
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Store:
    """:ivar options: for the plug-in."""

    plugin: str
    options: Mapping[str, str]


def names(conf: cfg.ConfigOpts) -> list[str]:
    """The stores there are, each once.

    :raises ConfigurationError: a name is none, or the one that seals is not among them.
    """
    found = list(dict.fromkeys(conf.secrets.stores or [conf.secrets.store]))
    for name in found:
        if not NAME.fullmatch(name):
            raise ConfigurationError(where="[secrets] stores", reason=f"{name!r} is no name of a store")
    if conf.secrets.store not in found:
        raise ConfigurationError(where="[secrets] stores", reason=f"{conf.secrets.store} is not among them")
    return found


def of(conf: cfg.ConfigOpts, name: str) -> Store:
    """What the configuration says of one store."""
    group = cfg.OptGroup(GROUP_OF_STORE.format(name), title=f"Secret store {name}")
    own = [cfg.StrOpt(option.name, default=None) for option in OPTS if option.name in MASTER_KEYS]
    register_in(conf, group, [cfg.StrOpt("plugin", default=name), *own])
    told = conf[group.name]
    options = {each: told[each] if told[each] is not None else conf.secrets[each] for each in MASTER_KEYS}
    return Store(told.plugin, {each: str(value or "") for each, value in options.items()})


def register(conf: cfg.ConfigOpts) -> None:
    register_in(conf, GROUP, OPTS)
