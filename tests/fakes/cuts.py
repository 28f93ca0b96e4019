"""Connections to a real database server that break: at a statement that a test chooses, or round a commit."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.pool import NullPool

When = Literal["before", "after"]

PATIENCE_S = 10.0
COMMIT = re.compile(rb"COMMIT(?!TED)")
GONE = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE pid = :id",
    "mysql": "SELECT count(*) FROM information_schema.processlist WHERE id = :id",
}


class Killer:
    """Has the server end the connection on which this thread is about to send a statement.

    :ivar at: number of the statement, from 0; None: none.
    :ivar again: the same happens to each statement after it.
    :ivar statements: what was sent since it was armed.
    """

    def __init__(self, engine: Engine) -> None:
        self.at: int | None = None
        self.again = False
        self._thread = threading.get_ident()
        self.statements: list[str] = []
        self._admin = create_engine(engine.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)

    def arm(self, at: int | None, *, again: bool = False) -> None:
        self.at, self.again, self.statements = at, again, []

    def note(self, connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        number = len(self.statements)
        self.statements.append(statement)
        if self.at is not None and (number == self.at or (self.again and number > self.at)):
            self._kill(connection.connection.dbapi_connection)

    def _kill(self, connection: Any) -> None:
        postgresql = self._admin.dialect.name == "postgresql"
        id = connection.info.backend_pid if postgresql else connection.thread_id()
        with self._admin.connect() as admin:
            admin.execute(text("SELECT pg_terminate_backend(:id)" if postgresql else "KILL :id"), {"id": id})
            deadline = time.monotonic() + PATIENCE_S
            while admin.scalar(text(GONE[self._admin.dialect.name]), {"id": id}):
                assert time.monotonic() < deadline, "the connection lives on"
                time.sleep(0.001)


@contextmanager
def killing(engine: Engine) -> Iterator[Killer]:
    killer = Killer(engine)
    event.listen(engine, "before_cursor_execute", killer.note)
    try:
        yield killer
    finally:
        event.remove(engine, "before_cursor_execute", killer.note)


@dataclass
class Line:
    """A proxy in front of the server.

    :ivar cut: at the next commit the line breaks before the server hears of it, or after it is done and
        before the client hears so.
    :ivar goes_down: from that cut on nobody is let through.
    """

    url: str
    cut: When | None = None
    goes_down: bool = False
    down: threading.Event = field(default_factory=threading.Event)

    def arm(self, cut: When, *, goes_down: bool = False) -> None:
        self.goes_down, self.cut = goes_down, cut

    def cut_at(self, data: bytes) -> When | None:
        """Whether these bytes are the commit that was waited for."""
        if self.cut is None or not COMMIT.search(data):
            return None
        when, self.cut = self.cut, None
        if self.goes_down:
            self.down.set()
        return when


@contextmanager
def line_to(url: str) -> Iterator[Line]:
    target = make_url(url)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        line = Line(target.set(host="127.0.0.1", port=port).render_as_string(hide_password=False))
        server = (str(target.host), int(target.port or 0))
        threading.Thread(target=_accept, args=(line, listener, server), daemon=True).start()
        yield line
        line.down.set()
        listener.shutdown(socket.SHUT_RDWR)


def _accept(line: Line, listener: socket.socket, server: tuple[str, int]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        if line.down.is_set():
            client.close()
        else:
            upstream = socket.create_connection(server)
            threading.Thread(target=_carry, args=(line, client, upstream), daemon=True).start()


def _carry(line: Line, client: socket.socket, upstream: socket.socket) -> None:
    with client, upstream, contextlib.suppress(OSError):
        while True:
            readable, _, _ = select.select([client, upstream], [], [])
            source, target = (client, upstream) if client in readable else (upstream, client)
            data = source.recv(65536)
            when = line.cut_at(data) if source is client else None
            if not data or when == "before":
                return
            target.sendall(data)
            if when == "after":
                upstream.recv(65536)
                return
