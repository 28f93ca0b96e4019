"""Clocks that can be set while their processes run, as an administrator sets a machine's.

libfaketime would be the obvious means, but programs that wait by the monotonic clock, as Python does, never
wake under it, or fail at once.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.fakes.servers import need_program

SOURCE = Path(__file__).with_name("clock.c")


class StepClock:
    """The clock of a process that starts with `environment`: the right one, until it is stepped.

    Only the time of day moves; what counts seconds since the start of the machine goes on as it did.
    """

    def __init__(self, file: Path) -> None:
        self._library = file.with_suffix(".so")
        self._file = file
        self._file.write_bytes(bytes(8))
        command = [need_program("cc"), "-shared", "-fPIC", "-O1", "-o", self._library, SOURCE, "-ldl"]
        subprocess.run(command, check=True)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "DRILL_CLOCK": str(self._file)}

    def step(self, seconds: int) -> None:
        """From now on, the time of day is so far off."""
        with self._file.open("r+b") as file:
            file.write(seconds.to_bytes(8, "little", signed=True))
