"""What cannot be read as HTTP gets the one fault body, whichever server gave up on it."""

from __future__ import annotations

import logging
from typing import ClassVar

from webob import Response

from protectd.api import faults
from protectd.api.middleware import request_id
from protectd.common.errors import ProtectdError

LOG = logging.getLogger(__name__)


class UnreadableRequest(ProtectdError):
    """The server gave up on a request before any application saw it."""

    code = "request.unreadable"
    message = "{reason}"
    status: ClassVar[int] = 400


class OversizedBody(UnreadableRequest):
    status = 413
    code = "too_large"
    place = "body"


class OversizedPath(UnreadableRequest):
    status = 414
    place = "path"


class UnknownExpectation(UnreadableRequest):
    status = 417
    place = "Expect"


class OversizedHeaders(UnreadableRequest):
    status = 431
    place = "headers"


class UnknownCoding(UnreadableRequest):
    status = 501
    place = "Transfer-Encoding"


KINDS: dict[int, type[UnreadableRequest]] = {
    kind.status: kind
    for kind in (
        UnreadableRequest,
        OversizedBody,
        OversizedPath,
        UnknownExpectation,
        OversizedHeaders,
        UnknownCoding,
    )
}

PLACES = (
    ("content-length", "Content-Length"),
    ("header", "headers"),
    ("folding", "headers"),
    ("chunk", "body"),
    ("uri", "path"),
)
"""What the words of a server are about. What none of them fits is about the request as a whole."""


def refusal(status: int, reason: str) -> Response:
    """The answer to a request that passes no filter, for it has no environment: named, logged, rendered.

    :param reason: the server's words; not told where the fault is not the request's.
    """
    error = _error(status, reason)
    name = request_id.new()
    LOG.info("%s: %d %r", name, error.status, reason)
    response = faults.render(error, name)
    response.headers.update(dict.fromkeys(request_id.HEADERS, name))
    return response


def _error(status: int, reason: str) -> ProtectdError:
    kind = KINDS.get(status)
    return ProtectdError() if kind is None else kind(reason=reason, field=kind.place or _place(reason))


def _place(reason: str) -> str:
    said = reason.lower()
    return next((place for word, place in PLACES if word in said), "request")
