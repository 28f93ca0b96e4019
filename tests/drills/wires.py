"""Wires to real servers: cut, held, down, or cut at the very word that makes a change last."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

from tests.fakes.brokers import Line

HEARD_S = 0.3
"""After so long a server has done what it was told."""

SPOKEN = {
    "end": {"postgresql": b"\x00\x00\x00\x04done", "mariadb": b"'done'"},
    "claim": {"postgresql": b"\x00\x00\x00\x07running", "mariadb": b"'running'"},
    "request": {"postgresql": b"process_checkpoint", "mariadb": b"'process_checkpoint'"},
}
"""What goes over the wire of a kind of database when a task is ended, claimed or asked for."""


@dataclass
class Scissors:
    """Cuts one connection at a COMMIT: before the server hears it, or after it.

    :ivar word: what the transaction has said before.
    :ivar heard: the server commits, and its client never learns of it.
    """

    word: bytes
    heard: bool
    cut: threading.Event = field(default_factory=threading.Event)


class Wire(Line):
    """A line that can be down as well: whoever connects is turned away."""

    def __init__(self, port: int) -> None:
        self._is_up = True
        self._scissors: Scissors | None = None
        super().__init__(port)

    def down(self) -> None:
        self._is_up = False
        self.cut()

    def admit(self) -> None:
        """Whoever connects is not turned away any more; held is what was held."""
        self._is_up = True

    def up(self) -> None:
        self.admit()
        self.release()

    def arm(self, scissors: Scissors | None) -> None:
        self._scissors = scissors

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._server.accept()
                with suppress(OSError):
                    self._join(here)

    def _join(self, here: socket.socket) -> None:
        if not self._is_up:
            here.close()
            return
        try:
            there = socket.create_connection(("127.0.0.1", self._port))
        except OSError:
            here.close()
            raise
        for end in (here, there):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ends += [here, there]
        muted = threading.Event()
        threading.Thread(target=self._ask, args=(here, there, muted), daemon=True).start()
        threading.Thread(target=self._answer, args=(there, here, muted), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, muted: threading.Event) -> None:
        spoken = False
        with suppress(OSError):
            while data := client.recv(65536):
                self._flows.wait()
                scissors = self._scissors
                spoken = spoken or (scissors is not None and scissors.word in data)
                if b"COMMIT" in data:
                    if scissors is not None and spoken and not scissors.cut.is_set():
                        self._snip(scissors, server, data, muted)
                        break
                    spoken = False
                if b"ROLLBACK" in data:
                    spoken = False
                server.sendall(data)
        _break(client, server)

    def _snip(self, scissors: Scissors, server: socket.socket, data: bytes, muted: threading.Event) -> None:
        scissors.cut.set()
        if scissors.heard:
            muted.set()
            server.sendall(data)
            time.sleep(HEARD_S)

    def _answer(self, server: socket.socket, client: socket.socket, muted: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                self._flows.wait()
                if not muted.is_set():
                    client.sendall(data)
        _break(client, server)


def _break(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
