"""`Idempotency-Key`: a request that comes again has been done, and is answered as it was.

The key is taken in the unit of work that has the effect, before anything else: whoever comes with the same
one waits for its end, and what is refused or breaks off leaves no trace.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace

from protectd.api import environ as env
from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.errors import AnswerNotKept, KeyReused, MalformedHeader
from protectd.model.errors import DatabaseContended
from protectd.model.models import IdempotencyKey
from protectd.model.repositories.idempotency_keys import KEPT

HEADER = "Idempotency-Key"
LONGEST = 255

TWINS = 64
"""Requests with one key that may get ahead of one while it waits for its turn, as happens where many are
refused: only with them does it contend, for it has touched nothing else yet."""


def once(call: Call, work: Callable[[], Answer]) -> Answer:
    """Do `work`, unless the sender's key says that it was done.

    :raises MalformedHeader: the key is none.
    :raises KeyReused: it came with another body or query.
    :raises AnswerNotKept: it was done; the answer carried a secret.
    """
    key = _key(call)
    if key is None:
        return work()
    id, body_digest = _id(call, key), _body_digest(call, key)
    earlier = _begin(call, id, body_digest)
    if earlier is not None:
        return _repeated(earlier, body_digest)
    answer = work()
    if answer.secret:
        return answer
    call.uow.idempotency_keys.keep(id, answer.status, answer.location, answer.body)
    return replace(answer, kept_as=id)


def _begin(call: Call, id: str, body_digest: str, twins: int = TWINS) -> IdempotencyKey | None:
    try:
        return call.uow.idempotency_keys.begin(id, body_digest, call.runtime.clock.now(), KEPT)
    except DatabaseContended:
        if not twins:
            raise
        call.close()
    return _begin(call, id, body_digest, twins - 1)


def _repeated(earlier: IdempotencyKey, body_digest: str) -> Answer:
    if not hmac.compare_digest(earlier.body_digest, body_digest):
        raise KeyReused
    if earlier.status is None:
        raise AnswerNotKept
    return Answer(earlier.body, earlier.status, earlier.location, replayed=True)


def _key(call: Call) -> str | None:
    key = call.headers.get(HEADER.lower())
    if key is not None and not (0 < len(key) <= LONGEST and key.isascii() and key.isprintable()):
        raise MalformedHeader(field=HEADER, reason=f"must have 1 to {LONGEST} printable ASCII characters")
    return key


def _id(call: Call, key: str) -> str:
    """Whose key it is, and for which route."""
    context = call.context
    parts = [context.project_id, context.user_id, env.path(call.environ), key]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _body_digest(call: Call, key: str) -> str:
    """A body may hold a password; the key, which is not kept, guards its digest against guessing."""
    query = str(call.environ.get("QUERY_STRING", "")).encode("utf-8", "surrogateescape")
    return hmac.new(key.encode(), query + b"\n" + call.raw_body, "sha256").hexdigest()
