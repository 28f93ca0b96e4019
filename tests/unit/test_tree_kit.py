"""The test kit itself: a copy that loses something is found out."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.fakes.tree import build_hard_tree, differences, tree


def copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def test_a_faithful_copy_has_no_differences(tmp_path: Path) -> None:
    build_hard_tree(tmp_path / "left")
    copy(tmp_path / "left", tmp_path / "right")
    assert differences(tree(tmp_path / "left"), tree(tmp_path / "right")) == []


def test_what_a_copy_loses_is_named(tmp_path: Path) -> None:
    build_hard_tree(tmp_path / "left")
    copy(tmp_path / "left", tmp_path / "right")
    shutil.rmtree(tmp_path / "right" / "names" / "dplain.txt")
    os.chmod(tmp_path / "right" / "modes" / "file-600", 0o601)
    lines = "\n".join(differences(tree(tmp_path / "left"), tree(tmp_path / "right")))
    assert "only left: b'names/dplain.txt'" in lines
    assert "mode 384 is not 385" in lines
