"""A worker of a restore: reads a stretch of a pack once and writes its blobs to all their places."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import zstandard

from protectd.common.errors import Cancelled
from protectd.common.units import KIB, MIB
from protectd.plugin.base import BankObjectNotFound, BankPlugin
from protectd.vault.attributes import Wanted, apply
from protectd.vault.crew import Plain, work
from protectd.vault.crypto import MasterKey, Sealer
from protectd.vault.digests import digests, grouped
from protectd.vault.errors import TargetUnusable, VaultDamaged
from protectd.vault.opening import Identity
from protectd.vault.pack import DATA, BlobEntry, open_unproven, pack_key, prove
from protectd.vault.pool import Channel, Pool
from protectd.vault.presence import refuse_short
from protectd.vault.save_worker import ZERO_RUNS, zero_id
from protectd.vault.shared import CancelFlag, Pages, SharedMemory
from protectd.vault.target import (
    Target,
    move_into_place,
    open_made,
    remove_made,
    shown_below,
    temporary_name,
)

_BUFFER_BYTES = 32 * MIB
_MAX_GAP_BYTES = 256 * KIB
_MAX_OPEN_FILES = 32
_LOCKS = 256
_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
OPEN_FILE = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class WholeFile(NamedTuple):
    """A file of one blob: made, filled and finished in one go."""

    folder: bytes
    name: bytes
    wanted: Wanted


class PartFile(NamedTuple):
    """A file of several blobs that the planner has made and will finish. `sparse`: zeros are holes."""

    folder: bytes
    name: bytes
    sparse: bool
    device: int
    inode: int


class Blob(NamedTuple):
    """`places`: numbers of files, and where in them."""

    id: bytes
    offset: int
    length: int
    plain_length: int | None
    places: Sequence[tuple[int, int]]


class RestoreJob(NamedTuple):
    """Blobs of one pack by offset, and the files they go to by number, each without the name of its tuple."""

    pack_id: bytes
    blobs: Sequence[Plain]
    files: Mapping[int, Plain]


class RestoreReply(NamedTuple):
    """`bad_blobs` could not be read: index in the job, and why. `bad_files` could not be written, `troubles`
    lack something: number and why."""

    bad_blobs: list[tuple[int, str]]
    bad_files: list[tuple[int, str]]
    troubles: list[tuple[int, str]]
    written_bytes: int


class _Portion:
    """A job with its names given back."""

    def __init__(self, job: RestoreJob) -> None:
        self.pack_id = job.pack_id
        self.blobs = list(map(Blob._make, job.blobs))
        self.files = {number: _file(plain) for number, plain in job.files.items()}


def _file(plain: Plain) -> WholeFile | PartFile:
    if len(plain) == len(PartFile._fields):
        return PartFile._make(plain)
    folder, name, wanted = plain
    return WholeFile(folder, name, Wanted._make(wanted))


@dataclass(frozen=True)
class RestoreWorker:
    """Role of one worker."""

    bank: BankPlugin
    key: MasterKey
    target: bytes
    identity: tuple[int, int]
    overwrite: bool
    verify: bool
    locks: str
    cancel: str

    def run(self, channel: Channel, pool: Pool) -> Any:
        return work(_Restorer(self), channel)


class _Restorer:
    def __init__(self, role: RestoreWorker) -> None:
        self._role = role
        self._target = Target.attach(role.target, role.identity)
        self._sealer = Sealer(role.key)
        self._decompressor = zstandard.ZstdDecompressor()
        self._cancel = CancelFlag.attach(role.cancel)
        self._locks = FileLocks(role.locks)
        self._buffer = Pages(_BUFFER_BYTES)
        self._parts: OrderedDict[int, int] = OrderedDict()
        self._reply = RestoreReply([], [], [], 0)
        self._written = 0

    def handle(self, job: RestoreJob) -> RestoreReply:
        self._reply = RestoreReply([], [], [], 0)
        self._written = 0
        portion = _Portion(job)
        for first, last in _stretches(portion.blobs):
            self._stretch(portion, first, last)
        return self._reply._replace(written_bytes=self._written)

    def finish(self) -> None:
        """Nothing is left."""

    def close(self) -> None:
        self._let_go()
        self._target.close()
        self._locks.close()
        self._cancel.close()
        self._buffer.close()

    def _let_go(self) -> None:
        """Whoever closes a removed file last gives its pages and blocks back, which takes seconds for a large
        one: when the operation was cancelled, it does not wait for that."""
        if self._parts and self._cancel.is_set():
            closing = threading.Thread(
                target=_close_all, args=(self._parts,), name="restore-close", daemon=True
            )
            closing.start()
        else:
            _close_all(self._parts)

    # --- reading ---

    def _stretch(self, job: _Portion, first: int, last: int) -> None:
        """Blobs `first` to before `last` with one read."""
        start = job.blobs[first].offset
        length = job.blobs[last - 1].offset + job.blobs[last - 1].length - start
        buffer = self._buffer.view if length <= _BUFFER_BYTES else memoryview(bytearray(length))
        try:
            read = self._role.bank.read_into(pack_key(job.pack_id), buffer[:length], start)
        except BankObjectNotFound:
            read = 0
        if read < length:
            refuse_short(self._role.bank, pack_key(job.pack_id), start, read, length)
        for group in grouped(self._opened(job, first, last, buffer[:read])):
            self._group(job, group)
            del group  # before the next ones are opened

    def _group(self, job: _Portion, group: Sequence[tuple[int, bytes]]) -> None:
        for number, plain in self._proven(job, group) if self._role.verify else group:
            for file_number, position in job.blobs[number].places:
                self._write(file_number, job.files[file_number], plain, position, job.blobs[number].id)

    def _opened(
        self, job: _Portion, first: int, last: int, stretch: memoryview
    ) -> Iterator[tuple[int, bytes]]:
        """Number and content of each that opens. `stretch` begins with the first."""
        start = job.blobs[first].offset
        for number in range(first, last):
            if self._cancel.is_set():
                raise Cancelled
            entry = _entry(job.blobs[number])
            unit = stretch[entry.offset - start : entry.offset - start + entry.length]
            try:
                yield number, open_unproven(self._sealer, self._decompressor, entry, unit)
            except VaultDamaged as error:
                self._bad(job, number, error)

    def _proven(self, job: _Portion, group: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        for (number, plain), digest in zip(group, digests([plain for _, plain in group]), strict=True):
            try:
                prove(_entry(job.blobs[number]), digest)
            except VaultDamaged as error:
                self._bad(job, number, error)
            else:
                yield number, plain

    def _bad(self, job: _Portion, number: int, error: VaultDamaged) -> None:
        self._reply.bad_blobs.append((number, f"{pack_key(job.pack_id)}: {error}"))

    # --- writing ---

    def _write(
        self, number: int, file: WholeFile | PartFile, plain: bytes, position: int, blob_id: bytes
    ) -> None:
        try:
            if isinstance(file, WholeFile):
                self._whole(number, file, plain)
            elif not (file.sparse and blob_id in zero_ids()):
                self._part(number, file, plain, position)
        except OSError as error:
            if error.errno in _FATAL:
                where = shown_below(self._role.target, file.folder, file.name)
                raise TargetUnusable(path=where, reason=error.strerror) from error
            self._reply.bad_files.append((number, error.strerror or str(error)))
        else:
            self._written += len(plain)

    def _whole(self, number: int, file: WholeFile, plain: bytes) -> None:
        folder = self._target.folder(file.folder)
        troubles = write_new(folder, file.name, file.wanted, plain, overwrite=self._role.overwrite)
        self._reply.troubles.extend((number, trouble) for trouble in troubles)

    def _part(self, number: int, file: PartFile, plain: bytes, position: int) -> None:
        descriptor = self._part_descriptor(number, file)
        with self._locks.held(number):
            _write_all(descriptor, plain, position)

    def _part_descriptor(self, number: int, file: PartFile) -> int:
        found = self._parts.get(number)
        if found is None:
            folder = self._target.folder(file.folder)
            identity = (file.device, file.inode)
            found = self._parts[number] = open_made(folder, file.name, OPEN_FILE, identity)
            if len(self._parts) > _MAX_OPEN_FILES:
                os.close(self._parts.popitem(last=False)[1])
        else:
            self._parts.move_to_end(number)
        return found


def _entry(blob: Blob) -> BlobEntry:
    return BlobEntry(DATA, blob.id, blob.offset, blob.length, blob.plain_length)


def _close_all(parts: Mapping[int, int]) -> None:
    for descriptor in parts.values():
        os.close(descriptor)


def write_new(folder: int, name: bytes, wanted: Wanted, plain: bytes, *, overwrite: bool) -> list[str]:
    """Write a whole file under a name that is free, or in place of what has it; what it did not take.

    What was there stays until the new file is complete.
    """
    try:
        return _write_file(folder, name, wanted, plain)
    except FileExistsError:
        if not overwrite:
            raise
    temporary = temporary_name()
    troubles = _write_file(folder, temporary, wanted, plain)
    move_into_place(folder, temporary, name)
    return troubles


def _write_file(folder: int, name: bytes, wanted: Wanted, plain: bytes) -> list[str]:
    # Attributes are set by whoever may write, so the final mode waits for them.
    mode = 0o600 if wanted.xattrs else wanted.mode & 0o777
    descriptor = os.open(name, NEW_FILE, mode, dir_fd=folder)
    try:
        _write_all(descriptor, plain, 0)
        return apply(descriptor, os.fstat(descriptor), wanted)
    except BaseException:
        with suppress(OSError):
            remove_made(folder, name, Identity.of(os.fstat(descriptor)))
        raise
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, plain: bytes, position: int) -> None:
    written = os.pwrite(descriptor, plain, position) if plain else 0
    while written < len(plain):
        written += os.pwrite(descriptor, memoryview(plain)[written:], position + written)


def zero_ids() -> frozenset[bytes]:
    """Ids of the blobs that stand for holes."""
    return _ZERO_IDS


_ZERO_IDS = frozenset(map(zero_id, ZERO_RUNS))


class FileLocks:
    """One writer at a time for each file: two on one inode keep each other spinning in the kernel."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    @staticmethod
    def create() -> SharedMemory:
        return SharedMemory.create(_LOCKS)

    def held(self, number: int) -> _Held:
        return _Held(self._descriptor, number % _LOCKS)

    def close(self) -> None:
        os.close(self._descriptor)


class _Held:
    """A lock on one byte, owned by the open descriptor: it holds between threads as between processes."""

    def __init__(self, descriptor: int, place: int) -> None:
        self._descriptor = descriptor
        self._place = place

    def __enter__(self) -> None:
        self._set(fcntl.F_WRLCK)

    def __exit__(self, *_: object) -> None:
        self._set(fcntl.F_UNLCK)

    def _set(self, kind: int) -> None:
        request = struct.pack("hhqqi", kind, os.SEEK_SET, self._place, 1, 0)
        fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLKW, request)


def _stretches(blobs: Sequence[Blob]) -> Iterator[tuple[int, int]]:
    """Runs of blobs that are worth one read: no large gap between them, and no more than the buffer takes."""
    first = 0
    for number in range(1, len(blobs) + 1):
        if number < len(blobs):
            gap = blobs[number].offset - blobs[number - 1].offset - blobs[number - 1].length
            end = blobs[number].offset + blobs[number].length
            if gap <= _MAX_GAP_BYTES and end - blobs[first].offset <= _BUFFER_BYTES:
                continue
        yield first, number
        first = number
