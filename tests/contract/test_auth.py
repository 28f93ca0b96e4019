"""What every authentication plug-in promises."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from protectd.common.errors import Unauthorized
from protectd.conf import new_config
from protectd.plugin.auth.keystone import KeystoneAuth
from protectd.plugin.auth.noauth import NoAuth
from protectd.plugin.auth.token import TokenAuth
from protectd.plugin.base import AuthPlugin, Identity
from tests.fakes.keystone_server import Keystone, Person

MEMBER = Identity(user_id="ada", project_id="p1", roles=("member",))


class Known:
    """A service with the one token `good`."""

    def by_digest(self, digest: str) -> Identity | None:
        return MEMBER if digest == hashlib.sha256(b"good").hexdigest() else None


PLUGINS = {"token": TokenAuth, "noauth": NoAuth}


@pytest.fixture(params=[*sorted(PLUGINS), "keystone"])
def plugin(request: pytest.FixtureRequest, tmp_path: Path) -> AuthPlugin:
    if request.param == "keystone":
        return keystone_auth(request.getfixturevalue("keystone"), tmp_path)
    return PLUGINS[request.param].from_options({}, Known())


def keystone_auth(keystone: Keystone, directory: Path) -> AuthPlugin:
    """Of a service whose user is the administrator."""
    file = directory / "protectd.conf"
    file.write_text(keystone.options(Person("", "admin")))
    return KeystoneAuth.from_config(new_config([file]), Known())


@pytest.fixture
def token() -> TokenAuth:
    return TokenAuth.from_options({}, Known())


@pytest.fixture
def noauth() -> NoAuth:
    return NoAuth.from_options({}, Known())


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-auth-token": ""},
        {"x-auth-token": "   "},
        {"authorization": "Basic YTpi"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": ""},
        {"x-auth-token": "x" * 5000},
        {"x-auth-token": "w\xf6rd \ud800"},
        {"x-auth-token": "../../etc:.."},
        {"x-auth-token": "a:b/c"},
        {"x-auth-token": ":p"},
    ],
)
def test_a_request_without_usable_credentials_is_refused(plugin: AuthPlugin, headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized) as caught:
        plugin.authenticate(headers)
    assert caught.value.facts == {}


def test_keystone_s_tokens_are_let_in_for_their_project(keystone: Keystone, tmp_path: Path) -> None:
    project_id = keystone.project()
    person = keystone.person(project_id, "member")
    token = keystone.token(person, project_id=project_id)
    plugin = keystone_auth(keystone, tmp_path)
    for headers in ({"x-auth-token": f" {token} "}, {"authorization": f"Bearer {token}"}):
        identity = plugin.authenticate(headers)
        assert (identity.user_id, identity.project_id) == (person.id, project_id)
        assert set(identity.roles) == {"member", "reader"}
        assert identity.expires_at is not None and identity.expires_at.tzinfo is not None


@pytest.mark.parametrize(
    "headers",
    [
        {"x-auth-token": "good"},
        {"x-auth-token": " good "},
        {"authorization": "Bearer good"},
        {"authorization": "bearer  good"},
        {"x-auth-token": "good", "authorization": "Bearer bad"},
    ],
)
def test_a_token_is_taken_from_either_header(token: TokenAuth, headers: dict[str, str]) -> None:
    assert token.authenticate(headers) == MEMBER


@pytest.mark.parametrize("text", ["bad", "Good", hashlib.sha256(b"good").hexdigest()])
def test_an_unknown_token_says_no_more_than_a_missing_one(token: TokenAuth, text: str) -> None:
    with pytest.raises(Unauthorized) as unknown:
        token.authenticate({"x-auth-token": text})
    with pytest.raises(Unauthorized) as missing:
        token.authenticate({})
    assert str(unknown.value) == str(missing.value)


def test_noauth_believes_and_makes_an_administrator(noauth: NoAuth) -> None:
    identity = noauth.authenticate({"x-auth-token": "ada:p1"})
    assert identity == Identity(user_id="ada", project_id="p1", roles=("admin",))
    assert noauth.authenticate({"x-auth-token": "p1"}).project_id == "p1"


def test_only_noauth_is_for_loopback_alone() -> None:
    assert NoAuth.loopback_only
    assert not TokenAuth.loopback_only
    assert not KeystoneAuth.loopback_only


def test_only_keystone_asks_another_server() -> None:
    assert KeystoneAuth.remote
    assert not TokenAuth.remote
