"""One line that shows how far an operation is: redrawn on a terminal, one line a step elsewhere."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from typing import Any, TextIO

from protectd.common.units import human_bytes

WIDTH = 30
QUIET_STEP_S = 5.0


class ProgressBar:
    """Shows the pictures it is given. `close` ends the line; safe to repeat."""

    def __init__(self, title: str, out: TextIO) -> None:
        self._title = title
        self._out = out
        self._terminal = out.isatty()
        self._began = self._printed = time.monotonic()
        self._drawn = False

    def show(self, picture: Mapping[str, Any]) -> None:
        """:param picture: phase, done_bytes, total_bytes, done_files, total_files; any may be missing."""
        line = f"{self._title} {self._bar(picture)}{self._figures(picture)}"
        if self._terminal:
            columns = shutil.get_terminal_size().columns
            self._out.write(f"\r\x1b[K{line[: columns - 1]}")
            self._out.flush()
            self._drawn = True
        elif time.monotonic() - self._printed >= QUIET_STEP_S:
            self._printed = time.monotonic()
            print(line, file=self._out, flush=True)

    def close(self) -> None:
        if self._drawn:
            self._out.write("\r\x1b[K")
            self._out.flush()
            self._drawn = False

    def _bar(self, picture: Mapping[str, Any]) -> str:
        done, total = picture.get("done_bytes") or 0, picture.get("total_bytes")
        if not total:
            return ""
        share = min(1.0, done / total)
        filled = int(share * WIDTH)
        return f"[{'#' * filled}{'.' * (WIDTH - filled)}] {share:4.0%} "

    def _figures(self, picture: Mapping[str, Any]) -> str:
        done = picture.get("done_bytes") or 0
        files = picture.get("done_files") or 0
        seconds = max(time.monotonic() - self._began, 0.001)
        phase = picture.get("phase") or "waiting"
        return f"{phase}, {files} files, {human_bytes(done)}, {human_bytes(done / seconds)}/s"
