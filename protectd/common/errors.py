"""The one tree of errors that are raised on purpose: facts in, sentence out.

A class fixes the HTTP status, a code that clients may rely on for ever, and the sentence. Facts stay
readable on the instance. A secret is never a fact. Modules add their own leaves next to the code that
raises them; the categories are here.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self


class ProtectdError(Exception):
    """Root of the errors raised on purpose. Facts fill the message."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    message: ClassVar[str] = "internal error"
    place: ClassVar[str | None] = None
    """The part of a request that each error of the class is about, where there is but one."""

    def __init__(self, **facts: Any) -> None:
        super().__init__(self.message.format(**facts))
        self.facts = facts

    @property
    def field(self) -> str | None:
        """What in the request is at fault: a path in the body, or the name of a parameter or header."""
        told = self.facts.get("field", self.place)
        return None if told is None else str(told)

    def at(self, field: str) -> Self:
        """The same error about another field."""
        return type(self)(**self.facts | {"field": field})

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross process borders with their facts."""
        return (_rebuild, (type(self), self.facts))


def _rebuild(cls: type[ProtectdError], facts: dict[str, Any]) -> ProtectdError:
    return cls(**facts)


class BadRequest(ProtectdError):
    status = 400
    code = "bad_request"
    message = "{reason}"


class InvalidField(BadRequest):
    """Input that names its place: `field` is a dotted path such as `plan.resources.0.id`."""

    code = "invalid_field"
    message = "{field}: {reason}"


class Unauthorized(ProtectdError):
    """Says nothing about why: an unknown, expired and missing token look alike. `challenge` is the value of
    the WWW-Authenticate header where it is not `Bearer`."""

    status = 401
    code = "unauthorized"
    message = "a valid token is needed"


class Forbidden(ProtectdError):
    status = 403
    code = "forbidden"
    message = "{action} is not allowed"


class NotFound(ProtectdError):
    status = 404
    code = "not_found"
    message = "{kind} {id} is not there"


class MethodNotAllowed(ProtectdError):
    """`allowed` is the value of the Allow header."""

    status = 405
    code = "method_not_allowed"
    message = "this resource answers {allowed} only"


class NotAcceptable(ProtectdError):
    status = 406
    code = "not_acceptable"
    place = "Accept"
    message = "{reason}"


class Conflict(ProtectdError):
    status = 409
    code = "conflict"
    message = "{reason}"


class TooLarge(ProtectdError):
    status = 413
    code = "too_large"
    place = "body"
    message = "the body is larger than {limit_bytes} bytes"


class UnsupportedMediaType(ProtectdError):
    status = 415
    code = "unsupported_media_type"
    place = "Content-Type"
    message = "send the body as {expected}"


class TooManyRequests(ProtectdError):
    """`retry_after_s` is whole seconds."""

    status = 429
    code = "too_many_requests"
    message = "more than {limit}; try again in {retry_after_s} s"


class Unavailable(ProtectdError):
    """Something needed is away for now; the same request may succeed later."""

    status = 503
    code = "unavailable"
    message = "{what} is not available: {reason}"


class Cancelled(ProtectdError):
    """The owner of a long operation asked it to stop."""

    status = 409
    code = "cancelled"
    message = "the operation was cancelled"


class ConfigurationError(ProtectdError):
    """The service cannot start or load a part as it is configured."""

    code = "configuration"
    message = "{where}: {reason}"
