"""How fast this machine can do each single step of a backup, and what that makes the least time of a case."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import zstandard
from pyfastcdc import FastCDC

from protectd.common.units import KIB, MIB
from protectd.vault.crypto import MasterKey, Sealer
from protectd.vault.digests import digests

_SAMPLE_BYTES = 256 * MIB
_PIECE_BYTES = MIB
_TRIES = 3


@dataclass(frozen=True)
class Limits:
    """Bytes a second that one core does."""

    read: float
    cut: float
    digest: float
    compress: float
    seal: float
    unseal: float
    decompress: float
    write: float

    def least_s(self, case: str, plain: int, stored: int, cores: int) -> float:
        """What the bytes of a case cost when nothing but these steps is done, on all cores all the time.

        :param plain: bytes of different content. :param stored: bytes of its packs.
        """
        if case == "first":
            steps = plain / self.read + plain / self.cut + plain / self.digest + plain / self.compress
            steps += stored / self.seal + stored / self.digest + stored / self.write
        else:
            steps = stored / self.read + stored / self.unseal + plain / self.decompress + plain / self.digest
            steps += plain / self.write if case == "restore" else stored / self.digest
        return steps / cores

    def __str__(self) -> str:
        rates = (f"{name} {rate / 1e6:,.0f}" for name, rate in vars(self).items())
        return "one core, MB/s: " + ", ".join(rates)


def measure_limits(source: Path, place: Path) -> Limits:
    """:param source: data to measure with. :param place: where a repository would be written."""
    data = _sample(source)
    pieces = [memoryview(data)[start : start + _PIECE_BYTES] for start in range(0, len(data), _PIECE_BYTES)]
    compressor, decompressor = zstandard.ZstdCompressor(level=1), zstandard.ZstdDecompressor()
    frames = [compressor.compress(piece) for piece in pieces]
    sealer = Sealer(MasterKey.generate())
    room = memoryview(bytearray(_PIECE_BYTES + KIB))
    units = [sealer.seal(frame) for frame in frames]
    stored = sum(map(len, frames))
    cutter = FastCDC(MIB, min_size=512 * KIB, max_size=8 * MIB, seed=1)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        path = Path(folder, "file")
        path.write_bytes(data)
        return Limits(
            read=_rate(len(data), lambda: _read(path, room)),
            cut=_rate(len(data), lambda: sum(chunk.length for chunk in cutter.cut_buf(memoryview(data)))),
            digest=_rate(len(data), lambda: digests(pieces)),
            compress=_rate(len(data), lambda: [compressor.compress(piece) for piece in pieces]),
            seal=_rate(stored, lambda: [sealer.seal_into(frame, room) for frame in frames]),
            unseal=_rate(stored, lambda: [sealer.open_into(unit, room) for unit in units]),
            decompress=_rate(len(data), lambda: [decompressor.decompress(frame) for frame in frames]),
            write=_rate(len(data), lambda: _write(Path(folder, "out"), pieces)),
        )


def _rate(size: int, step: Callable[[], object]) -> float:
    """By CPU time, the best of a few: another program on the core shall not count."""
    best = min(_cpu_s(step) for _ in range(_TRIES))
    return size / max(best, 1e-9)


def _cpu_s(step: Callable[[], object]) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def _sample(source: Path) -> bytes:
    """From the largest files on: these make most of the bytes."""
    files = (path for path in source.rglob("*") if path.is_file() and not path.is_symlink())
    data = bytearray()
    for path in sorted(files, key=lambda path: -path.stat().st_size):
        with path.open("rb") as file:
            data += file.read(_SAMPLE_BYTES - len(data))
        if len(data) >= _SAMPLE_BYTES:
            break
    return bytes(data)


def _read(path: Path, room: memoryview) -> None:
    with path.open("rb", buffering=0) as file:
        while file.readinto(room):
            continue


def _write(path: Path, pieces: list[memoryview]) -> None:
    with path.open("wb", buffering=0) as file:
        for piece in pieces:
            file.write(piece)
        os.fsync(file.fileno())
