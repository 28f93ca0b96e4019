"""Credentials by their place: read when they are needed, and never shown."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from protectd.common.errors import ConfigurationError
from protectd.common.ids import canonical_id, is_uuid_like
from protectd.plugin.base import SECRET_FILE, BankRefused, Schema

MAX_BYTES = 64 * 1024
REFERENCE = "secret:"
"""Begins the text of an option that is no credential, but names one in the key manager."""


def referred(text: str) -> str | None:
    """Id of the secret that a text names: `secret:<id>`, or `secret:` and the URL that ends in it.

    :returns: None: it names none.
    """
    if not text.startswith(REFERENCE):
        return None
    place = text.removeprefix(REFERENCE)
    collection, _, id = place.rstrip("/").rpartition("/")
    known = not collection or collection.endswith("/secrets")
    return canonical_id(id) if known and is_uuid_like(id) else None


class Reference(str):
    """An option's text that names a secret, with what opens it. To a schema it is a text.

    :ivar open: gives the secret; raises BankRefused or BankUnavailable.
    """

    open: Callable[[], str]

    def __new__(cls, text: str, open: Callable[[], str]) -> Self:
        made = super().__new__(cls, text)
        made.open = open
        return made


def secret_schema(name: str, what: str) -> dict[str, Schema]:
    """The two options that give one credential: itself or a reference to it, or the file that holds it."""
    return {
        name: {"type": "string", "minLength": 1, "writeOnly": True, "description": what},
        f"{name}_file": {
            "type": "string",
            "pattern": "^/",
            "format": SECRET_FILE,
            "description": f"absolute path of a file that holds it: {what}",
        },
    }


@dataclass(frozen=True)
class Secret:
    """One credential. Its file is read at every use, so a new one in its place is taken up at once; a secret
    of the key manager is opened at every use. Only this process can: a copy for another has it with it.
    """

    name: str
    text: str = field(default="", repr=False)
    file: str = ""

    @classmethod
    def from_options(cls, options: Mapping[str, str], name: str) -> Self:
        """:raises ConfigurationError: given twice."""
        text, file = options.get(name, ""), options.get(f"{name}_file", "")
        if text and file:
            raise ConfigurationError(where=name, reason=f"is given twice, here and in {name}_file")
        return cls(name, text, file)

    def __bool__(self) -> bool:
        return bool(self.text or self.file)

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        text = self.read() if isinstance(self.text, Reference) else self.text
        return type(self), (self.name, text, self.file)

    def read(self) -> str:
        """:raises BankRefused: its file cannot be read, is empty, or is one that everyone may read; or there
        is no such secret. :raises BankUnavailable: the key manager is away."""
        if isinstance(self.text, Reference):
            return self.text.open()
        return self.text or self._from_file().strip("\r\n")

    def _from_file(self) -> str:
        try:
            with open(self.file, encoding="utf-8") as file:
                if os.fstat(file.fileno()).st_mode & stat.S_IROTH:
                    raise self._refused("everyone may read it")
                text = file.read(MAX_BYTES)
        except OSError as error:
            raise self._refused(error.strerror or "cannot be read") from error
        except UnicodeDecodeError:
            raise self._refused("it is not UTF-8") from None
        if not text.strip():
            raise self._refused("it is empty")
        return text

    def _refused(self, reason: str) -> BankRefused:
        return BankRefused(key="its credentials", reason=f"{self.name}_file {self.file}: {reason}")


@dataclass(frozen=True)
class Login:
    """A name and its password, both or neither."""

    username: str
    password: Secret

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        """:raises ConfigurationError: one without the other."""
        made = cls(options.get("username", ""), Secret.from_options(options, "password"))
        if bool(made.username) != bool(made.password):
            raise ConfigurationError(where="username", reason="needs a password, and a password a username")
        return made

    def __bool__(self) -> bool:
        return bool(self.username)


LOGIN_SCHEMA: Mapping[str, Schema] = {
    "username": {"type": "string", "minLength": 1, "description": "user name, if the server asks for one"},
    **secret_schema("password", "password of the user"),
}
