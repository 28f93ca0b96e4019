"""Errors that only requests can cause."""

from __future__ import annotations

from protectd.common.errors import Conflict, InvalidField, NotFound, ProtectdError


class NoSuchPath(NotFound):
    code = "path.not_found"
    place = "path"
    message = "there is nothing at this path"


class MalformedPath(InvalidField):
    code = "path.malformed"


class MalformedBody(InvalidField):
    """The body is no JSON, or JSON that readers disagree about."""

    code = "body.malformed"


class MalformedHeader(InvalidField):
    code = "header.malformed"


class KeyReused(ProtectdError):
    """Two requests that differ came with one key: one of them is a mistake of the sender's."""

    status = 422
    code = "idempotency_key.reused"
    place = "Idempotency-Key"
    message = "this key came with another body or query before"


class AnswerNotKept(Conflict):
    code = "idempotency_key.answer_not_kept"
    place = "Idempotency-Key"
    message = "the request with this key was done; its answer carried a secret and was not kept"
