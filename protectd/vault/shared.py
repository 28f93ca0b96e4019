"""Memory that several processes see: a file without a name, opened again by whoever is told its path."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from typing import Self


class SharedMemory:
    """Zeroed bytes at first. `path` is good while the maker lives, for processes of the same user."""

    def __init__(self, descriptor: int, path: str) -> None:
        self.path = path
        self._descriptor = descriptor
        self.bytes = mmap.mmap(descriptor, 0)

    @classmethod
    def create(cls, size: int) -> Self:
        """`size` in bytes, at least one; pages are taken when they are first touched."""
        descriptor = os.memfd_create("protectd", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, size)
        return cls(descriptor, f"/proc/{os.getpid()}/fd/{descriptor}")

    @classmethod
    def attach(cls, path: str) -> Self:
        return cls(os.open(path, os.O_RDWR | os.O_CLOEXEC), path)

    def write(self, data: memoryview) -> None:
        """Write to the start. Where nothing has been yet, that is cheaper than touching each page for the
        first time in `bytes`. There has to be room."""
        done = 0
        while done < len(data):
            done += os.pwrite(self._descriptor, data[done:], done)

    def close(self) -> None:
        """Safe to repeat. Views of `bytes` must be released before."""
        if self._descriptor >= 0:
            self.bytes.close()
            os.close(self._descriptor)
            self._descriptor = -1


class Pages:
    """Private memory that goes back to the system when it is closed, unlike what an allocator keeps."""

    def __init__(self, size: int) -> None:
        """:raises MemoryError: there is no more. mmap's OSError would be taken for one of a file at hand."""
        try:
            self._pages = mmap.mmap(-1, size)
        except OSError as error:
            raise MemoryError(f"{size} bytes: {error.strerror}") from error
        self.view = memoryview(self._pages)

    def close(self) -> None:
        """Safe to repeat. A view that the traceback of an error still holds delays it until that is gone."""
        self.view.release()
        with suppress(BufferError):
            self._pages.close()


class CancelFlag:
    """One byte that an owner raises and workers look at in the middle of a job."""

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory
        self.path = memory.path

    @classmethod
    def create(cls) -> Self:
        return cls(SharedMemory.create(1))

    @classmethod
    def attach(cls, path: str) -> Self:
        return cls(SharedMemory.attach(path))

    def set(self) -> None:
        self._memory.bytes[0] = 1

    def is_set(self) -> bool:
        return self._memory.bytes[0] != 0

    def close(self) -> None:
        self._memory.close()
