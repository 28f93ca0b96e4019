"""The plug-ins that a provider's file names, made of its sections."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from protectd.common.errors import ConfigurationError
from protectd.domain import banks
from protectd.domain.banks import OpenSecret, PluginLoader
from protectd.domain.provider_files import ProviderFile
from protectd.plugin.banks.urls import plugin_of
from protectd.plugin.base import SECRET_FILE, BankPlugin, ProtectablePlugin, ProtectionPlugin
from protectd.plugin.loader import BANKS, PROTECTABLES, PROTECTIONS, make


def bank(file: ProviderFile, loader: PluginLoader, open_secret: OpenSecret | None = None) -> BankPlugin:
    """The bank that `bank` or `url` of a provider names; its options are in the section of its plug-in.

    :raises ConfigurationError: it cannot be loaded, its options do not fit its schema, or everyone may
        read a credential among them.
    """
    chosen = file.provider_options()
    name = chosen.get("bank") or _named(file, chosen["url"])
    plugin: type[BankPlugin] = _load(file, BANKS, name, loader)
    banks.check_schema(plugin.options_schema, _where(file, name))
    file.refuse_credentials(name, banks.write_only(plugin.options_schema))
    file.refuse_open_files(name, _secret_files(plugin.options_schema))
    options = file.options(name)
    if "url" in chosen:
        if "url" in options:
            raise file.error(name, "url is given twice, here and in [provider]")
        options["url"] = chosen["url"]
    return banks.bank_of(plugin, options, _where(file, name), open_secret)


def _named(file: ProviderFile, url: str) -> str:
    try:
        return plugin_of(url)
    except ConfigurationError as error:
        raise file.error("provider", str(error)) from error


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
            banks.check_schema(ask(type_), _where(file, name))
    return made


def protectable(name: str, loader: PluginLoader) -> ProtectablePlugin:
    """:raises ConfigurationError: it cannot be loaded."""
    where = f"plug-in {name!r} of {PROTECTABLES}"
    plugin: type[ProtectablePlugin] = loader.load(PROTECTABLES, name)
    made = make(lambda: plugin.from_options({}), where)
    banks.check_schema(made.properties_schema(), where)
    return made


def _load(file: ProviderFile, namespace: str, name: str, loader: PluginLoader) -> Any:
    try:
        return loader.load(namespace, name)
    except ConfigurationError as error:
        raise file.error("provider", str(error)) from error


def _where(file: ProviderFile, section: str) -> str:
    return str(file.error(section, "").facts["where"])


def _secret_files(schema: Mapping[str, Any]) -> frozenset[str]:
    """Options that the plug-in marks as paths of files with credentials."""
    properties = schema.get("properties", {})
    return frozenset(name for name, each in properties.items() if each.get("format") == SECRET_FILE)
