from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import orjson
import pytest

from protectd.vault.crypto import MasterKey
from protectd.vault.errors import FormatError
from protectd.vault.keys import RANDOM_PASSWORD_COST, create_key_file, open_key_file
from tests.fakes.vault_kit import CHEAP

MOMENT = datetime(2026, 3, 4, 5, 6, 7, 80, tzinfo=UTC)


@pytest.fixture
def master() -> MasterKey:
    return MasterKey.generate()


def _file(master: MasterKey, **changes: object) -> bytes:
    _, raw = create_key_file(master, "secret", created=MOMENT, username="u", hostname="h", cost=CHEAP)
    return orjson.dumps(orjson.loads(raw) | changes)


def test_a_key_file_gives_the_master_key_to_its_password_alone(master: MasterKey) -> None:
    name, raw = create_key_file(master, "pässword", created=MOMENT, cost=RANDOM_PASSWORD_COST)
    assert name == hashlib.sha256(raw).hexdigest()
    assert open_key_file(raw, "pässword") == master
    assert open_key_file(raw, "password") is None


def test_its_fields_stand_in_the_order_of_the_format(master: MasterKey) -> None:
    fields = orjson.loads(_file(master))
    assert list(fields) == ["created", "username", "hostname", "kdf", "N", "r", "p", "salt", "data"]
    assert fields["created"] == "2026-03-04T05:06:07.00008Z"
    assert b"secret" not in _file(master)


@pytest.mark.parametrize(
    "changes",
    [
        {"kdf": "argon2"},
        {"salt": "AAAA"},
        {"salt": "not base64!"},
        {"data": None},
        {"N": 3},
        {"N": 0},
        {"N": 1 << 40},
        {"p": 1 << 40},
        {"r": -1},
        {"N": "many"},
    ],
)
def test_a_file_that_is_no_key_or_asks_too_much_is_refused(
    master: MasterKey, changes: dict[str, object]
) -> None:
    with pytest.raises(FormatError):
        open_key_file(_file(master, **changes), "secret")


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"null", b"\xff"])
def test_rubbish_is_refused(raw: bytes) -> None:
    with pytest.raises(FormatError, match="not a key file"):
        open_key_file(raw, "secret")
