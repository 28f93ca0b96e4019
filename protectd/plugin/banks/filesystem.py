"""A bank in a directory: each object is one file, complete or absent."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, ClassVar, Self

from protectd.common.errors import ConfigurationError, InvalidField
from protectd.common.files import atomic_write, sync_directory
from protectd.common.units import MIB
from protectd.plugin.banks.urls import path_of
from protectd.plugin.base import (
    BankObject,
    BankObjectNotFound,
    BankPlugin,
    BankRefused,
    BankUnavailable,
    Buffer,
    Schema,
)

FILE_MODE = 0o400
DIRECTORY_MODE = 0o700
LEFTOVER_AGE_S = 24 * 3600
TEMPORARY = re.compile(r".*-tmp-[0-9a-f]+")
"""Names of files that are being written: this bank's own and those of the restic program."""

_REFUSALS = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.ENAMETOOLONG)
    + (errno.EISDIR, errno.ENOTDIR)
)
_DIRECT_ALIGNMENT = 4096
_DIRECT_BYTES = 4 * MIB


class FilesystemBank(BankPlugin):
    """Each object is one file below a root directory.

    Only `prepare` makes the root. A later `put` that finds it gone says so, instead of filling the file
    system under a mount point whose disk is away. Directories below the root are made on demand.
    """

    options_schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "path": {"type": "string", "minLength": 1, "description": "absolute path of the directory"},
            "url": {"type": "string", "minLength": 1, "description": "or the same as file:///path"},
        },
        "additionalProperties": False,
    }

    def __init__(self, root: Path, prefix: str = "") -> None:
        self._root = root
        self._base = root / prefix
        self._prefix = prefix

    def __repr__(self) -> str:
        return f"FilesystemBank({str(self._base)!r})"

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        if ("path" in options) == ("url" in options):
            raise InvalidField(field="path", reason="is required, or a url in its place")
        path = Path(options["path"] if "path" in options else path_of(options["url"]))
        if not path.is_absolute() or ".." in path.parts:
            raise ConfigurationError(where="filesystem bank", reason=f"path {path} must be absolute")
        return cls(path)

    @property
    def root(self) -> Path:
        """The directory that the provider's file names, whatever the section."""
        return self._root

    @property
    def location(self) -> str:
        return str(self._base)

    def local_paths(self) -> Sequence[str]:
        return (str(self._root),)

    def section(self, prefix: str) -> Self:
        return type(self)(self._root, f"{self._prefix}/{prefix}" if self._prefix else prefix)

    def prepare(self) -> None:
        """Make the directory; remove temporary files that nobody has written to for a day."""
        with _translated(self._prefix):
            _make_durable(self._base, Path("/"))
            for entry in _walk(str(self._base)):
                if TEMPORARY.fullmatch(entry.name):
                    _remove_leftover(entry)

    def put(self, key: str, data: Buffer) -> None:
        path = self._base / key
        if TEMPORARY.fullmatch(path.name):
            raise BankRefused(key=key, reason="the name is one of a temporary file")
        with _translated(key):
            try:
                _write(path, data)
            except FileNotFoundError:
                self._make_parents(path)
                _write(path, data)

    def _make_parents(self, path: Path) -> None:
        if not self._root.is_dir():
            raise BankUnavailable(reason=f"directory {self._root} is not there")
        _make_durable(path.parent, self._root)

    def get(self, key: str, offset: int = 0, length: int = -1) -> bytes:
        with self._opened(key) as descriptor:
            rest = max(0, os.fstat(descriptor).st_size - offset)
            data = bytearray(rest if length < 0 else min(length, rest))
            read = _fill(descriptor, memoryview(data), offset)
            return bytes(data[:read] if read < len(data) else data)

    def read_into(self, key: str, buffer: memoryview, offset: int = 0, *, fresh: bool = False) -> int:
        """Fill `buffer`; with `fresh`, past the page cache where the file system can (O_DIRECT), and after
        dropping the object's clean pages where it cannot. A file system in memory has no medium to ask."""
        view = buffer.cast("B")
        if not fresh:
            with self._opened(key) as descriptor:
                return _fill(descriptor, view, offset)
        try:
            with self._opened(key, os.O_DIRECT, direct=True) as descriptor:
                _drop_cache(descriptor)
                return _fill_directly(descriptor, view, offset)
        except _NotDirect:
            with self._opened(key) as descriptor:
                _drop_cache(descriptor)
                return _fill(descriptor, view, offset)

    @contextmanager
    def _opened(self, key: str, flags: int = 0, *, direct: bool = False) -> Iterator[int]:
        with _translated(key, reading=True, direct=direct):
            descriptor = os.open(f"{self._base}/{key}", os.O_RDONLY | os.O_CLOEXEC | flags)
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    def size(self, key: str) -> int:
        with _translated(key, reading=True):
            path = self._base / key
            if not path.is_file():
                raise BankObjectNotFound(key=key)
            return path.stat().st_size

    def list(self, prefix: str) -> Iterator[BankObject]:
        start = len(f"{self._base}/")
        with _translated(prefix):
            for entry in _walk(f"{self._base}/{prefix}".rstrip("/")):
                if TEMPORARY.fullmatch(entry.name):
                    continue
                with suppress(FileNotFoundError):
                    yield BankObject(entry.path[start:], entry.stat().st_size)

    def delete(self, key: str) -> None:
        with _translated(key), suppress(FileNotFoundError, NotADirectoryError):
            (self._base / key).unlink()


