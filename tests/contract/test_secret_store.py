"""What every secret store promises."""

from __future__ import annotations

import base64
import ctypes
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protectd.common.errors import ConfigurationError
from protectd.plugin.base import MasterKeyMissing, SecretDamaged, SecretStorePlugin, WrappedKey
from protectd.plugin.secret_stores.crypto import CryptoStore
from protectd.plugin.secret_stores.master_keys import (
    add_master_key,
    drop_master_key,
    make_master_key,
    name_of,
    read_master_keys,
)
from protectd.plugin.secret_stores.pkcs11 import ModuleUnavailable, Pkcs11Store
from tests.fakes.security_modules import LIBRARY, softhsm

pytest_plugins = ["tests.fakes.security_modules"]
pytestmark = pytest.mark.usefixtures("tokens")

SECRET = "7a1bb5e1-0000-4000-8000-000000000001"
ROW = {"key_id": "7a1bb5e1-0000-4000-8000-000000000002", "project_id": "service"}


def crypto(directory: Path) -> SecretStorePlugin:
    make_master_key(directory / "master.key")
    return CryptoStore.from_options({"master_key_file": str(directory / "master.key")})


STORES: dict[str, Callable[[Path], SecretStorePlugin]] = {"crypto": crypto, "softhsm": softhsm}


@pytest.fixture(params=sorted(STORES))
def make(request: pytest.FixtureRequest) -> Callable[[Path], SecretStorePlugin]:
    return STORES[request.param]


@pytest.fixture
def store(make: Callable[[Path], SecretStorePlugin], tmp_path: Path) -> SecretStorePlugin:
    return make(tmp_path)


@pytest.mark.parametrize("plain", [b"", b"x", b"password", os.urandom(100_000)])
def test_opens_what_it_sealed(store: SecretStorePlugin, plain: bytes) -> None:
    wrapped = store.new_key(**ROW)
    sealed = store.unwrap(wrapped, **ROW).seal(plain, SECRET)
    assert store.unwrap(wrapped, **ROW).open(sealed, SECRET) == plain


def test_what_is_sealed_opens_after_a_restart(
    make: Callable[[Path], SecretStorePlugin], tmp_path: Path
) -> None:
    store = make(tmp_path)
    wrapped = store.new_key(**ROW)
    sealed = store.unwrap(wrapped, **ROW).seal(b"password", SECRET)
    assert make(tmp_path).unwrap(wrapped, **ROW).open(sealed, SECRET) == b"password"


def test_the_plain_secret_is_nowhere_in_the_sealed_one(store: SecretStorePlugin) -> None:
    wrapped = store.new_key(**ROW)
    key = store.unwrap(wrapped, **ROW)
    assert b"secret" not in key.seal(b"a secret password", SECRET)
    assert "password" not in repr(store) + repr(key) + wrapped.master_key_id


def test_sealing_twice_gives_two_texts_and_two_keys_differ(store: SecretStorePlugin) -> None:
    key = store.unwrap(store.new_key(**ROW), **ROW)
    assert key.seal(b"same", SECRET) != key.seal(b"same", SECRET)
    other = store.unwrap(store.new_key(**ROW), **ROW)
    with pytest.raises(SecretDamaged):
        other.open(key.seal(b"same", SECRET), SECRET)


def test_a_secret_does_not_open_in_another_row(store: SecretStorePlugin) -> None:
    key = store.unwrap(store.new_key(**ROW), **ROW)
    with pytest.raises(SecretDamaged):
        key.open(key.seal(b"password", SECRET), "another")


@pytest.mark.parametrize("other", [{"key_id": "another"}, {"project_id": "another"}])
def test_a_key_does_not_open_in_another_row(store: SecretStorePlugin, other: dict[str, str]) -> None:
    wrapped = store.new_key(**ROW)
    with pytest.raises(SecretDamaged):
        store.unwrap(wrapped, **(ROW | other))


