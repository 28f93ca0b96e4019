"""Files of providers: sections of options, with names of places filled in."""

from __future__ import annotations

import os
import re
import stat
import string
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from oslo_config.iniparser import BaseParser, ParseError

from protectd.common.errors import ConfigurationError
from protectd.common.ids import is_uuid_like
from protectd.plugin.banks.credentials import referred
from protectd.plugin.base import InvalidResource
from protectd.plugin.paths import plain_path

_CREDENTIAL = re.compile(
    r"(?!.*_(file|path|ref)$).*(password|passphrase|secret|token|credential|(access|api|private)_?key)", re.I
)
_REQUIRED = frozenset(("id", "name", "plugin"))
_OPTIONAL = frozenset(("description", "enabled", "bank", "url", "copy_target"))
_TRUE, _FALSE = frozenset(("true", "yes", "on", "1")), frozenset(("false", "no", "off", "0"))


@dataclass(frozen=True)
class ProviderFile:
    """One file as read. Options may be repeated, so each has a list of texts.

    :ivar world_readable: everyone on the host may read it, so it may hold no credential.
    """

    path: Path
    sections: Mapping[str, Mapping[str, list[str]]]
    world_readable: bool

    @classmethod
    def read(cls, path: Path, substitutions: Mapping[str, str]) -> Self:
        """:param substitutions: what `$name` in a text stands for; `$$` is a dollar sign.
        :raises ConfigurationError: it cannot be read, is no such file, or uses an unknown `$name`.
        """
        parser = _Parser()
        try:
            with path.open(encoding="utf-8") as file:
                mode = os.fstat(file.fileno()).st_mode
                parser.parse(file)
        except ParseError as error:  # without the line: it may hold a credential
            raise ConfigurationError(where=f"{path}, line {error.lineno}", reason=error.msg) from None
        except OSError as error:
            raise ConfigurationError(where=str(path), reason=error.strerror) from error
        except UnicodeDecodeError:
            raise ConfigurationError(where=str(path), reason="is not UTF-8") from None
        made = cls(path, parser.sections, bool(mode & stat.S_IROTH))
        return made._filled(substitutions)

    def _filled(self, substitutions: Mapping[str, str]) -> Self:
        sections = {
            section: {
                option: [self._fill(section, option, text, substitutions) for text in texts]
                for option, texts in options.items()
            }
            for section, options in self.sections.items()
        }
        return type(self)(self.path, sections, self.world_readable)

    def _fill(self, section: str, option: str, text: str, substitutions: Mapping[str, str]) -> str:
        try:
            return string.Template(text).substitute(substitutions)
        except KeyError as error:
            raise self.error(section, f"{option} uses ${error.args[0]}, which stands for nothing") from None
        except ValueError:
            raise self.error(section, f"{option} has a '$' that names nothing; write '$$'") from None

    def enabled(self) -> bool:
        """A provider that is not is left out, with its plug-ins."""
        text = self.options("provider", lists=("plugin",)).get("enabled", "true").lower()
        if text not in _TRUE | _FALSE:
            raise self.error("provider", "enabled must be true or false")
        return text in _TRUE

    def provider_options(self) -> dict[str, str]:
        """The section that says what the provider is: nothing missing, nothing unknown.

        :raises ConfigurationError: names the option.
        """
        options = self.options("provider", lists=("plugin",))
        for name in sorted(_REQUIRED):
            if not options.get(name):
                raise self.error("provider", f"{name} is missing")
        for name in sorted(options.keys() - _REQUIRED - _OPTIONAL):
            raise self.error("provider", f"{name} is no option of a provider")
        if not options.get("bank") and not options.get("url"):
            raise self.error("provider", "bank is missing, or a url in its place")
        if options.get("bank") and options.get("url"):
            raise self.error("provider", "bank and url are two names for one bank; give one")
        if not is_uuid_like(options["id"]):
            raise self.error("provider", "id must be a UUID")
        if not is_uuid_like(options.get("copy_target", options["id"])):
            raise self.error("provider", "copy_target must be the UUID of a provider")
        return options

    def allowed_roots(self) -> dict[str, tuple[str, ...]]:
        """`<project id> = /one:/two`; `*` stands for every project.

        :raises ConfigurationError: a root is no plain absolute path.
        """
        section = "allowed_roots"
        try:
            return {
                project: tuple(plain_path(root.strip(), project) for root in re.split(r"[:\n]", text) if root)
                for project, text in self.options(section).items()
            }
        except InvalidResource as error:
            raise self.error(section, str(error)) from error

    def error(self, section: str, reason: str) -> ConfigurationError:
        return ConfigurationError(where=f"{self.path}, section [{section}]", reason=reason)

    def options(self, section: str, *, lists: Collection[str] = ()) -> dict[str, str]:
        """A section's options; empty when it is not there.

        :param lists: options that are read with `names`; any other is given once.
        """
        found = self.sections.get(section, {})
        for option, texts in found.items():
            if len(texts) > 1 and option not in lists:
                raise self.error(section, f"{option} is given {len(texts)} times")
        return {option: texts[0] for option, texts in found.items()}

    def names(self, section: str, option: str) -> list[str]:
        """An option that lists names: with commas, on several lines, or repeated."""
        texts = self.sections.get(section, {}).get(option, [])
        return [name.strip() for text in texts for name in re.split(r"[,\n]", text) if name.strip()]

    def refuse_credentials(self, section: str, secret_options: frozenset[str] = frozenset()) -> None:
        """:param secret_options: the plug-in's own word on which options are credentials.
        :raises ConfigurationError: everyone may read a credential of this section.
        """
        for option, texts in self.sections.get(section, {}).items():
            secret = option in secret_options or _CREDENTIAL.match(option)
            if self.world_readable and secret and any(text and referred(text) is None for text in texts):
                raise self.error(section, f"{option} is a credential, and everyone may read the file")

    def refuse_open_files(self, section: str, options: Collection[str]) -> None:
        """:param options: those that name files of credentials. One that is not there is no matter here: not
            every host that reads the provider's file has them.
        :raises ConfigurationError: everyone may read such a file.
        """
        for option in options:
            for path in self.sections.get(section, {}).get(option, ()):
                with suppress(OSError):
                    if os.stat(path).st_mode & stat.S_IROTH:
                        raise self.error(section, f"{option} {path}: everyone may read it")


class _Parser(BaseParser):
    """The format of oslo.config, as every other configuration file here."""

    def __init__(self) -> None:
        self.sections: dict[str, dict[str, list[str]]] = {}
        self._current: dict[str, list[str]] | None = None

    def new_section(self, section: str) -> None:
        self._current = self.sections.setdefault(section.strip(), {})

    def assignment(self, key: str, value: list[str]) -> None:
        if self._current is None:
            raise ParseError("an option before the first section", self.lineno, "")
        self._current.setdefault(key, []).append("\n".join(value).strip())
