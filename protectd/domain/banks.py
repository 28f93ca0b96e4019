"""Banks by name or by URL, as provider files and the operator's tool name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from jsonschema import Draft202012Validator, SchemaError

from protectd.common.errors import ConfigurationError, InvalidField
from protectd.domain import validation
from protectd.plugin.banks.credentials import REFERENCE, Reference, referred
from protectd.plugin.banks.urls import plugin_of
from protectd.plugin.base import BankPlugin, Schema
from protectd.plugin.loader import BANKS, make
from protectd.plugin.wrappers import options as wrapping

OpenSecret = Callable[[str], str]
"""Gives the credential that the key manager has under an id. See `domain.bank_secrets.BankSecrets`."""


_NO_ID = f"names no secret: it has to be {REFERENCE} and an id; what only begins so goes into a file"


class PluginLoader(Protocol):
    """See `protectd.plugin.loader.Loader`."""

    def load(self, namespace: str, name: str) -> type[Any]: ...


def bank_at(url: str, options: Mapping[str, str], loader: PluginLoader, where: str = "bank") -> BankPlugin:
    """The bank that a URL names; touches nothing.

    :param options: what the URL does not say, credentials above all.
    :param where: the place that errors name.
    :raises ConfigurationError: it is no such URL, or see `bank_of`.
    """
    try:
        name = plugin_of(url)
    except ConfigurationError as error:
        raise ConfigurationError(where=where, reason=str(error)) from error
    return bank_of(loader.load(BANKS, name), {**options, "url": url}, where)


def bank_of(
    plugin: type[BankPlugin],
    options: Mapping[str, str],
    where: str,
    open_secret: OpenSecret | None = None,
) -> BankPlugin:
    """The bank of a plug-in, in the wrappers that the options ask for.

    :param open_secret: of the credentials that are named and not given; None: there is no key manager here.
    :raises ConfigurationError: the options do not fit, or the plug-in does not take them.
    """
    check_schema(plugin.options_schema, where)
    own, common = wrapping.split(options, plugin.options_schema)
    try:
        validation.check(own, plugin.options_schema)
        validation.check(common, wrapping.SCHEMA)
    except InvalidField as error:
        raise ConfigurationError(where=where, reason=str(error)) from error
    own = {**own, **_references(own, plugin.options_schema, where, open_secret)}
    return wrapping.wrapped(make(lambda: plugin.from_options(own), where), common)


def _references(
    options: Mapping[str, str], schema: Schema, where: str, open_secret: OpenSecret | None
) -> dict[str, Reference]:
    """The credentials that are named, each with what opens it.

    :raises ConfigurationError: a name that is none, or that nobody can open here.
    """
    found = {}
    for name in write_only(schema) & options.keys():
        text = options[name]
        if not text.startswith(REFERENCE):
            continue
        secret_id = referred(text)
        if secret_id is None or open_secret is None:
            reason = _NO_ID if secret_id is None else "names a secret, and there is no key manager here"
            raise ConfigurationError(where=where, reason=f"{name} {reason}")
        found[name] = Reference(text, partial(open_secret, secret_id))
    return found


def write_only(schema: Schema) -> frozenset[str]:
    """Options that a plug-in marks as credentials."""
    properties = schema.get("properties", {})
    return frozenset(name for name, each in properties.items() if each.get("writeOnly"))


def check_schema(schema: Schema, where: str) -> None:
    """:raises ConfigurationError: a plug-in's schema is none."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        reason = f"the plug-in's schema is wrong: {error.message}"
        raise ConfigurationError(where=where, reason=reason) from error
