"""A filter of somebody else's, for paste files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def filter_factory(global_conf: dict[str, str], value: str) -> Callable[[Any], Any]:
    """Every answer carries `X-Marker: value`."""

    def wrap(app: Any) -> Any:
        def marked(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
                return start_response(status, [*headers, ("X-Marker", value)], *rest)

            return app(environ, start)

        return marked

    return wrap
