"""Clocks of processes that can be set while they run, by libfaketime."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.servers import missing

LIBRARIES = ("faketime/libfaketimeMT.so.1", "*/faketime/libfaketimeMT.so.1")


class StepClock:
    """The clock of a process that starts with `environment`: the right one, until it is stepped.

    Only the time of day moves; what counts seconds since the start of the machine goes on as it did.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.step(0)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
        }

    def step(self, seconds: int) -> None:
        """Within a second its processes see a time of day that is so far off."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.replace(self._file)


def library() -> Path:
    found = [path for pattern in LIBRARIES for path in Path("/usr/lib").glob(pattern)]
    if not found:
        missing("libfaketime is not installed")
    return found[0]
