"""Key files of an open vault, for whoever has it open."""

from __future__ import annotations

from protectd.common.clock import SystemClock
from protectd.common.progress import Progress
from protectd.plugin.base import BankPlugin
from protectd.vault.crypto import MasterKey
from protectd.vault.key_files import KeyFile, add_key, list_keys, remove_key
from protectd.vault.options import EngineOptions
from protectd.vault.repository import Repository


class Keys:
    """Runs in the calling thread; each try of a password costs a key derivation, a second at most."""

    def __init__(self, bank: BankPlugin, key: MasterKey, options: EngineOptions) -> None:
        self._bank = bank
        self._key = key
        self._options = options

    def list(self, password: str | None = None) -> list[KeyFile]:
        """All, the oldest first; those that `password` opens are `current`."""
        return list_keys(self._bank, password)

    def add(self, password: str) -> str:
        """Let a person's password open the vault as well; the id of its key file."""
        options = self._options
        return add_key(
            self._repository(), password, options.identity(), SystemClock(), wait_s=options.lock_wait_s
        )

    def remove(self, key_id: str, password: str, progress: Progress | None = None) -> str:
        """Remove one by its id or the start of it; its whole id.

        :param password: what has to open the vault afterwards.
        :raises KeyNeeded: it would not.
        """
        options = self._options
        return remove_key(
            self._repository(),
            key_id,
            password,
            options.identity(),
            SystemClock(),
            wait_s=options.lock_wait_s,
            check=(progress or Progress()).check,
        )

    def _repository(self) -> Repository:
        return Repository.with_key(self._bank, self._key)
