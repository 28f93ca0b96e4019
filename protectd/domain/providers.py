"""Providers: a bank, the protections that fill it, and what each project may touch through them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from os.path import abspath, realpath
from pathlib import Path

from protectd.common.errors import ConfigurationError, InvalidField, NotFound
from protectd.common.ids import canonical_id, is_uuid_like
from protectd.domain import provider_plugins
from protectd.domain.banks import OpenSecret, PluginLoader
from protectd.domain.provider_files import ProviderFile
from protectd.plugin.base import Access, BankPlugin, ProtectablePlugin, ProtectionPlugin, Resource, Schema
from protectd.plugin.graph import Graph

EVERY_PROJECT = "*"
_KEY_SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]+")


class ProviderNotFound(NotFound):
    code = "provider.not_found"
    message = "provider {id} is not there"


class ProtectableNotFound(NotFound):
    code = "protectable.not_found"
    message = "there is no protectable type {id}"


@dataclass(frozen=True)
class Provider:
    """:ivar protections: by resource type.
    :ivar allowed_roots: directories that members may touch, by project id; `*` stands for every project.
    :ivar forbidden: paths that nobody may touch: see `Access`.
    :ivar copy_target: id of the provider that copies go to when a request names none; None: this one.
    """

    id: str
    name: str
    description: str
    bank: BankPlugin
    protections: Mapping[str, ProtectionPlugin]
    enabled: bool = True
    allowed_roots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    forbidden: tuple[str, ...] = ()
    copy_target: str | None = None

    def access(self, project_id: str, is_admin: bool) -> Access:
        """What a caller of this project may touch."""
        if is_admin:
            return Access(roots=None, forbidden=self.forbidden)
        roots = (*self.allowed_roots.get(project_id, ()), *self.allowed_roots.get(EVERY_PROJECT, ()))
        return Access(roots=roots, forbidden=self.forbidden)

    def vault_bank(self, project_id: str) -> BankPlugin:
        """Where the vault of a project lies.

        :raises InvalidField: the id would not name one place of its own.
        """
        if not _KEY_SEGMENT.fullmatch(project_id):
            raise InvalidField(field="project_id", reason="must be letters, digits, '.', '_' and '-'")
        return self.bank.section(f"{self.id}/{project_id}")

    @cached_property
    def options_schemas(self) -> dict[str, Schema]:
        """Parameters of a plan, by resource type."""
        return self._schemas(lambda plugin, type_: plugin.options_schema(type_))

    @cached_property
    def restore_schemas(self) -> dict[str, Schema]:
        return self._schemas(lambda plugin, type_: plugin.restore_schema(type_))

    @cached_property
    def saved_info_schemas(self) -> dict[str, Schema]:
        return self._schemas(lambda plugin, type_: plugin.saved_info_schema(type_))

    @cached_property
    def verify_schemas(self) -> dict[str, Schema]:
        return self._schemas(lambda plugin, type_: plugin.verify_schema(type_))

    def _schemas(self, ask: Callable[[ProtectionPlugin, str], Schema]) -> dict[str, Schema]:
        return {type_: ask(plugin, type_) for type_, plugin in self.protections.items()}

    def extended_info_schema(self) -> dict[str, dict[str, Schema]]:
        """All that the provider's plug-ins can be told and tell, by kind and then by resource type."""
        return {
            "options_schema": self.options_schemas,
            "restore_schema": self.restore_schemas,
            "saved_info_schema": self.saved_info_schemas,
            "verify_schema": self.verify_schemas,
        }


class Providers:
    """The enabled providers, by id."""

    def __init__(self, providers: Collection[Provider]) -> None:
        self._by_id = {provider.id: provider for provider in sorted(providers, key=lambda each: each.id)}
        self._by_name = {provider.name: provider for provider in providers}

    def get(self, id: str) -> Provider:
        """:param id: any spelling of a UUID. :raises ProviderNotFound: there is none."""
        found = self._by_id.get(canonical_id(id) if is_uuid_like(id) else id)
        if found is None:
            raise ProviderNotFound(id=id)
        return found

    def by_name_or_id(self, text: str) -> Provider:
        """:raises ProviderNotFound: neither names one."""
        return self._by_name.get(text) or self.get(text)

    def all(self) -> list[Provider]:
        return list(self._by_id.values())

    def __iter__(self) -> Iterator[Provider]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)


