"""What an HTTP status means for a bank: try again, or not."""

from __future__ import annotations

from http import HTTPStatus

from protectd.common.errors import ProtectdError
from protectd.plugin.base import BankRefused, BankUnavailable

_AGAIN = frozenset((408, 409, 423, 425, 429))
_FINAL = frozenset((501, 505, 507))


def failure(status: int, key: str, said: str = "") -> ProtectdError:
    """The error for a status that is none of the expected ones.

    :param said: the server's own code for it, such as `SlowDown`; no free text, which may hold anything.
    """
    reason = f"the server answers {status} {said or _phrase(status)}".rstrip()
    if status in _AGAIN or (status >= 500 and status not in _FINAL):
        return BankUnavailable(reason=f"{reason} for {key or 'its root'}")
    return BankRefused(key=key or "its root", reason=reason)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
