"""Where a request ends: its tasks are announced, or it is rolled back and told why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from pecan.hooks import PecanHook
from webob import Response
from webob.exc import HTTPException

from protectd.api import environ as env
from protectd.api import faults
from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.errors import NoSuchPath
from protectd.api.runtime import Runtime
from protectd.common.errors import ProtectdError

CALL = "call"
ANSWER = "answer"
WAY_HEADER = "X-Protectd-Dispatch"
REPLAYED_HEADER = "Idempotency-Replayed"


class CallHook(PecanHook):  # type: ignore[misc]
    """Makes the call of a request before it is routed, and ends it whatever happened."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def on_route(self, state: Any) -> None:
        state.request.context[CALL] = Call(self._runtime, state.request.environ)

    def after(self, state: Any) -> None:
        call, answer = state.request.context[CALL], state.request.context.get(ANSWER)
        try:
            if answer is not None:
                told = env.told(state.request.environ)
                state.response = respond(answer, call.finish(answer), call.way(), told)
        finally:
            call.close()

    def on_error(self, state: Any, error: Exception) -> Response | None:
        """Roll back before the error is rendered. What nobody foresaw goes to the outer door."""
        state.request.context.pop(ANSWER, None)
        if CALL in state.request.context:
            state.request.context[CALL].close()
        if isinstance(error, HTTPException):
            error = NoSuchPath()
        if isinstance(error, ProtectdError) and error.status < 500:
            environ = state.request.environ
            return faults.render(error, env.request_id(environ), env.told(environ))
        return None


def respond(
    answer: Answer, body: Any, way: str | None = None, told: Mapping[str, str] = faults.NOTHING
) -> Response:
    """:param way: how a change is carried out, for whoever traces a request. :param told: more headers."""
    data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    headers = [*answer.headers.items(), *told.items()]
    if body is not None:
        headers += [("Content-Type", answer.media), ("Content-Length", str(len(data)))]
    if answer.replayed:
        headers.append((REPLAYED_HEADER, "true"))
    elif way is not None:
        headers.append((WAY_HEADER, way))
    if answer.location is not None:
        headers.append(("Location", answer.location))
    return Response(status=answer.status, headerlist=headers, app_iter=[data])