def test_ids_that_only_join_to_the_same_text_are_other_rows(store: SecretStorePlugin) -> None:
    wrapped = store.new_key(key_id="ab", project_id="c")
    with pytest.raises(SecretDamaged):
        store.unwrap(wrapped, key_id="a", project_id="bc")


def test_any_changed_byte_is_noticed(store: SecretStorePlugin) -> None:
    wrapped = store.new_key(**ROW)
    key = store.unwrap(wrapped, **ROW)
    sealed = key.seal(b"password", SECRET)
    for changed in _each_byte_changed(sealed):
        with pytest.raises(SecretDamaged):
            key.open(changed, SECRET)
    for changed in _each_byte_changed(wrapped.wrapped):
        with pytest.raises(SecretDamaged):
            store.unwrap(WrappedKey(wrapped.master_key_id, changed), **ROW)


def _each_byte_changed(text: bytes) -> Iterator[bytes]:
    for place in range(len(text)):
        changed = bytearray(text)
        changed[place] ^= 1
        yield bytes(changed)


@pytest.mark.parametrize("length", [0, 1, 12, 13, 20])
def test_a_cut_text_is_noticed(store: SecretStorePlugin, length: int) -> None:
    wrapped = store.new_key(**ROW)
    key = store.unwrap(wrapped, **ROW)
    with pytest.raises(SecretDamaged):
        key.open(key.seal(b"password", SECRET)[:length], SECRET)
    if length:
        with pytest.raises(SecretDamaged):
            store.unwrap(WrappedKey(wrapped.master_key_id, wrapped.wrapped[:length]), **ROW)


def test_a_key_is_not_taken_for_a_secret(store: SecretStorePlugin) -> None:
    wrapped = store.new_key(**ROW)
    as_secret = store.unwrap(WrappedKey(wrapped.master_key_id, b""), **ROW)
    with pytest.raises(SecretDamaged):
        store.unwrap(store.new_key(**ROW), **ROW).open(wrapped.wrapped, ROW["key_id"])
    assert "wrapped" not in repr(as_secret)


