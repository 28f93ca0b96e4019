"""The sample configuration file, written from the options themselves."""

from __future__ import annotations

import textwrap
from types import ModuleType
from typing import Any

from oslo_config import cfg

from protectd.conf import GROUPS

HEAD = """\
# Sample configuration of protectd. Every option is shown with its default; take the # away to change one.
# Written by `protectd-manage config sample`.
"""

TRANSPORT = """
# Address of the message bus, such as rabbit://user:password@host:5672/protectd. Options of the bus itself are
# those of oslo.messaging. Standalone needs none.
#transport_url = rabbit://
"""

KEYSTONE = """

[keystone_authtoken]
# How Keystone is reached and who the service is there, for auth_strategy = keystone

# Options are those of keystonemiddleware and of the plug-in of keystoneauth that auth_type names. The user
# needs the role reader on the system: to check tokens, and to ask who may still do what is scheduled.
#auth_type = password
#auth_url = https://keystone.example.org/v3
#username = protectd
#password = <the password>
#user_domain_name = Default
#system_scope = all

# What clients are told to sign in at.
#www_authenticate_uri = https://keystone.example.org/v3

# Roles of users of other services, which may go on with a token of somebody's that has expired meanwhile.
#service_token_roles = service
"""


def sample() -> str:
    """The text of etc/protectd/protectd.conf."""
    return HEAD + "".join(_group(module) for module in GROUPS) + KEYSTONE


def _group(module: ModuleType) -> str:
    group: cfg.OptGroup | None = getattr(module, "GROUP", None)
    name, title = (group.name, group.title) if group else ("DEFAULT", module.TITLE)
    options = "".join(_option(option) for option in module.OPTS)
    return f"\n\n[{name}]\n# {title}\n{options}{'' if group else TRANSPORT}"


def _option(option: cfg.Opt) -> str:
    lines = textwrap.wrap(" ".join(str(option.help).split()), width=104)
    bounds = _bounds(option)
    text = "\n".join(f"# {line}" for line in lines + ([bounds] if bounds else []))
    return f"\n{text}\n#{option.name} = {_default(option)}".rstrip() + "\n"


def _bounds(option: cfg.Opt) -> str:
    kind: Any = option.type
    choices = getattr(kind, "choices", None)
    if choices:
        return f"One of: {', '.join(choices)}."
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    return "" if low is None or high is None else f"From {low} to {high}."


def _default(option: cfg.Opt) -> str:
    value = option.sample_default if option.sample_default is not None else option.default
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, dict):
        return ",".join(f"{key}:{way}" for key, way in value.items())
    return str(value)
