"""What the banks have in common that speak HTTP: reading, asking for a length, deleting."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from protectd.plugin.banks.http import Answer, Headers
from protectd.plugin.banks.ranges import Part, part_of, range_header
from protectd.plugin.banks.statuses import failure
from protectd.plugin.base import BankObjectNotFound, BankPlugin, BankRefused, Buffer, Schema

DEFAULT_TIMEOUT_S = 60.0

CONNECTION_SCHEMA: Mapping[str, Schema] = {
    "timeout_s": {
        "type": "string",
        "pattern": r"^[0-9]{1,4}(\.[0-9]{1,3})?$",
        "description": "seconds after which a server that says nothing is given up; 60 by default",
    },
    "ca_file": {
        "type": "string",
        "pattern": "^/",
        "description": "certificates (PEM) of the authority to trust, where the system does not",
    },
}
"""Options of every bank behind a network."""


def timeout_of(options: Mapping[str, str]) -> float:
    """Seconds."""
    return float(options.get("timeout_s") or DEFAULT_TIMEOUT_S) or DEFAULT_TIMEOUT_S


class HttpBank(BankPlugin):
    """One object is one resource. A request is one try, and no answer is believed that is not whole."""

    remote = True
    gone = frozenset((404,))
    """Statuses that say: no such object."""

    @abstractmethod
    def _ask(
        self, method: str, key: str, headers: Headers | None = None, body: Buffer | None = None
    ) -> AbstractContextManager[Answer]:
        """One request about an object, signed in."""

    def get(self, key: str, offset: int = 0, length: int = -1) -> bytes:
        if length == 0:
            self.size(key)
            return b""
        with self._ask("GET", key, range_header(offset, length)) as answer:
            return answer.read(self._part(answer, key, offset, length))

    def read_into(self, key: str, buffer: memoryview, offset: int = 0, *, fresh: bool = False) -> int:
        """Fill `buffer`. There is no cache on this host; `fresh` tells those on the way to step aside."""
        view = buffer.cast("B")
        if not len(view):
            self.size(key)
            return 0
        headers = range_header(offset, len(view)) | ({"Cache-Control": "no-cache"} if fresh else {})
        with self._ask("GET", key, headers) as answer:
            return answer.fill(view, self._part(answer, key, offset, len(view)))

    def _part(self, answer: Answer, key: str, offset: int, length: int) -> Part:
        self._found(answer, key)
        return part_of(answer.status, answer.headers, key, offset, length)

    def size(self, key: str) -> int:
        with self._ask("HEAD", key) as answer:
            self._found(answer, key)
            if answer.status != 200:
                raise failure(answer.status, key)
            length = answer.headers.get("Content-Length", "")
            if not length.isdecimal():
                raise BankRefused(key=key, reason="the server does not say how long it is")
            return int(length)

    def delete(self, key: str) -> None:
        with self._ask("DELETE", key) as answer:
            if answer.status not in (200, 202, 204, 404, 410):
                raise failure(answer.status, key)

    def _found(self, answer: Answer, key: str) -> None:
        if answer.status in self.gone:
            raise BankObjectNotFound(key=key)


def schema_of(properties: Mapping[str, Any], required: list[str]) -> Schema:
    """The options of a bank behind a network."""
    return {
        "type": "object",
        "properties": {
            "url": {"type": "string", "minLength": 1, "description": "where it is"},
            **properties,
            **CONNECTION_SCHEMA,
        },
        "required": ["url", *required],
        "additionalProperties": False,
    }