def test_another_master_key_does_not_open_it_and_is_named(
    make: Callable[[Path], SecretStorePlugin], tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = make(tmp_path / "one"), make(tmp_path / "two")
    wrapped = one.new_key(**ROW)
    assert two.new_key(**ROW).master_key_id != wrapped.master_key_id
    with pytest.raises(MasterKeyMissing) as caught:
        two.unwrap(wrapped, **ROW)
    assert caught.value.facts["key_id"] == wrapped.master_key_id


def test_a_new_master_key_seals_and_the_former_one_still_opens(store: SecretStorePlugin) -> None:
    former = store.new_key(**ROW)
    sealed = store.unwrap(former, **ROW).seal(b"password", SECRET)
    name = store.add_master_key()
    assert list(store.master_key_ids()) == [name, former.master_key_id]
    assert store.new_key(**ROW).master_key_id == name
    again = store.rewrap(former, **ROW)
    assert again.master_key_id == name
    assert store.unwrap(former, **ROW).open(sealed, SECRET) == b"password"
    assert store.unwrap(again, **ROW).open(sealed, SECRET) == b"password"


@pytest.mark.parametrize("other", sorted(STORES))
def test_a_key_goes_to_another_store_and_is_the_same(
    store: SecretStorePlugin, other: str, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    target, former = STORES[other](tmp_path / "other"), store.new_key(**ROW)
    sealed = store.unwrap(former, **ROW).seal(b"password", SECRET)
    moved = target.take_in(store.take_out(former, **ROW), **ROW)
    assert target.unwrap(moved, **ROW).open(sealed, SECRET) == b"password"
    assert moved.master_key_id in target.master_key_ids()
    with pytest.raises(MasterKeyMissing):
        store.take_out(moved, **ROW)
    with pytest.raises(SecretDamaged):
        store.take_out(former, **(ROW | {"key_id": "another"}))


def test_another_process_takes_up_a_new_master_key(
    make: Callable[[Path], SecretStorePlugin], tmp_path: Path
) -> None:
    running, tool = make(tmp_path), make(tmp_path)
    name = tool.add_master_key()
    wrapped = tool.new_key(**ROW)
    running.unwrap(wrapped, **ROW)
    assert running.new_key(**ROW).master_key_id == name


def test_a_dropped_master_key_opens_nothing(
    make: Callable[[Path], SecretStorePlugin], tmp_path: Path
) -> None:
    store = make(tmp_path)
    former = store.new_key(**ROW)
    store.add_master_key()
    again = store.rewrap(former, **ROW)
    store.drop_master_key(former.master_key_id)
    assert list(store.master_key_ids()) == [again.master_key_id]
    with pytest.raises(MasterKeyMissing):
        make(tmp_path).unwrap(former, **ROW)
    make(tmp_path).unwrap(again, **ROW)


def test_the_newest_master_key_cannot_be_dropped(store: SecretStorePlugin) -> None:
    for name in (*store.master_key_ids(), "unknown"):
        with pytest.raises(ConfigurationError):
            store.drop_master_key(name)


def test_what_a_master_key_sealed_itself_opens(tmp_path: Path) -> None:
    """Secrets of the first days: made as they were, byte for byte."""
    master = bytes(range(32))
    nonce = bytes(12)
    sealed = (
        b"\x01"
        + nonce
        + AESGCM(master).encrypt(nonce, b"password", b"\x01" + b"\0".join((SECRET.encode(), b"service")))
    )
    direct = CryptoStore(master).unwrap(WrappedKey(name_of(master), b""), **ROW)
    assert direct.open(sealed, SECRET) == b"password"


# --- the master key's file ---


def test_a_made_key_is_private_and_32_bytes(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    assert make_master_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [len(key) for key in read_master_keys(path)] == [32]
    assert [entry.name for entry in tmp_path.iterdir()] == ["master.key"]


def test_making_again_keeps_the_key(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    make_master_key(path)
    [key] = read_master_keys(path)
    assert not make_master_key(path)
    assert read_master_keys(path) == [key]


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
    assert read_master_keys(path) == [key]


@pytest.mark.parametrize("content", [b"", b"short", b"=" * 44, base64.b64encode(bytes(31)), bytes(33)])
def test_a_file_without_a_key_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="master.key"):
        read_master_keys(path)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o620, 0o777])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "master.key"
    make_master_key(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="0600"):
        read_master_keys(path)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="master.key: No such file"):
        CryptoStore.from_options({"master_key_file": str(tmp_path / "master.key")})


def test_keys_are_added_before_the_others_and_dropped(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    make_master_key(path)
    path.chmod(0o640)
    [first] = read_master_keys(path)
    names = [add_master_key(path), add_master_key(path)]
    assert [name_of(key) for key in read_master_keys(path)] == [*reversed(names), name_of(first)]
    drop_master_key(path, names[0])
    assert [name_of(key) for key in read_master_keys(path)] == [names[1], name_of(first)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["master.key"]


def test_of_keys_added_at_once_none_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    make_master_key(path)
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda _: add_master_key(path), range(16)))
    assert {name_of(key) for key in read_master_keys(path)} > set(names)
    assert len(read_master_keys(path)) == 17


# --- a hardware security module ---


def test_what_the_module_needs_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="pkcs11_library"):
        Pkcs11Store.from_options({})
    pin = tmp_path / "pin"
    pin.write_text("1234")
    pin.chmod(0o644)
    options = {"pkcs11_library": "/nowhere.so", "pkcs11_token": "t", "pkcs11_pin_file": str(pin)}
    with pytest.raises(ConfigurationError, match="0600"):
        Pkcs11Store.from_options(options)


