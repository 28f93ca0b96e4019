from __future__ import annotations

import orjson
import pytest

from protectd.vault.config import VaultConfig, decode_config, is_irreducible
from protectd.vault.errors import FormatError, UnsupportedVault


def test_a_new_config_reads_back_and_hides_its_polynomial() -> None:
    config = VaultConfig.generate()
    assert decode_config(config.encode()) == config
    assert f"{config.polynomial}" not in repr(config)
    assert list(orjson.loads(config.encode())) == ["version", "id", "chunker_polynomial"]


def test_polynomials_are_told_apart_by_their_factors() -> None:
    known = 0x3DA3358B4DC173  # from the documentation of restic's chunker
    assert is_irreducible(known)
    assert not is_irreducible(known ^ 0b1000)
    assert not is_irreducible(1 << 53 | 1), "x^53 + 1 has the factor x + 1"
    assert not is_irreducible(0b111), "of another degree"


def test_another_version_is_refused_by_its_number() -> None:
    fields = orjson.loads(VaultConfig.generate().encode())
    with pytest.raises(UnsupportedVault) as caught:
        decode_config(orjson.dumps(fields | {"version": 3}))
    assert caught.value.facts == {"version": 3}


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "abc"},
        {"id": 5},
        {"chunker_polynomial": "0"},
        {"chunker_polynomial": "x"},
        {"chunker_polynomial": None},
    ],
)
def test_a_config_with_an_impossible_field_is_refused(changes: dict[str, object]) -> None:
    fields = orjson.loads(VaultConfig.generate().encode())
    with pytest.raises(FormatError):
        decode_config(orjson.dumps(fields | changes))


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"\x00"])
def test_rubbish_is_refused(raw: bytes) -> None:
    with pytest.raises(FormatError):
        decode_config(raw)
