"""`protectd.wsgi:application` for any WSGI server. Nothing is read or built before the first request.

The configuration is the file that PROTECTD_CONFIG_FILE names (several with `:` between them), by default
/etc/protectd/protectd.conf where it exists.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

from protectd.cmd.arguments import SYSTEM_CONFIG, read
from protectd.cmd.build import Parts


class LazyApplication:
    """Builds the pipeline once, in the process and at the moment of the first request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._application: Any = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        answer: Iterable[bytes] = self._built()(environ, start_response)
        return answer

    def _built(self) -> Any:
        with self._lock:
            if self._application is None:
                self._application = Parts(read(_files(), ()), "protectd-api").application()
            return self._application


def _files() -> list[str]:
    named = [name for name in os.environ.get("PROTECTD_CONFIG_FILE", "").split(os.pathsep) if name]
    return named or ([str(SYSTEM_CONFIG)] if SYSTEM_CONFIG.exists() else [])


application = LazyApplication()