def test_a_module_that_is_not_there_is_only_away(tmp_path: Path) -> None:
    pin = tmp_path / "pin"
    pin.write_text("1234")
    pin.chmod(0o600)
    options = {"pkcs11_library": "/nowhere.so", "pkcs11_token": "t", "pkcs11_pin_file": str(pin)}
    with pytest.raises(ModuleUnavailable):
        Pkcs11Store.from_options(options).new_key(**ROW)


def test_a_token_without_a_key_says_so_and_gets_one(tmp_path: Path) -> None:
    store = softhsm(tmp_path, first=False)
    assert list(store.master_key_ids()) == []
    with pytest.raises(MasterKeyMissing):
        store.new_key(**ROW)
    name = store.add_master_key()
    assert store.new_key(**ROW).master_key_id == name


def test_a_wrong_pin_opens_nothing(tmp_path: Path) -> None:
    softhsm(tmp_path)._token._close()  # who is logged in already is not asked again
    (tmp_path / "pin").write_text("4321")
    with pytest.raises(ModuleUnavailable):
        softhsm(tmp_path).new_key(**ROW)


def test_a_session_that_was_lost_is_opened_anew(tmp_path: Path) -> None:
    store = softhsm(tmp_path)
    wrapped = store.new_key(**ROW)
    store._token._session.close()
    store.unwrap(wrapped, **ROW)


def test_a_module_that_crashes_under_several_threads_is_called_by_one(tmp_path: Path) -> None:
    """Several stores may be of one module. The library of SoftHSM2 ends the process when they do not take
    turns."""
    wrapped = softhsm(tmp_path).new_key(**ROW)

    def work(number: int) -> None:
        store = softhsm(tmp_path)
        for _ in range(100):
            store.unwrap(store.rewrap(wrapped, **ROW) if number % 2 else wrapped, **ROW)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))


def test_a_lost_session_in_the_middle_of_a_look_is_no_error(tmp_path: Path) -> None:
    """Names of keys are asked of the module while its session is there, not when somebody reads them."""
    store = softhsm(tmp_path)
    names = list(store.master_key_ids())
    for _ in range(2):
        ctypes.CDLL(str(LIBRARY)).C_CloseAllSessions(ctypes.c_ulong(_slot(store)))
        assert list(store.master_key_ids()) == names


@pytest.fixture
def two(tmp_path: Path) -> tuple[Pkcs11Store, Pkcs11Store]:
    """Stores of one library, with a token each."""
    for name in "ab":
        (tmp_path / name).mkdir()
    return softhsm(tmp_path / "a"), softhsm(tmp_path / "b")


@pytest.mark.parametrize("first", [0, 1])
def test_a_library_that_is_begun_anew_shows_nobody_the_token_of_another(
    two: tuple[Pkcs11Store, Pkcs11Store], first: int
) -> None:
    """Sessions are numbered anew then, so that of one store may be what that of the other was."""
    for store in two:
        store._token._close()
    names = [list(store.master_key_ids()) for store in (two[first], two[1 - first])]
    for store in two:
        store._token._do(store._token._find, anew=True)
        assert [list(each.master_key_ids()) for each in (two[first], two[1 - first])] == names


def test_a_store_that_has_no_key_yet_takes_no_session_from_another(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    full, empty = softhsm(tmp_path / "a"), softhsm(tmp_path / "b", first=False)
    names = list(full.master_key_ids())
    for _ in range(3):
        assert list(empty.master_key_ids()) == []
        assert list(full.master_key_ids()) == names


def test_where_one_session_is_lost_all_are_opened_anew(two: tuple[Pkcs11Store, Pkcs11Store]) -> None:
    wrapped = [store.new_key(**ROW) for store in two]
    two[0]._token._session.close()
    lost = two[1]._token._session
    for store, key in zip(two, wrapped, strict=True):
        store.unwrap(key, **ROW)
    assert two[1]._token._session is not lost


def _slot(store: Pkcs11Store) -> int:
    token = store._token
    return int(token._library.loaded().get_token(token_label=token._token_label).slot.slot_id)
