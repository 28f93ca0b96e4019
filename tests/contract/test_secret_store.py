"""What every secret store promises."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from protectd.common.errors import ConfigurationError
from protectd.plugin.base import SealedSecret, SecretDamaged, SecretStorePlugin
from protectd.plugin.secret_stores.crypto import CryptoStore, make_master_key, read_master_key

ROW = {"secret_id": "7a1bb5e1-0000-4000-8000-000000000001", "project_id": "service"}


def crypto(directory: Path) -> SecretStorePlugin:
    make_master_key(directory / "master.key")
    return CryptoStore.from_options({"master_key_file": str(directory / "master.key")})


STORES: dict[str, Callable[[Path], SecretStorePlugin]] = {"crypto": crypto}


@pytest.fixture(params=sorted(STORES))
def make(request: pytest.FixtureRequest) -> Callable[[Path], SecretStorePlugin]:
    return STORES[request.param]


@pytest.fixture
def store(make: Callable[[Path], SecretStorePlugin], tmp_path: Path) -> SecretStorePlugin:
    return make(tmp_path)


@pytest.mark.parametrize("plain", [b"", b"x", b"password", os.urandom(100_000)])
def test_opens_what_it_sealed(store: SecretStorePlugin, plain: bytes) -> None:
    sealed = store.seal(plain, **ROW)
    assert store.open(sealed, **ROW) == plain


def test_what_is_sealed_opens_after_a_restart(
    make: Callable[[Path], SecretStorePlugin], tmp_path: Path
) -> None:
    sealed = make(tmp_path).seal(b"password", **ROW)
    assert make(tmp_path).open(sealed, **ROW) == b"password"


def test_the_plain_secret_is_nowhere_in_the_sealed_one(store: SecretStorePlugin) -> None:
    sealed = store.seal(b"a secret password", **ROW)
    assert b"secret" not in sealed.cipher_text
    assert "password" not in repr(store) + sealed.key_id


def test_sealing_twice_gives_two_texts(store: SecretStorePlugin) -> None:
    assert store.seal(b"same", **ROW).cipher_text != store.seal(b"same", **ROW).cipher_text


@pytest.mark.parametrize("other", [{"secret_id": "another"}, {"project_id": "another"}])
def test_does_not_open_in_another_row(store: SecretStorePlugin, other: dict[str, str]) -> None:
    sealed = store.seal(b"password", **ROW)
    with pytest.raises(SecretDamaged):
        store.open(sealed, **(ROW | other))


def test_ids_that_only_join_to_the_same_text_are_other_rows(store: SecretStorePlugin) -> None:
    sealed = store.seal(b"password", secret_id="ab", project_id="c")
    with pytest.raises(SecretDamaged):
        store.open(sealed, secret_id="a", project_id="bc")


def test_any_changed_byte_is_noticed(store: SecretStorePlugin) -> None:
    sealed = store.seal(b"password", **ROW)
    for place in range(len(sealed.cipher_text)):
        changed = bytearray(sealed.cipher_text)
        changed[place] ^= 1
        with pytest.raises(SecretDamaged):
            store.open(SealedSecret(bytes(changed), sealed.key_id), **ROW)


@pytest.mark.parametrize("length", [0, 1, 12, 13, 20])
def test_a_cut_text_is_noticed(store: SecretStorePlugin, length: int) -> None:
    sealed = store.seal(b"password", **ROW)
    with pytest.raises(SecretDamaged):
        store.open(SealedSecret(sealed.cipher_text[:length], sealed.key_id), **ROW)


def test_another_master_key_does_not_open_it_and_says_which_row(
    make: Callable[[Path], SecretStorePlugin], tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = make(tmp_path / "one"), make(tmp_path / "two")
    sealed = one.seal(b"password", **ROW)
    with pytest.raises(SecretDamaged) as caught:
        two.open(sealed, **ROW)
    assert caught.value.facts["secret_id"] == ROW["secret_id"]
    assert two.seal(b"", **ROW).key_id != sealed.key_id


# --- the master key's file ---


def test_a_made_key_is_private_and_32_bytes(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    assert make_master_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(read_master_key(path)) == 32
    assert [entry.name for entry in tmp_path.iterdir()] == ["master.key"]


def test_making_again_keeps_the_key(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    make_master_key(path)
    key = read_master_key(path)
    assert not make_master_key(path)
    assert read_master_key(path) == key


def test_of_many_that_make_a_key_at_once_one_does(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: make_master_key(tmp_path / "master.key"), range(8)))
    assert sorted(made) == [False] * 7 + [True]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "form", [bytes, base64.b64encode, lambda key: b"  " + base64.b64encode(key) + b"\r\n"]
)
def test_a_key_may_be_raw_or_base64(tmp_path: Path, form: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "master.key"
    key = os.urandom(32)
    path.write_bytes(form(key))
    path.chmod(0o600)
    assert read_master_key(path) == key


@pytest.mark.parametrize("content", [b"", b"short", b"=" * 44, base64.b64encode(bytes(31)), bytes(33)])
def test_a_file_without_a_key_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="master.key"):
        read_master_key(path)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o620, 0o777])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "master.key"
    make_master_key(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="0600"):
        read_master_key(path)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="master.key: No such file"):
        CryptoStore.from_options({"master_key_file": str(tmp_path / "master.key")})
