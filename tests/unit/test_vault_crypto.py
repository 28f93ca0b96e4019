from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB
from cryptography.hazmat.primitives.poly1305 import Poly1305

from protectd.vault.crypto import MasterKey, Sealer
from protectd.vault.errors import UnitDamaged

LENGTHS = [0, 1, 15, 16, 17, 4096, 100_000]


@pytest.fixture
def key() -> MasterKey:
    return MasterKey.generate()


@pytest.mark.parametrize("length", LENGTHS)
def test_a_unit_is_32_bytes_longer_and_opens_to_what_was_sealed(key: MasterKey, length: int) -> None:
    plain = os.urandom(length)
    sealer = Sealer(key)
    unit = sealer.seal(plain)
    assert len(unit) == length + 32
    assert Sealer(key).open(unit) == plain
    out = memoryview(bytearray(length + 16))
    assert sealer.open_into(unit, out) == length
    assert out[:length] == plain


def test_a_unit_is_aes_ctr_and_poly1305_aes_to_the_letter(key: MasterKey) -> None:
    unit = Sealer(key).seal(b"some plain text")
    nonce, cipher_text, tag = unit[:16], unit[16:-16], unit[-16:]
    pad = Cipher(AES(key.mac_k), ECB()).encryptor().update(nonce)
    assert Cipher(AES(key.encrypt), CTR(nonce)).decryptor().update(cipher_text) == b"some plain text"
    Poly1305.verify_tag(key.mac_r + pad, cipher_text, tag)


def test_sealing_writes_no_byte_beyond_the_unit(key: MasterKey) -> None:
    out = memoryview(bytearray(b"\xaa" * 100))
    assert Sealer(key).seal_into(b"x" * 20, out) == 52
    assert out[52:] == b"\xaa" * 48


def test_sealing_works_in_place_where_the_plain_bytes_stand_16_bytes_into_the_unit(key: MasterKey) -> None:
    out = memoryview(bytearray(16 + 50 + 16))
    out[16:66] = b"y" * 50
    sealer = Sealer(key)
    sealer.seal_into(out[16:66], out)
    assert sealer.open(out) == b"y" * 50


def test_no_nonce_comes_twice_beyond_one_block_of_them(key: MasterKey) -> None:
    sealer = Sealer(key)
    nonces = {sealer.seal(b"")[:16] for _ in range(5000)}
    assert len(nonces) == 5000


def test_a_forked_child_does_not_use_its_parents_nonces(key: MasterKey) -> None:
    sealer = Sealer(key)
    sealer.seal(b"")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, sealer.seal(b"")[:16])
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 16) != sealer.seal(b"")[:16]
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("place", range(48))
def test_one_changed_bit_anywhere_is_refused(key: MasterKey, place: int) -> None:
    unit = bytearray(Sealer(key).seal(b"sixteen bytes ok"))
    unit[place] ^= 1
    with pytest.raises(UnitDamaged, match="tag"):
        Sealer(key).open(unit)


def test_another_key_is_refused(key: MasterKey) -> None:
    with pytest.raises(UnitDamaged):
        Sealer(MasterKey.generate()).open(Sealer(key).seal(b"text"))


@pytest.mark.parametrize("unit", [b"", b"x" * 31, bytes(40)])
def test_what_is_too_short_or_has_no_nonce_is_refused(key: MasterKey, unit: bytes) -> None:
    with pytest.raises(UnitDamaged):
        Sealer(key).open(unit)


def test_a_key_shows_nothing_of_itself_and_is_never_all_zero(key: MasterKey) -> None:
    assert repr(key) == "MasterKey()"
    with pytest.raises(UnitDamaged):
        MasterKey(bytes(32), key.mac_k, key.mac_r)
    with pytest.raises(UnitDamaged):
        MasterKey(key.encrypt[:31], key.mac_k, key.mac_r)
