"""Where clients reach the service, and how paths name things."""

from __future__ import annotations

from protectd.api import environ as env
from protectd.api.runtime import ApiOptions
from protectd.common.errors import InvalidField
from protectd.common.ids import canonical_id, is_uuid_like

MAX_DIGITS = 9


def base_url(environ: env.Environ, options: ApiOptions) -> str:
    """As configured, or as it was asked for; without a slash at the end."""
    if options.public_endpoint:
        return options.public_endpoint.rstrip("/")
    scheme = str(environ.get("wsgi.url_scheme", "http"))
    if options.trust_forwarded and environ.get("HTTP_X_FORWARDED_PROTO") == "https":
        scheme = "https"
    host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "localhost")
    return f"{scheme}://{host}{environ.get('SCRIPT_NAME', '')}"


def path_number(text: str, field: str) -> int:
    """A number of a path. :raises InvalidField: it is none."""
    if not (text.isascii() and text.isdigit()) or len(text) > MAX_DIGITS:
        raise InvalidField(field=field, reason="must be a number")
    return int(text)


def path_id(text: str, field: str) -> str:
    """An id of a path as it is stored. :raises InvalidField: it is none."""
    if not is_uuid_like(text):
        raise InvalidField(field=field, reason="must be a UUID")
    return canonical_id(text)
