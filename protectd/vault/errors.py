"""What can go wrong in a vault. No exception of a library in use leaves the package."""

from __future__ import annotations

from protectd.common.errors import BadRequest, Conflict, NotFound, ProtectdError, Unavailable


class VaultError(ProtectdError):
    """Root of the vault's errors."""

    code = "vault.error"
    message = "the vault failed: {reason}"


class VaultNotFound(VaultError, NotFound):
    code = "vault.not_found"
    message = "there is no vault here: {reason}"


class VaultExists(VaultError, Conflict):
    code = "vault.exists"
    message = "there is a vault here already; open it instead"


class WrongPassword(VaultError):
    """No key file opens. Says how many were tried, never with what."""

    code = "vault.wrong_password"
    message = "none of the vault's {keys} key(s) opens with this password"


class EmptyPassword(VaultError, BadRequest):
    code = "vault.empty_password"
    message = "the password is empty: everybody who reaches the bank could open the vault"


class KeyNotFound(VaultError, NotFound):
    code = "vault.key_not_found"
    message = "the vault has no key {key_id}; key list prints them"


class KeyNeeded(VaultError, Conflict):
    """Without this key file the vault would not open any more."""

    code = "vault.key_needed"
    message = "key {key_id} stays: {reason}"


class SameVault(VaultError, Conflict):
    code = "vault.same"
    message = "source and target are the same vault {vault}; name another one to copy to"


class UnsupportedVault(VaultError):
    code = "vault.unsupported"
    message = "the vault has version {version}; this program reads and writes version 2"


class VaultDamaged(VaultError):
    """A stored object is not what was written. `object` is its key, or a kind and an id."""

    code = "vault.damaged"
    message = "{object} is damaged: {reason}"

    def with_advice(self, advice: str) -> VaultDamaged:
        """The same, with what to do about it."""
        return type(self)(**self.facts | {"reason": f"{self.facts['reason']}; {advice}"})


class BlobMissing(VaultDamaged):
    """Something refers to a blob that no index knows."""

    code = "vault.blob_missing"
    message = "{object} is in no index: {reason}"


class UnitDamaged(VaultError):
    """One sealed unit does not open: a changed byte, or another key. Callers add which object it was."""

    code = "vault.unit_damaged"
    message = "a sealed unit does not open: {reason}"


class FormatError(VaultError):
    """Plain bytes that opened well but do not say what the format asks for. Callers add the object."""

    code = "vault.format"
    message = "{reason}"


class SnapshotNotFound(VaultError, NotFound):
    code = "vault.snapshot_not_found"
    message = "the vault has no snapshot {snapshot_id}"


class AmbiguousName(VaultError, Conflict):
    """The start of an id that several objects share, or a checkpoint where one snapshot is meant."""

    code = "vault.ambiguous_name"
    message = "{name} may be any of these {kind}: {found}; say which"


class PathNotInSnapshot(VaultError, NotFound):
    """`path` as it was asked for. Nothing was written."""

    code = "vault.path_not_found"
    message = "snapshot {snapshot_id} has no {path}: {reason}"


class VaultLocked(VaultError, Unavailable):
    """Someone else works in the vault in a way that excludes ours. Try again later."""

    code = "vault.locked"
    message = "the vault is locked {how} by {holder} since {since}; {advice}"


class PacksInUse(VaultError, Unavailable):
    """Packs are marked to be deleted, by index files `files`; `operations` run that may still need them."""

    code = "vault.packs_in_use"
    message = "what is not needed is marked to be deleted, and stays for now: {reason}"


class LockLost(VaultError, Unavailable):
    """Our lock was not kept fresh long enough: others may work in the vault. Nothing more is written."""

    code = "vault.lock_lost"
    message = "the lock on the vault was lost: {reason}"


class WriteLost(VaultError, Unavailable):
    """The bank took an object and does not have it, or not all. Nothing was stored that relies on it."""

    code = "vault.write_lost"
    message = "the bank said that it has {object}, and has not: {reason}; what needs it was not stored"


class ListingBehind(VaultError, Unavailable):
    """A listing that lacks what was stored before it may lack what others have stored, too."""

    code = "vault.listing_behind"
    message = "the bank does not list what it has: {object} {reason}; try again later"


class TargetUnusable(VaultError, Conflict):
    """Nothing can be restored to this place as it is."""

    code = "vault.target_unusable"
    message = "{path} cannot be restored to: {reason}"


class WorkerLost(VaultError, Unavailable):
    """A child process of the engine ended in the middle of its work; the same work may succeed again."""

    code = "vault.worker_lost"
    message = "a process of the vault engine was lost: {reason}"
