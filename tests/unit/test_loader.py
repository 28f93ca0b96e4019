"""Plug-ins by name: what is let in, and what is said of the rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from textwrap import dedent

import pytest

from protectd.common.errors import ConfigurationError
from protectd.plugin.auth.keystone import KeystoneAuth
from protectd.plugin.auth.noauth import NoAuth
from protectd.plugin.auth.token import TokenAuth
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.plugin.banks.memory import MemoryBank
from protectd.plugin.loader import AUTH, BANKS, PROTECTABLES, PROTECTIONS, SECRET_STORES, Loader, load, make
from protectd.plugin.protectables.directory import DirectoryProtectable
from protectd.plugin.protections.directory import DirectoryProtection
from protectd.plugin.secret_stores.crypto import CryptoStore

OWN = [
    (BANKS, "filesystem", FilesystemBank),
    (BANKS, "memory", MemoryBank),
    (PROTECTABLES, "directory", DirectoryProtectable),
    (PROTECTIONS, "directory", DirectoryProtection),
    (SECRET_STORES, "crypto", CryptoStore),
    (AUTH, "token", TokenAuth),
    (AUTH, "noauth", NoAuth),
    (AUTH, "keystone", KeystoneAuth),
]


@pytest.mark.parametrize(("namespace", "name", "expected"), OWN)
def test_each_plugin_of_the_package_is_found_by_its_name(namespace: str, name: str, expected: type) -> None:
    assert load(namespace, name, [name]) is expected


@pytest.mark.parametrize(("namespace", "name", "expected"), OWN)
def test_what_is_not_on_the_list_is_not_even_looked_for(namespace: str, name: str, expected: type) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(namespace, name, ["other"])
    assert caught.value.facts["where"] == f"plug-in {name!r} of {namespace}"
    assert "allow-list (other)" in caught.value.facts["reason"]


def test_a_loader_has_a_list_for_each_namespace() -> None:
    loader = Loader({BANKS: ["memory"]})
    assert loader.load(BANKS, "memory") is MemoryBank
    for namespace, name in ((BANKS, "filesystem"), (AUTH, "token")):
        with pytest.raises(ConfigurationError):
            loader.load(namespace, name)


def test_a_plugin_that_is_not_installed_is_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(BANKS, "tape", ["tape"])
    assert str(caught.value) == "plug-in 'tape' of protectd.banks: no installed package has it"


REFUSALS = {
    "missing": "entry point faulty_missing:Bank cannot be loaded: ModuleNotFoundError",
    "broken": "entry point faulty_broken:Bank cannot be loaded: RuntimeError: no driver for this tape",
    "asserting": "AssertionError: never",
    "nameless": "entry point faulty:Nothing cannot be loaded: AttributeError",
    "foreign": "is no BankPlugin",
    "unfinished": "Unfinished lacks delete, from_options, get, list, put, read_into, section, size",
    "memory": "several installed packages have it",
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What a process with an installed package of faulty banks says of each: where, and the reason."""
    site = tmp_path_factory.mktemp("site")
    info = site / "faulty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        dedent("""\
        [protectd.banks]
        missing = faulty_missing:Bank
        broken = faulty_broken:Bank
        asserting = faulty_asserting:Bank
        nameless = faulty:Nothing
        foreign = faulty:Foreign
        unfinished = faulty:Unfinished
        memory = faulty:Foreign
        """)
    )
    (site / "faulty_broken.py").write_text("raise RuntimeError('no driver for this tape')\n")
    (site / "faulty_asserting.py").write_text("assert False, 'never'\n")
    (site / "faulty.py").write_text(
        dedent("""\
        from protectd.plugin.base import BankPlugin

        class Foreign:
            pass

        class Unfinished(BankPlugin):
            def prepare(self):
                pass
        """)
    )
    (site / "ask.py").write_text(
        dedent("""\
        import json, sys
        from protectd.common.errors import ConfigurationError
        from protectd.plugin.loader import load

        told = {}
        for name in sys.argv[1:]:
            try:
                load("protectd.banks", name, sys.argv[1:])
            except ConfigurationError as error:
                told[name] = [error.facts["where"], error.facts["reason"]]
        print(json.dumps(told))
        """)
    )
    path = os.pathsep.join([str(site), *filter(None, sys.path)])
    environment = os.environ | {"PYTHONPATH": path, "XDG_CACHE_HOME": str(site / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "ask", *REFUSALS], env=environment, check=True, capture_output=True
    )
    told: dict[str, list[str]] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("name", REFUSALS)
def test_a_plugin_that_cannot_be_used_is_named_with_the_reason(
    refusals: dict[str, list[str]], name: str
) -> None:
    where, reason = refusals[name]
    assert where == f"plug-in {name!r} of protectd.banks"
    assert REFUSALS[name] in reason


def test_an_error_while_a_plugin_is_made_says_where() -> None:
    def build() -> None:
        raise KeyError("path")

    with pytest.raises(ConfigurationError, match="here: KeyError: 'path'"):
        make(build, "here")


def test_a_plugins_own_words_are_kept_and_the_place_is_added() -> None:
    def build() -> None:
        raise ConfigurationError(where="there", reason="of its own")

    with pytest.raises(ConfigurationError, match="here: there: of its own"):
        make(build, "here")
