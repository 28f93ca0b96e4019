"""What stands before a request's own words about who asks."""

from __future__ import annotations

import pytest
from keystonemiddleware.auth_token import _request
from webob import Request

from protectd.api.middleware.auth import IDENTITY, service_type


def test_every_header_is_dropped_by_which_keystone_s_filter_tells_who_asks() -> None:
    request = _request._AuthTokenRequest.blank("/")
    for name in request._all_auth_headers():
        request.headers[name] = "x"
    told = {name for name in request.environ if name.startswith(("HTTP_X_", "HTTP_OPENSTACK_"))}
    assert told and told - set(IDENTITY) == set()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/secrets", "key-manager"),
        ("/v1/secrets/x/payload", "key-manager"),
        ("/v1/containers/", "key-manager"),
        ("/v1/p/plans", "data-protect"),
        ("/v1/p/secrets", "data-protect"),
        ("/v1", "data-protect"),
        ("/", "data-protect"),
        ("//v1/secrets", "data-protect"),
    ],
)
@pytest.mark.parametrize("mounted", ["", "/protect", "/v1/secrets"])
def test_the_service_that_is_asked_is_the_one_that_answers(mounted: str, path: str, expected: str) -> None:
    environ = Request.blank(path).environ | {"SCRIPT_NAME": mounted}
    assert service_type(environ) == expected
