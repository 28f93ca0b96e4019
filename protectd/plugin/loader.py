"""Plug-ins by name: entry points that an allow-list of the configuration lets in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn, TypeVar

from stevedore.driver import DriverManager
from stevedore.exception import MultipleMatches, NoMatches

from protectd.common.errors import ConfigurationError, ProtectdError
from protectd.plugin.base import (
    AuthPlugin,
    BankPlugin,
    HandlerPlugin,
    ProtectablePlugin,
    ProtectionPlugin,
    SecretStorePlugin,
)

T = TypeVar("T")

BANKS = "protectd.banks"
PROTECTABLES = "protectd.protectables"
PROTECTIONS = "protectd.protections"
SECRET_STORES = "protectd.secret_stores"
AUTH = "protectd.auth"
HANDLERS = "protectd.handlers"

CONTRACTS: Mapping[str, type] = {
    BANKS: BankPlugin,
    PROTECTABLES: ProtectablePlugin,
    PROTECTIONS: ProtectionPlugin,
    SECRET_STORES: SecretStorePlugin,
    AUTH: AuthPlugin,
    HANDLERS: HandlerPlugin,
}


class Loader:
    """Loads what is allowed. An installed package alone changes nothing."""

    def __init__(self, allowed: Mapping[str, Collection[str]]) -> None:
        """:param allowed: names of entry points by namespace; a namespace that is left out allows none."""
        self._allowed = allowed

    def load(self, namespace: str, name: str) -> type[Any]:
        """As the function `load`."""
        return load(namespace, name, self._allowed.get(namespace, ()))


def load(namespace: str, name: str, allowed: Collection[str]) -> type[Any]:
    """The plug-in class behind the entry point `name`.

    :raises ConfigurationError: it is not allowed, not installed, installed twice, cannot be imported, or
        is not of the namespace's contract. It names the entry point and the namespace.
    """
    where = f"plug-in {name!r} of {namespace}"
    if name not in allowed:
        listed = ", ".join(sorted(allowed)) or "none"
        raise ConfigurationError(where=where, reason=f"is not on the allow-list ({listed})")
    return _of_contract(_entry(namespace, name, where), CONTRACTS[namespace], where)


def _entry(namespace: str, name: str, where: str) -> object:
    try:
        return DriverManager(
            namespace, name, on_load_failure_callback=_refuse, on_missing_entrypoints_callback=None
        ).driver
    except NoMatches as error:
        raise ConfigurationError(where=where, reason="no installed package has it") from error
    except MultipleMatches as error:
        raise ConfigurationError(where=where, reason="several installed packages have it") from error
    except AssertionError as error:  # the one error of an import that stevedore does not hand over
        raise ConfigurationError(where=where, reason=_told(error)) from error


def _refuse(manager: Any, entry_point: Any, error: BaseException) -> NoReturn:
    where = f"plug-in {entry_point.name!r} of {manager.namespace}"
    reason = f"entry point {entry_point.value} cannot be loaded: {_told(error)}"
    raise ConfigurationError(where=where, reason=reason) from error


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _of_contract(found: object, contract: type, where: str) -> type[Any]:
    if not (isinstance(found, type) and issubclass(found, contract)):
        raise ConfigurationError(where=where, reason=f"{found!r} is no {contract.__name__}")
    missing = sorted(getattr(found, "__abstractmethods__", ()))
    if missing:
        raise ConfigurationError(where=where, reason=f"{found.__name__} lacks {', '.join(missing)}")
    return found


def make(build: Callable[[], T], where: str) -> T:
    """Make a plug-in of its options.

    :param where: the place in the configuration that the options come from.
    :raises ConfigurationError: whatever the plug-in raised, with the place.
    """
    try:
        return build()
    except ProtectdError as error:
        raise ConfigurationError(where=where, reason=str(error)) from error
    except Exception as error:
        raise ConfigurationError(where=where, reason=_told(error)) from error
