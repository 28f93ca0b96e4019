"""The comparison at the end of a try: it misses nothing, and blames no copy for a source that moved on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from protectd.client.compare import compare, photograph
from tests.fakes.tree import build_hard_tree


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    build_hard_tree(tmp_path / "left")
    subprocess.run(["cp", "-a", str(tmp_path / "left"), str(tmp_path / "right")], check=True)
    return str(tmp_path / "left"), str(tmp_path / "right")


def test_a_faithful_copy_is_the_same(pair: tuple[str, str]) -> None:
    result = compare(*pair, photograph(pair[0], ""), "")
    assert result.differences == [] and result.unsettled == []
    assert result.files > 50 and result.size_bytes > 10_000_000


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("rm 'names/plain.txt'", "names/plain.txt: is missing in the copy"),
        ("touch extra", "extra: is missing in the source"),
        ("chmod 600 modes/file-755", "modes/file-755: mode 600 is not 755"),
        ("touch -d 2001-01-01 sizes/random-31", "sizes/random-31: time"),
        (
            "ln -sf elsewhere links/dangling; touch -h -r ../left/links/dangling links/dangling",
            "another target",
        ),
        ("rm links/second; cp -a links/first links/second", "is not linked to the same names"),
        (
            "printf X | dd of=sizes/random-4096 conv=notrunc status=none;"
            "touch -r ../left/sizes/random-4096 sizes/random-4096",
            "sizes/random-4096: the bytes differ",
        ),
    ],
)
def test_what_a_copy_lost_is_a_difference(pair: tuple[str, str], damage: str, told: str) -> None:
    before = photograph(pair[0], "")
    subprocess.run(["sh", "-c", damage], cwd=pair[1], check=True)
    assert any(told in line for line in compare(*pair, before, "").differences)


def test_what_changed_in_the_source_since_is_not_held_against_the_copy(pair: tuple[str, str]) -> None:
    before = photograph(pair[0], "")
    Path(pair[0], "sizes", "random-31").write_bytes(b"new")
    Path(pair[0], "born").write_bytes(b"new")
    os.unlink(os.path.join(pair[0], "sizes", "random-1"))
    result = compare(*pair, before, "")
    assert result.differences == []
    assert {line.split(":")[0] for line in result.unsettled} >= {"sizes/random-31", "born", "sizes/random-1"}


def test_the_run_s_own_directory_is_left_out(pair: tuple[str, str]) -> None:
    own = os.path.join(pair[0], "own")
    before = photograph(pair[0], own)
    os.makedirs(os.path.join(own, "state"))
    result = compare(*pair, before, own)
    assert result.differences == [] and [line.split(":")[0] for line in result.unsettled] == ["."]
