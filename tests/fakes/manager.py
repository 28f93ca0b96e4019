"""A service manager's end of the socket that daemons tell how they are."""

from __future__ import annotations

import socket
import time
from pathlib import Path


class ManagerSocket:
    """Hears what is sent to NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind("\0" + address[1:] if address.startswith("@") else address)
        self._sock.settimeout(0.1)
        self.heard: list[str] = []

    def environment(self, watchdog_s: float) -> dict[str, str]:
        return {"NOTIFY_SOCKET": self.address, "WATCHDOG_USEC": str(int(watchdog_s * 1e6))}

    def listen(self) -> list[str]:
        """All that was sent until now, oldest first."""
        try:
            while True:
                self.heard.append(self._sock.recv(4096).decode())
        except TimeoutError:
            return self.heard

    def count(self, word: str) -> int:
        return sum(word in message.splitlines() for message in self.listen())

    def hears(self, word: str, times: int = 1, within_s: float = 60) -> bool:
        deadline = time.monotonic() + within_s
        while self.count(word) < times and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.count(word) >= times

    def close(self) -> None:
        self._sock.close()
        if not self.address.startswith("@"):
            Path(self.address).unlink()
