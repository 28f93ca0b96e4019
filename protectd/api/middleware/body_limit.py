"""No body larger than the limit gets in, whether its length was told or it comes in chunks."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO

from gunicorn.http.errors import ParseException

from protectd.api import environ as env
from protectd.api import runtime as runtimes
from protectd.api.errors import MalformedBody, MalformedHeader
from protectd.common.errors import TooLarge


class BodyLimit:
    def __init__(self, app: env.Application, limit_bytes: int) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    def __call__(self, environ: env.Environ, start_response: env.StartResponse) -> Iterable[bytes]:
        if environ.get("CONTENT_LENGTH"):
            self._check(told_length(str(environ["CONTENT_LENGTH"])))
        elif "HTTP_TRANSFER_ENCODING" in environ:
            self._measure(environ)
        return self._app(environ, start_response)

    def _check(self, length: int) -> None:
        if length > self._limit_bytes:
            raise TooLarge(limit_bytes=self._limit_bytes)

    def _measure(self, environ: env.Environ) -> None:
        """Take in a body of unknown length, so that all behind here knows it. One server decodes chunks only
        now, and raises its own error for broken ones."""
        try:
            data = environ["wsgi.input"].read(self._limit_bytes + 1)
        except (OSError, ParseException):
            raise MalformedBody(field="body", reason="its chunks are broken") from None
        self._check(len(data))
        environ["wsgi.input"] = BytesIO(data)
        environ["CONTENT_LENGTH"] = str(len(data))


def told_length(text: str) -> int:
    """:raises MalformedHeader: not a number of bytes."""
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise MalformedHeader(field="Content-Length", reason="is not a number of bytes")
    return int(text)


def filter_factory(global_conf: dict[str, str], **local_conf: str) -> env.Filter:
    """`max_bytes` in the ini goes before the option of the service."""
    limit_bytes = int(local_conf.get("max_bytes") or runtimes.of(global_conf).options.max_body_bytes)
    return lambda app: BodyLimit(app, limit_bytes)
