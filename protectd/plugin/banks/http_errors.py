"""The errors of `urllib3` as the contract's."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError, SSLError

from protectd.plugin.base import BankRefused, BankUnavailable


@contextmanager
def translated() -> Iterator[None]:
    """They name hosts and paths, never headers."""
    try:
        yield
    except SSLError as error:
        cause = error.args[0] if error.args else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise BankRefused(key="its connection", reason=cause.verify_message) from error
        raise BankUnavailable(reason=f"TLS failed: {cause}") from error
    except NewConnectionError as error:  # one kind of the next, although nobody had to wait
        raise BankUnavailable(reason=f"cannot connect: {_last(error)}") from error
    except (ConnectTimeoutError, ReadTimeoutError) as error:
        raise BankUnavailable(reason="no answer in time") from error
    except HTTPError as error:
        raise BankUnavailable(reason=f"the connection broke: {_last(error)}") from error
    except OSError as error:  # such as a file of certificates that is not there
        raise BankRefused(key="its connection", reason=f"{error.strerror or error}") from error


def _last(error: HTTPError) -> str:
    """The innermost of the errors that the library wraps."""
    return str(error.args[-1] if error.args else error).rpartition(": ")[2]
