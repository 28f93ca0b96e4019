"""SoftHSM2 in place of a hardware security module. Use with `pytest_plugins` and the fixture `tokens`."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from protectd.plugin.secret_stores.pkcs11 import Pkcs11Store

LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "1234"
MOST_TOKENS = 250
"""More than all tests need, should one process run them all."""
TOKENS = itertools.count()


def need_library() -> None:
    if not LIBRARY.exists():
        assert not os.environ.get("CI"), "SoftHSM2 is not installed"
        pytest.skip("SoftHSM2 is not installed")


def make_token(label: str, environment: dict[str, str]) -> None:
    words = ["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "5678"]
    told = os.environ | environment
    subprocess.run(["softhsm2-util", *words], check=True, capture_output=True, env=told)


def configure(place: Path) -> dict[str, str]:
    """Environment in which the library keeps its tokens below a directory."""
    conf = place / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {place}\nobjectstore.backend = file\n")
    return {"SOFTHSM2_CONF": str(conf)}


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tokens of this process: the library reads its configuration once, and looks for tokens when it
    begins."""
    environment = configure(tmp_path_factory.mktemp("tokens"))
    with pytest.MonkeyPatch.context() as patched:
        for name, value in environment.items():
            patched.setenv(name, value)
        for number in range(MOST_TOKENS if LIBRARY.exists() else 0):
            make_token(f"token {number}", environment)
        yield


def softhsm(directory: Path, *, first: bool = True) -> Pkcs11Store:
    """A token for each directory, with one master key."""
    need_library()
    pin, token = directory / "pin", directory / "token"
    new = not token.exists()
    if new:
        token.write_text(f"token {next(TOKENS)}")
        pin.write_text(PIN)
        pin.chmod(0o600)
    store = Pkcs11Store.from_options(
        {"pkcs11_library": str(LIBRARY), "pkcs11_token": token.read_text(), "pkcs11_pin_file": str(pin)}
    )
    if new and first:
        store.add_master_key()
    return store