class _NotDirect(Exception):
    """This file system, or this read, does not do without the page cache."""


@contextmanager
def _translated(key: str, *, reading: bool = False, direct: bool = False) -> Iterator[None]:
    """The operating system's errors as the contract's."""
    try:
        yield
    except OSError as error:
        if direct and error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
            raise _NotDirect from error
        if reading and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
            raise BankObjectNotFound(key=key) from None
        if error.errno in _REFUSALS:
            raise BankRefused(key=key, reason=error.strerror) from error
        raise BankUnavailable(reason=f"{error.strerror} at {key or 'its root'}") from error


def _write(path: Path, data: Buffer) -> None:
    with atomic_write(path, FILE_MODE) as file:
        _write_all(file, memoryview(data).cast("B"))


def _write_all(file: BinaryIO, view: memoryview) -> None:
    """One write may take less than it was given: beyond 2 GiB, or on a disk that is nearly full."""
    done = 0
    while done < len(view):
        done += file.write(view[done:])


def _fill(descriptor: int, view: memoryview, offset: int) -> int:
    done = 0
    while done < len(view):
        read = os.preadv(descriptor, [view[done:]], offset + done)
        if read == 0:
            break
        done += read
    return done


def _fill_directly(descriptor: int, view: memoryview, offset: int) -> int:
    """As `_fill`, for a descriptor that takes aligned memory, offsets and lengths only."""
    done = 0
    if offset % _DIRECT_ALIGNMENT == 0 and _address(view) % _DIRECT_ALIGNMENT == 0:
        whole = len(view) - len(view) % _DIRECT_ALIGNMENT
        done = os.preadv(descriptor, [view[:whole]], offset) if whole else 0
        if done % _DIRECT_ALIGNMENT:  # only the end of a file stops a direct read between blocks
            return done
    return done + _fill_by_pages(descriptor, view[done:], offset + done)


def _address(view: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(view)) if len(view) else 0


def _fill_by_pages(descriptor: int, view: memoryview, offset: int) -> int:
    """By way of aligned memory of its own."""
    start = offset - offset % _DIRECT_ALIGNMENT
    wanted = offset + len(view) - start
    length = min(_DIRECT_BYTES, wanted + -wanted % _DIRECT_ALIGNMENT)
    done = 0
    with mmap.mmap(-1, max(length, _DIRECT_ALIGNMENT)) as pages:
        while done < len(view):
            skipped = max(0, offset - start)
            read = os.preadv(descriptor, [pages], start) - skipped
            if read <= 0:
                break
            taken = min(read, len(view) - done)
            view[done : done + taken] = pages[skipped : skipped + taken]
            done += taken
            start += skipped + read
            if start % _DIRECT_ALIGNMENT:
                break
    return done


def _drop_cache(descriptor: int) -> None:
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _make_durable(directory: Path, top: Path) -> None:
    """Make `directory` and what is missing between it and `top`, each synced into its parent.

    One that another process makes at the same moment is synced as well: it may not have come to it yet.
    """
    missing = []
    while directory != top and not directory.is_dir():
        missing.append(directory)
        directory = directory.parent
    for path in reversed(missing):
        path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        sync_directory(path.parent)


def _walk(directory: str) -> Iterator[os.DirEntry[str]]:
    """Files below; links to directories are followed, so that a bank may be spread over disks."""
    try:
        entries = list(os.scandir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir():
            yield from _walk(entry.path)
        elif entry.is_file():
            yield entry


def _remove_leftover(entry: os.DirEntry[str]) -> None:
    with suppress(FileNotFoundError):
        if time.time() - entry.stat().st_mtime > LEFTOVER_AGE_S:
            os.unlink(entry.path)
