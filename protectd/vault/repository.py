"""A vault in a bank: opening it, and its objects by kind and id. Takes no locks by itself."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping

import zstandard

from protectd.common.clock import Clock
from protectd.plugin.base import BankObjectNotFound, BankPlugin, BankRefused, BankUnavailable
from protectd.vault.config import VaultConfig, decode_config, is_id
from protectd.vault.crypto import MasterKey, Sealer
from protectd.vault.errors import (
    BlobMissing,
    FormatError,
    ListingBehind,
    SnapshotNotFound,
    UnitDamaged,
    VaultDamaged,
    VaultError,
    VaultExists,
    VaultNotFound,
    WrongPassword,
)
from protectd.vault.findings import MAKE_AGAIN, REBUILD_INDEX, Trouble, refuse
from protectd.vault.identity import WriterIdentity
from protectd.vault.index import BlobIndex, IndexPart, decode_part
from protectd.vault.index_files import Marks
from protectd.vault.keyring import KEYS, key_names, master_keys, store_key
from protectd.vault.keys import RANDOM_PASSWORD_COST, ScryptCost
from protectd.vault.pack import TREE, BlobEntry, open_blob, pack_key
from protectd.vault.presence import put_confirmed, refuse_short
from protectd.vault.snapshot import Snapshot, decode_snapshot

__all__ = [
    "CONFIG",
    "DATA",
    "INDEX",
    "KEYS",
    "LOCKS",
    "SNAPSHOTS",
    "BlobReader",
    "Repository",
    "WriterIdentity",
    "master_keys",
]

CONFIG, DATA, INDEX, SNAPSHOTS, LOCKS = "config", "data", "index", "snapshots", "locks"
_COMPRESSED = b"\x02"
_PAUSES_S = (0.0, 0.0, 0.0, 0.5, 1.0, 2.0, 4.0, 7.0)
"""Before each look at a listing, while what it names is not there: replaced meanwhile, or the list is old."""
_TREE_CACHE_BYTES = 64 * 1024 * 1024


class Repository:
    """An open vault: a bank, the master key and the config. Safe from any thread.

    Every object is proven when it is read: its name, its tag, a blob's hash.
    """

    def __init__(self, bank: BankPlugin, key: MasterKey, config: VaultConfig) -> None:
        self.bank = bank
        self.key = key
        self.config = config
        self._local = threading.local()

    # --- opening ---

    @classmethod
    def create(
        cls,
        bank: BankPlugin,
        password: str,
        *,
        identity: WriterIdentity,
        clock: Clock,
        cost: ScryptCost = RANDOM_PASSWORD_COST,
    ) -> Repository:
        """Make a new vault. After a crash in the middle it may be called again with the same password.

        Callers see to it that one creates at a time; should two overlap all the same, one config wins and
        both return the vault that it names.

        :raises VaultExists: there is a config already: open it.
        :raises ListingBehind: its key file is not listed: nobody could open it yet. Call it again.
        """
        bank.prepare()
        if _read_config(bank) is not None:
            raise VaultExists()
        left_behind = next(master_keys(bank, password, damaged_too=False), None)
        key = left_behind or MasterKey.generate()
        name = "" if left_behind else store_key(bank, key, password, identity, clock, cost)
        if _read_config(bank) is None:
            put_confirmed(bank, CONFIG, Sealer(key).seal(VaultConfig.generate().encode()))
        return cls._created(bank, key, name, password)

    @classmethod
    def _created(cls, bank: BankPlugin, key: MasterKey, name: str, password: str) -> Repository:
        try:
            return cls.with_key(bank, key)
        except VaultDamaged:
            # Someone else's config stands: a key file of ours beside it would lead restic to the wrong key.
            if name:
                bank.delete(f"{KEYS}/{name}")
            return cls.open(bank, password)

    @classmethod
    def open(cls, bank: BankPlugin, password: str) -> Repository:
        """:raises VaultNotFound: no config. :raises WrongPassword: no key file opens.
        :raises VaultDamaged: a key file, or the config, is not what was written."""
        raw = _read_config(bank)
        if raw is None:
            raise VaultNotFound(reason="the bank has no config")
        damaged: VaultDamaged | None = None
        for key in master_keys(bank, password):
            try:
                return cls._opened(bank, key, raw)
            except VaultDamaged as error:
                damaged = error
        raise damaged or WrongPassword(keys=len(key_names(bank)))

    @classmethod
    def with_key(cls, bank: BankPlugin, key: MasterKey) -> Repository:
        """Open with a master key that was found before: no key derivation.

        :raises VaultDamaged: the config does not open: changed, or a key of another vault.
        """
        raw = _read_config(bank)
        if raw is None:
            raise VaultNotFound(reason="the bank has no config")
        return cls._opened(bank, key, raw)

    @classmethod
    def _opened(cls, bank: BankPlugin, key: MasterKey, raw: bytes) -> Repository:
        try:
            return cls(bank, key, decode_config(Sealer(key).open(raw)))
        except (UnitDamaged, FormatError) as error:
            refuse_short(bank, CONFIG, 0, len(raw))
            raise VaultDamaged(
                object=CONFIG, reason=f"{error}; or the key is that of another vault"
            ) from error

    @property
    def sealer(self) -> Sealer:
        """The calling thread's own."""
        sealer: Sealer | None = getattr(self._local, "sealer", None)
        if sealer is None:
            sealer = self._local.sealer = Sealer(self.key)
        return sealer

    @property
    def decompressor(self) -> zstandard.ZstdDecompressor:
        """The calling thread's own."""
        made: zstandard.ZstdDecompressor | None = getattr(self._local, "decompressor", None)
        if made is None:
            made = self._local.decompressor = zstandard.ZstdDecompressor()
        return made

    # --- JSON objects ---

    def names(self, kind: str) -> list[str]:
        """Names of all objects of a kind, sorted; anything that is no id is not ours and left out."""
        found = (item.key.rpartition("/")[2] for item in self.bank.list(kind))
        return sorted(filter(is_id, found))

    def load_unpacked(self, kind: str, name: str) -> bytes:
        """JSON of one index, snapshot or lock file.

        :raises BankObjectNotFound: there is none.
        :raises VaultDamaged: other bytes than were written.
        """
        key = f"{kind}/{name}"
        raw = self.bank.get(key)
        if hashlib.sha256(raw).hexdigest() != name:
            refuse_short(self.bank, key, 0, len(raw))
            raise VaultDamaged(object=key, reason="its bytes do not fit its name")
        try:
            return _unwrap(self.sealer.open(raw))
        except (UnitDamaged, FormatError) as error:
            raise VaultDamaged(object=key, reason=str(error)) from error

    def save_unpacked(self, kind: str, json: bytes) -> str:
        """Store JSON sealed and compressed; durable when this returns. Another name at each call.

        :raises WriteLost: the bank took it and does not have it.
        """
        name, raw = self.seal_unpacked(json)
        put_confirmed(self.bank, f"{kind}/{name}", raw)
        return name

    def seal_unpacked(self, json: bytes) -> tuple[str, bytes]:
        """Name and bytes of such a file, before it is stored."""
        raw = self.sealer.seal(_COMPRESSED + zstandard.ZstdCompressor(level=3).compress(json))
        return hashlib.sha256(raw).hexdigest(), raw

    # --- index and blobs ---

    def index_files(
        self,
        trouble: Trouble | None = None,
        known: Mapping[str, IndexPart] | None = None,
    ) -> dict[str, IndexPart]:
        """Every index file there is, by name. Others may replace files meanwhile: then it looks again, so
        that what is returned stood side by side.

        :param trouble: hears of each file that does not read, which is left out then.
        :param known: files that need not be read again.
        :raises VaultDamaged: one of them does not read, and there is no `trouble`.
        :raises ListingBehind: one of them is listed and not there for some time, and there is no `trouble`.
        """
        return self._index_files(trouble, known)[0]

    def _index_files(
        self,
        trouble: Trouble | None = None,
        known: Mapping[str, IndexPart] | None = None,
    ) -> tuple[dict[str, IndexPart], frozenset[bytes]]:
        """Those that stood side by side; and which packs leave, according to any file that was seen: a
        listing takes its time, and may miss the marks of a pack but not the file that goes before them."""
        loaded: dict[str, IndexPart | None] = dict(known or {})
        for pause_s in _PAUSES_S:
            time.sleep(pause_s)
            names = self.names(INDEX)
            vanished = self._load_missing(loaded, names, trouble or refuse(REBUILD_INDEX))
            if not vanished:
                break
        for name in vanished:
            if trouble is None:
                raise ListingBehind(object=f"{INDEX}/{name}", reason="is listed and not there")
            loaded[name] = None
            trouble(name, VaultDamaged(object=f"{INDEX}/{name}", reason="the bank lists it and has it not"))
        found = {name: part for name in names if (part := loaded[name]) is not None}
        return found, Marks.of(part for part in loaded.values() if part is not None).leaving

    def _load_missing(
        self,
        loaded: dict[str, IndexPart | None],
        names: list[str],
        trouble: Trouble,
    ) -> list[str]:
        """Which of them were not there."""
        vanished = []
        for name in names:
            if name in loaded:
                continue
            try:
                loaded[name] = self.load_index_file(name)
            except BankObjectNotFound:
                vanished.append(name)
            except (VaultError, BankUnavailable, BankRefused) as error:
                loaded[name] = None
                trouble(name, error)
        return vanished

    def load_index_file(self, name: str) -> IndexPart:
        """:raises BankObjectNotFound: there is none. :raises VaultDamaged: it is not what was written."""
        raw = self.load_unpacked(INDEX, name)
        try:
            return decode_part(raw)
        except FormatError as error:
            raise VaultDamaged(object=f"{INDEX}/{name}", reason=str(error)) from error

    def load_index(self) -> BlobIndex:
        """What one who adds to the vault may count on: nothing in a pack that a prune is going to delete.

        :raises VaultDamaged: one of the files is.
        """
        parts, leaving = self._index_files()
        return _joined(parts).without(leaving)

    def load_index_to_read(self, trouble: Trouble | None = None) -> BlobIndex:
        """All that can be read; of packs that a prune is going to delete only what no other pack has.

        :param trouble: as for `index_files`.
        :raises VaultDamaged: one of the files is.
        """
        parts, leaving = self._index_files(trouble)
        return _joined(parts).without_spare(leaving)

    def load_blob(self, kind: str, blob_id: bytes, index: BlobIndex | None = None) -> bytes:
        """One blob, from any good copy.

        :param index: None loads it anew, which is dear for more than one blob.
        :raises BlobMissing: no index has it. :raises VaultDamaged: no copy is good.
        """
        index = index if index is not None else self.load_index_to_read()
        return BlobReader(self, index).load(kind, blob_id)

    # --- snapshots ---

    def snapshots(self, trouble: Trouble | None = None) -> list[Snapshot]:
        """All, oldest first.

        :param trouble: hears of each that is damaged, which is left out then.
        :raises VaultDamaged: one of them is, and there is no `trouble`.
        """
        found, trouble = [], trouble or refuse(MAKE_AGAIN)
        for name in self.names(SNAPSHOTS):
            try:
                found.append(self.load_snapshot(name))
            except SnapshotNotFound:
                continue
            except VaultDamaged as error:
                trouble(name, error)
        return sorted(found, key=lambda snapshot: (snapshot.time, snapshot.id))

    def load_snapshot(self, snapshot_id: str) -> Snapshot:
        """:raises SnapshotNotFound: there is none of this full id."""
        if not is_id(snapshot_id):
            raise SnapshotNotFound(snapshot_id=snapshot_id)
        try:
            raw = self.load_unpacked(SNAPSHOTS, snapshot_id)
        except BankObjectNotFound:
            raise SnapshotNotFound(snapshot_id=snapshot_id) from None
        try:
            return decode_snapshot(raw, snapshot_id)
        except FormatError as error:
            raise VaultDamaged(object=f"{SNAPSHOTS}/{snapshot_id}", reason=str(error)) from error

    def load_snapshot_of(self, snapshot_id: str, tree: str) -> Snapshot:
        """As `load_snapshot`, for whoever knows what it has to hold.

        :raises VaultDamaged: another root tree.
        """
        snapshot = self.load_snapshot(snapshot_id)
        if snapshot.tree != tree:
            reason = f"it holds tree {snapshot.tree}, not {tree}"
            raise VaultDamaged(object=f"{SNAPSHOTS}/{snapshot_id}", reason=reason)
        return snapshot

    def save_snapshot(self, snapshot: Snapshot) -> str:
        """Its id. All it refers to must be durable before."""
        return self.save_unpacked(SNAPSHOTS, snapshot.encode())

    def remove_snapshot(self, snapshot_id: str) -> None:
        """Safe to repeat. The bytes come back with the next prune."""
        if not is_id(snapshot_id):
            raise SnapshotNotFound(snapshot_id=snapshot_id)
        self.bank.delete(f"{SNAPSHOTS}/{snapshot_id}")


