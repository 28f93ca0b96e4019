"""Master keys in a hardware security module, through its PKCS #11 library. They never leave it."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import pkcs11
from cryptography.exceptions import InvalidTag
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, ObjectClass

from protectd.common.errors import ConfigurationError, Unavailable
from protectd.common.files import read_private
from protectd.plugin.secret_stores.boxes import DIRECT, Box, BoxingStore

T = TypeVar("T")

KEY_BITS = 256
TAG_BITS = 128
TIME_BYTES, RANDOM_BYTES = 6, 2
LOST = (pkcs11.SessionHandleInvalid, pkcs11.SessionClosed, pkcs11.DeviceRemoved)
"""With one session of a module, all are lost."""


class ModuleUnavailable(Unavailable):
    """The module does not answer, or not as it should."""

    code = "secret.module_unavailable"
    message = "the hardware security module is not available: {reason}"


class Library:
    """A library of modules: one for the whole process, however many stores and tokens there are.

    :ivar turn: held by whoever calls it, for some that promise to stand several threads crash.
    :ivar times: how often its sessions were lost. The handle of one from before is no more than a number,
        which another session may have got since, with another token: nothing is done with it, nor is it
        closed.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._pid = os.getpid()
        self.turn = threading.Lock()
        self.times = 0

    def loaded(self) -> Any:
        """Begun anew in a process that was forked."""
        if self._pid != os.getpid():
            self.begin_anew()
        return pkcs11.lib(self._path)

    def begin_anew(self) -> None:
        self.times += 1
        pkcs11.lib(self._path).reinitialize()
        self._pid = os.getpid()


_LIBRARIES: dict[str, Library] = {}


def library_at(path: str) -> Library:
    return _LIBRARIES.setdefault(path, Library(path))


class Token:
    """One slot's token, and the keys of one label in it. Used by one thread at a time, as is its library.

    A session that the module has forgotten is opened anew; so is one that was opened before this process was
    forked.
    """

    def __init__(self, library: str, token_label: str, pin: str, key_label: str) -> None:
        self._library = library_at(library)
        self._token_label = token_label
        self._pin = pin
        self._key_label = key_label
        self._session: Any = None
        self._of_time = 0

    def found(self) -> list[str]:
        """Names of the master keys, the newest first. That there are none may be what a library remembers of
        a time when the token was away."""
        return self._do(self._find) or self._do(self._find, anew=True)

    def add(self) -> str:
        return self._do(self._generate)

    def drop(self, name: str) -> None:
        names = self.found()
        if name not in names:
            raise ConfigurationError(where=f"token {self._token_label}", reason=f"it holds no key {name}")
        if name == names[0]:
            reason = f"{name} is the newest key; add another one first"
            raise ConfigurationError(where=f"token {self._token_label}", reason=reason)
        self._do(lambda session: self._key(session, name).destroy())

    def encrypt(self, name: str, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        params = GCMParams(nonce=nonce, aad=associated_data, tag_bits=TAG_BITS)
        return bytes(
            self._do(
                lambda session: self._key(session, name).encrypt(
                    data, mechanism=Mechanism.AES_GCM, mechanism_param=params
                )
            )
        )

    def decrypt(self, name: str, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """:raises InvalidTag: the module refuses it. It does not say why: that a tag does not fit is a
        general error of most, as is that a module is in trouble."""
        params = GCMParams(nonce=nonce, aad=associated_data, tag_bits=TAG_BITS)

        def work(session: Any) -> bytes:
            key = self._key(session, name)
            return bytes(key.decrypt(data, mechanism=Mechanism.AES_GCM, mechanism_param=params))

        try:
            return self._do(work)
        except ModuleUnavailable:
            if name not in self.found():
                raise
        try:
            return self._do(work)
        except ModuleUnavailable as error:  # it answered in between: then it is the text
            raise InvalidTag from error

    def _find(self, session: Any) -> list[str]:
        """What is asked of a key is asked of the module, too: nothing of it is left for later."""
        wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: self._key_label}
        keys = list(session.get_objects(wanted))
        return sorted((bytes(key.id).hex() for key in keys), reverse=True)

    def _key(self, session: Any, name: str) -> Any:
        return session.get_key(
            object_class=ObjectClass.SECRET_KEY, label=self._key_label, id=bytes.fromhex(name)
        )

    def _generate(self, session: Any) -> str:
        """Its id begins with the time, so that the newest one is known by it."""
        id = int(time.time() * 1000).to_bytes(TIME_BYTES, "big") + secrets.token_bytes(RANDOM_BYTES)
        session.generate_key(
            KeyType.AES,
            KEY_BITS,
            id=id,
            label=self._key_label,
            store=True,
            template={Attribute.EXTRACTABLE: False, Attribute.SENSITIVE: True},
        )
        return id.hex()

    def _do(self, work: Callable[[Any], T], *, anew: bool = False) -> T:
        """In the session there is; where that does not do, in a new one; then with the library begun anew:
        some that were cut off from their module do not find back otherwise.

        :param anew: begin with the last.
        """
        ways = (self._present, self._open, self._begin_anew)
        refused: pkcs11.PKCS11Error | None = None
        with self._library.turn:
            for session in ways[-1:] if anew else ways:
                try:
                    return work(session())
                except pkcs11.PKCS11Error as error:
                    refused = error
                    self._library.times += isinstance(error, LOST)
                    self._close()
        assert refused is not None
        raise ModuleUnavailable(reason=_told(refused)) from refused

    def _present(self) -> Any:
        self._library.loaded()
        is_there = self._session is not None and self._of_time == self._library.times
        return self._session if is_there else self._open()

    def _begin_anew(self) -> Any:
        self._library.begin_anew()
        return self._open()

    def _open(self) -> Any:
        token = self._library.loaded().get_token(token_label=self._token_label)
        try:
            session = token.open(rw=True, user_pin=self._pin)
        except pkcs11.UserAlreadyLoggedIn:  # it is the process that logs in, not the session
            session = token.open(rw=True)
        self._session, self._of_time = session, self._library.times
        return session

    def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None and self._of_time == self._library.times:
            with suppress(pkcs11.PKCS11Error):
                session.close()


class TokenCipher:
    """AES-256-GCM with a key that stays in the module."""

    def __init__(self, token: Token, name: str) -> None:
        self._token = token
        self._name = name

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        return self._token.encrypt(self._name, nonce, data, associated_data)

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        return self._token.decrypt(self._name, nonce, data, associated_data)


class Pkcs11Store(BoxingStore):
    def __init__(self, token: Token) -> None:
        self._token = token

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        """:raises ConfigurationError: an option is missing, or everyone may read the PIN."""
        for name in ("pkcs11_library", "pkcs11_token", "pkcs11_pin_file"):
            if not options.get(name):
                raise ConfigurationError(where="secrets", reason=f"{name} is missing")
        pin = read_private(Path(options["pkcs11_pin_file"]), "PIN").decode().strip()
        label = options.get("pkcs11_key_label") or "protectd"
        return cls(Token(options["pkcs11_library"], options["pkcs11_token"], pin, label))

    def masters(self) -> Mapping[str, Box]:
        return {name: Box(TokenCipher(self._token, name), DIRECT) for name in self._token.found()}

    def add_master_key(self) -> str:
        return self._token.add()

    def drop_master_key(self, master_key_id: str) -> None:
        self._token.drop(master_key_id)


def _told(error: pkcs11.PKCS11Error) -> str:
    return str(error) or type(error).__name__
