"""A protection plug-in whose work is bound by waiting, as that of databases and instances elsewhere is."""

from __future__ import annotations

import time

from protectd.plugin.base import Operation, ProtectContext
from protectd.plugin.protections.directory import DirectoryProtection, Protect

WAIT_S = 1.0


class WaitingProtection(DirectoryProtection):
    """Waits, then saves a directory."""

    def protect(self, context: ProtectContext) -> Operation:
        return Waiting(context)


class Waiting(Protect):
    def main(self) -> None:
        time.sleep(WAIT_S)
        super().main()