class BlobReader:
    """Reads many blobs one by one; packs of trees are fetched whole and kept, 64 MiB of them.

    For one thread.
    """

    def __init__(self, repository: Repository, index: BlobIndex) -> None:
        self._repository = repository
        self.index = index
        self._packs: OrderedDict[bytes, bytes] = OrderedDict()
        self._held_bytes = 0

    def load(self, kind: str, blob_id: bytes) -> bytes:
        """:raises BlobMissing: no index has it. :raises VaultDamaged: no copy is good."""
        copies = self.index.copies(kind, blob_id)
        if not copies:
            raise BlobMissing(
                object=f"{kind} blob {blob_id.hex()}", reason="what refers to it cannot be read"
            )
        for number, (pack_id, entry) in enumerate(copies, 1):
            try:
                return self._open(pack_id, entry)
            except (VaultDamaged, BankObjectNotFound) as error:
                if number == len(copies):
                    raise _damaged(error, pack_id) from error
        raise AssertionError("unreachable")

    def _open(self, pack_id: bytes, entry: BlobEntry) -> bytes:
        unit = self._tree_unit(pack_id, entry) if entry.kind == TREE else self._unit(pack_id, entry)
        return open_blob(self._repository.sealer, self._repository.decompressor, entry, unit)

    def _unit(self, pack_id: bytes, entry: BlobEntry) -> bytes:
        unit = self._repository.bank.get(pack_key(pack_id), entry.offset, entry.length)
        if len(unit) < entry.length:
            refuse_short(self._repository.bank, pack_key(pack_id), entry.offset, len(unit), entry.length)
        return unit

    def _tree_unit(self, pack_id: bytes, entry: BlobEntry) -> memoryview:
        pack = self._packs.get(pack_id)
        if pack is None:
            pack = self._repository.bank.get(pack_key(pack_id))
            if len(pack) < entry.offset + entry.length:
                refuse_short(self._repository.bank, pack_key(pack_id), 0, len(pack))
            self._keep(pack_id, pack)
        else:
            self._packs.move_to_end(pack_id)
        return memoryview(pack)[entry.offset : entry.offset + entry.length]

    def _keep(self, pack_id: bytes, pack: bytes) -> None:
        self._packs[pack_id] = pack
        self._held_bytes += len(pack)
        while self._held_bytes > _TREE_CACHE_BYTES and len(self._packs) > 1:
            _, dropped = self._packs.popitem(last=False)
            self._held_bytes -= len(dropped)


def _joined(parts: dict[str, IndexPart]) -> BlobIndex:
    """Each file is let go when it was taken in."""
    return BlobIndex(parts.pop(name) for name in list(parts))


def _damaged(error: VaultDamaged | BankObjectNotFound, pack_id: bytes) -> VaultDamaged:
    if isinstance(error, VaultDamaged):
        return VaultDamaged(
            object=f"{error.facts['object']} in {pack_key(pack_id)}", reason=error.facts["reason"]
        )
    return VaultDamaged(object=pack_key(pack_id), reason="the bank does not have it")


def _read_config(bank: BankPlugin) -> bytes | None:
    try:
        return bank.get(CONFIG)
    except BankObjectNotFound:
        return None


def _unwrap(plain: bytes) -> bytes:
    """JSON from what a unit holds: plain, or 02 and a zstd frame."""
    if plain[:1] in (b"{", b"["):
        return plain
    if plain[:1] != _COMPRESSED:
        raise FormatError(reason="it has an unknown kind of compression")
    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(memoryview(plain)[1:])
    except zstandard.ZstdError as error:
        raise FormatError(reason="it does not decompress") from error
