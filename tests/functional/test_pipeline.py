"""The paste file alone says what stands before the application, and in what order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protectd.common.errors import ConfigurationError
from tests.fakes.service import PASTE_FILE, running

SHIPPED = "pipeline = request_id observe fault healthcheck ratelimit_address body_limit auth ratelimit main"
EXTRA = """
[filter:extra]
paste.filter_factory = tests.functional.test_pipeline:filter_factory
header = X-Extra
"""


def filter_factory(global_conf: dict[str, str], header: str) -> Callable[[Any], Any]:
    """A filter of somebody else's, which adds a header."""

    def make(app: Any) -> Any:
        def call(environ: dict[str, Any], start_response: Any) -> Any:
            def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
                return start_response(status, [*headers, (header, "yes")], *rest)

            return app(environ, start)

        return call

    return make


def shipped_but(*names: str) -> str:
    text = PASTE_FILE.read_text()
    assert text.count(SHIPPED) == 3
    return text.replace(SHIPPED, f"pipeline = {' '.join(names)}")


def test_a_filter_that_is_added_is_called(tmp_path: Path) -> None:
    text = shipped_but("request_id", "fault", "extra", "auth", "main") + EXTRA
    with running(tmp_path, paste=text) as service:
        assert service.client().call("GET", "plans").headers["X-Extra"] == "yes"


def test_a_filter_that_is_left_out_is_not_called(tmp_path: Path) -> None:
    with running(tmp_path, paste=shipped_but("request_id", "fault", "auth", "main")) as service:
        service.app.get("/healthcheck", status=401)


def test_the_order_is_the_files(tmp_path: Path) -> None:
    text = shipped_but("request_id", "fault", "auth", "healthcheck", "main")
    with running(tmp_path, paste=text) as service:
        service.app.get("/healthcheck", status=401)
        client = service.client()
        assert client.get("/healthcheck") == {"status": "OK"}


def test_without_authentication_in_it_nobody_is_let_in(tmp_path: Path) -> None:
    with running(tmp_path, paste=shipped_but("request_id", "fault", "main")) as service:
        service.client().refused("GET", "plans", 401)


NO_FACTORY = shipped_but("request_id", "main").replace("request_id:filter_factory", "request_id:none")
NO_RULE = shipped_but("ratelimit", "main").replace("[filter:ratelimit]", "[filter:ratelimit]\nrules = x")


@pytest.mark.parametrize(
    ("text", "section"),
    [
        (shipped_but("request_id", "missing", "main"), "missing"),
        (NO_FACTORY, "request_id"),
        (NO_RULE, "ratelimit"),
        ("no ini at all", ""),
    ],
)
def test_a_broken_file_is_told_by_its_name_and_section(tmp_path: Path, text: str, section: str) -> None:
    with pytest.raises(ConfigurationError) as caught, running(tmp_path, paste=text):
        pass
    assert "paste.ini" in str(caught.value)
    assert section in str(caught.value)
