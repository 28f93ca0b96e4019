"""Banks by name or by URL, as provider files and the operator's tool name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from jsonschema import Draft202012Validator, SchemaError

from protectd.common.errors import ConfigurationError, InvalidField
from protectd.domain import validation
from protectd.plugin.banks.urls import plugin_of
from protectd.plugin.base import BankPlugin, Schema
from protectd.plugin.loader import BANKS, make
from protectd.plugin.wrappers import options as wrapping


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


def bank_of(plugin: type[BankPlugin], options: Mapping[str, str], where: str) -> BankPlugin:
    """The bank of a plug-in, in the wrappers that the options ask for.

    :raises ConfigurationError: the options do not fit, or the plug-in does not take them.
    """
    check_schema(plugin.options_schema, where)
    own, common = wrapping.split(options, plugin.options_schema)
    try:
        validation.check(own, plugin.options_schema)
        validation.check(common, wrapping.SCHEMA)
    except InvalidField as error:
        raise ConfigurationError(where=where, reason=str(error)) from error
    return wrapping.wrapped(make(lambda: plugin.from_options(own), where), common)


def check_schema(schema: Schema, where: str) -> None:
    """:raises ConfigurationError: a plug-in's schema is none."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        reason = f"the plug-in's schema is wrong: {error.message}"
        raise ConfigurationError(where=where, reason=reason) from error
