"""Another password for a vault, in an order in which the one in the database opens it at every instant.

A new password is kept in the database, then its key file in the bank; when that is proven to open the vault,
one transaction makes it the present one; then the former key file goes, and last the former password. Whoever
is killed in between leaves a vault that opens, and the next run goes on from there.
"""

from __future__ import annotations

from protectd.common.clock import Clock
from protectd.common.errors import Unavailable
from protectd.domain.vault_passwords import VaultPasswords
from protectd.model.models import Vault
from protectd.vault.errors import VaultError, VaultLocked
from protectd.vault.key_files import keys_of, remove_keys_of
from protectd.vault.keyring import store_key
from protectd.vault.keys import RANDOM_PASSWORD_COST
from protectd.vault.locks import shared_lock
from protectd.vault.options import EngineOptions
from protectd.vault.repository import Repository


class RotationUnfinished(VaultError, Unavailable):
    """The new password is in force. The former one opens the vault until a further run ends it."""

    code = "vault.rotation_unfinished"
    message = "the new password is in force, and the former one still opens the vault: {reason}; rotate again"


class Rotation:
    """One change of one vault's password. Several at once, in any process, end with one new password."""

    def __init__(
        self,
        passwords: VaultPasswords,
        vault: Vault,
        repository: Repository,
        options: EngineOptions,
        clock: Clock,
    ) -> None:
        self._passwords = passwords
        self._vault = vault
        self._repository = repository
        self._options = options
        self._clock = clock

    def run(self) -> list[str]:
        """Ids of the key files that went. One that was cut off is ended, and no further one begun.

        :raises VaultLocked: nothing has changed yet. :raises RotationUnfinished: see there.
        """
        if not self._passwords.former(self._vault):
            secret_id, password = self._passwords.prepare_next(self._vault)
            self._let_open(secret_id, password)
            self._passwords.switch(self._vault, secret_id)
        return self._remove_former()

    def _let_open(self, secret_id: str, password: str) -> None:
        """See to it that a key file of this password is there, and that the vault opens with it.

        Not of one that others have made the present one, or a former one, by now: nobody would remove a key
        file that came after them. While the lock is held nobody removes any.
        """
        options, bank = self._options, self._repository.bank
        identity = options.identity()
        with shared_lock(self._repository, identity, self._clock, options.lock_wait_s):
            if not self._passwords.is_next(secret_id):
                return
            if not keys_of(bank, password):
                key, cost = self._repository.key, RANDOM_PASSWORD_COST
                store_key(bank, key, password, identity, self._clock, cost)
            Repository.open(bank, password)

    def _remove_former(self) -> list[str]:
        gone = []
        for secret_id, password in self._passwords.former(self._vault):
            gone += self._remove(password)
            self._passwords.drop(self._vault, secret_id)
        return gone

    def _remove(self, password: str) -> list[str]:
        identity, wait_s = self._options.identity(), self._options.lock_wait_s
        try:
            return remove_keys_of(self._repository, password, identity, self._clock, wait_s=wait_s)
        except VaultLocked as error:
            raise RotationUnfinished(reason=str(error)) from error
