"""The plug-ins that a provider's file names, made of its sections."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from jsonschema import Draft202012Validator, SchemaError

from protectd.common.errors import ConfigurationError, InvalidField
from protectd.domain import validation
from protectd.domain.provider_files import ProviderFile
from protectd.plugin.base import BankPlugin, ProtectablePlugin, ProtectionPlugin, Schema
from protectd.plugin.loader import BANKS, PROTECTABLES, PROTECTIONS, make


class PluginLoader(Protocol):
    """See `protectd.plugin.loader.Loader`."""

    def load(self, namespace: str, name: str) -> type[Any]: ...


def bank(file: ProviderFile, name: str, loader: PluginLoader) -> BankPlugin:
    """:raises ConfigurationError: it cannot be loaded, its options do not fit its schema, or everyone may
    read a credential among them."""
    plugin: type[BankPlugin] = _load(file, BANKS, name, loader)
    options = file.options(name)
    _check_schema(plugin.options_schema, _where(file, name))
    file.refuse_credentials(name, _write_only(plugin.options_schema))
    try:
        validation.check(options, plugin.options_schema)
    except InvalidField as error:
        raise file.error(name, str(error)) from error
    return make(lambda: plugin.from_options(options), _where(file, name))


def protections(
    file: ProviderFile, names: Collection[str], loader: PluginLoader
) -> dict[str, ProtectionPlugin]:
    """By resource type.

    :raises ConfigurationError: one cannot be loaded, or two protect the same type.
    """
    found: dict[str, ProtectionPlugin] = {}
    for name in names:
        plugin = _protection(file, name, loader)
        for type_ in plugin.supported_types():
            if type_ in found:
                raise file.error("provider", f"two plug-ins protect {type_}")
            found[type_] = plugin
    return found


def _protection(file: ProviderFile, name: str, loader: PluginLoader) -> ProtectionPlugin:
    plugin: type[ProtectionPlugin] = _load(file, PROTECTIONS, name, loader)
    options = file.options(name)
    file.refuse_credentials(name)
    made = make(lambda: plugin.from_options(options), _where(file, name))
    for type_ in made.supported_types():
        for ask in (made.options_schema, made.restore_schema, made.saved_info_schema, made.verify_schema):
            _check_schema(ask(type_), _where(file, name))
    return made


def protectable(name: str, loader: PluginLoader) -> ProtectablePlugin:
    """:raises ConfigurationError: it cannot be loaded."""
    where = f"plug-in {name!r} of {PROTECTABLES}"
    plugin: type[ProtectablePlugin] = loader.load(PROTECTABLES, name)
    made = make(lambda: plugin.from_options({}), where)
    _check_schema(made.properties_schema(), where)
    return made


def _load(file: ProviderFile, namespace: str, name: str, loader: PluginLoader) -> Any:
    try:
        return loader.load(namespace, name)
    except ConfigurationError as error:
        raise file.error("provider", str(error)) from error


def _where(file: ProviderFile, section: str) -> str:
    return str(file.error(section, "").facts["where"])


def _check_schema(schema: Schema, where: str) -> None:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ConfigurationError(
            where=where, reason=f"the plug-in's schema is wrong: {error.message}"
        ) from error


def _write_only(schema: Mapping[str, Any]) -> frozenset[str]:
    """Options that the plug-in marks as credentials."""
    properties = schema.get("properties", {})
    return frozenset(name for name, each in properties.items() if each.get("writeOnly"))