class Protectables:
    """Types of resources there are, whichever provider protects them."""

    def __init__(self, plugins: Collection[ProtectablePlugin]) -> None:
        self._plugins = {plugin.resource_type(): plugin for plugin in plugins}

    def __contains__(self, type_: object) -> bool:
        return type_ in self._plugins

    def types(self) -> list[str]:
        return sorted(self._plugins)

    def get(self, type_: str) -> ProtectablePlugin:
        """:raises ProtectableNotFound: no protectable has this type."""
        if type_ not in self._plugins:
            raise ProtectableNotFound(id=type_)
        return self._plugins[type_]

    def children(self, type_: str) -> list[ProtectablePlugin]:
        """Plug-ins that say by themselves that theirs hang below this type."""
        return [plugin for plugin in self._plugins.values() if type_ in plugin.parent_types()]

    def dependent_types(self, type_: str) -> list[str]:
        """Types that may hang below this one, by its plug-in's word or theirs."""
        declared = {plugin.resource_type() for plugin in self.children(type_)}
        return sorted(declared | set(self.get(type_).dependent_types()))

    def dependents(self, resource: Resource) -> list[Resource]:
        """Direct children of a resource, found now by all plug-ins that know of some."""
        found = list(self.get(resource.type).dependents(resource))
        for plugin in self.children(resource.type):
            found += plugin.dependents_of(resource)
        return found

    def graph(self, resources: Collection[Resource]) -> Graph:
        """Resources with all that hangs below them now. Nothing is left out: what cannot be asked fails.

        :raises GraphCycle: one is below itself.
        """
        return Graph.build(resources, self.dependents)


def load_protectables(names: Collection[str], loader: PluginLoader) -> Protectables:
    """:raises ConfigurationError: a plug-in cannot be loaded, or two have the same type."""
    plugins = [provider_plugins.protectable(name, loader) for name in names]
    _refuse_twice("[protectables] enabled", [plugin.resource_type() for plugin in plugins])
    return Protectables(plugins)


def load_providers(
    directory: Path,
    substitutions: Mapping[str, str],
    loader: PluginLoader,
    forbidden_paths: Collection[str] = (),
    open_secret: OpenSecret | None = None,
) -> Providers:
    """Make the enabled providers of a directory's `*.conf` files. Touches no bank.

    :param substitutions: what `$name` in a file stands for, such as `state_dir`.
    :param forbidden_paths: places of the service; the banks' own are added.
    :param open_secret: of credentials that a file names; when the bank is used.
    :raises ConfigurationError: names the file and the section of the first thing that is wrong.
    """
    if not directory.is_dir():
        raise ConfigurationError(where=str(directory), reason="the directory of providers is not there")
    files = [ProviderFile.read(path, substitutions) for path in sorted(directory.glob("*.conf"))]
    made = [_provider(file, loader, open_secret) for file in files if file.enabled()]
    _refuse_twice(f"ids in {directory}", [provider.id for provider in made])
    _refuse_twice(f"names in {directory}", [provider.name for provider in made])
    _refuse_lost_targets(made)
    return Providers(_with_forbidden(made, forbidden_paths))


def _provider(file: ProviderFile, loader: PluginLoader, open_secret: OpenSecret | None) -> Provider:
    options = file.provider_options()
    target = options.get("copy_target")
    return Provider(
        id=canonical_id(options["id"]),
        name=options["name"],
        description=options.get("description", ""),
        bank=provider_plugins.bank(file, loader, open_secret),
        protections=provider_plugins.protections(file, file.names("provider", "plugin"), loader),
        allowed_roots=file.allowed_roots(),
        copy_target=canonical_id(target) if target else None,
    )


def _with_forbidden(made: Collection[Provider], forbidden_paths: Collection[str]) -> list[Provider]:
    """A bank is nobody's source or target, whichever provider it belongs to, and by whatever name."""
    banks = {path for provider in made for path in provider.bank.local_paths()}
    forbidden = {spelled(path) for path in banks | set(forbidden_paths) for spelled in (abspath, realpath)}
    return [replace(provider, forbidden=tuple(sorted(forbidden))) for provider in made]


def _refuse_lost_targets(made: Collection[Provider]) -> None:
    ids = {provider.id for provider in made}
    for provider in made:
        if provider.copy_target is not None and provider.copy_target not in ids:
            reason = f"copy_target {provider.copy_target} is no enabled provider"
            raise ConfigurationError(where=f"provider {provider.id}", reason=reason)


def _refuse_twice(where: str, words: Sequence[str]) -> None:
    for word, count in Counter(words).items():
        if count > 1:
            raise ConfigurationError(where=where, reason=f"{word} is used {count} times")
