"""Issue 3, point 6 (c): a tree of files up to 512 KiB gives the same tree id as restic gives it."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protectd.common.units import KIB
from protectd.vault.engine import VaultEngine
from protectd.vault.options import EngineOptions
from protectd.vault.pack import TREE
from protectd.vault.repository import BlobReader
from protectd.vault.tree import decode_tree
from tests.fakes.engines import Rig
from tests.fakes.vault_kit import Restic

NAMES = st.one_of(
    st.binary(min_size=1, max_size=60),
    st.text(min_size=1, max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")),
).filter(lambda name: name not in (b".", b"..") and b"/" not in name and b"\0" not in name)
LENGTHS = st.integers(0, 5_000) | st.sampled_from([512 * KIB - 1, 512 * KIB])
MODES = st.integers(0, 0o777).map(lambda mode: mode | 0o400)
MOMENTS = st.integers(-(2**61), 2**61)
FILES = st.tuples(LENGTHS, MODES, MOMENTS)
FOLDERS = st.dictionaries(NAMES, st.dictionaries(NAMES, FILES, max_size=4), max_size=3)
Files = Mapping[bytes, tuple[int, int, int]]


def write(top: bytes, files: Files, chance: random.Random) -> None:
    os.mkdir(top)
    for name, (length, mode, moment) in files.items():
        path = os.path.join(top, name)
        with open(path, "wb") as file:
            file.write(chance.randbytes(length) if chance.random() < 0.7 else bytes(length))
        os.chmod(path, mode)
        os.utime(path, ns=(moment, moment))


def tree_of_source(rig: Rig, root_id: str) -> bytes:
    """Not of the directories above it, which may change at any time."""
    reader = BlobReader(rig.repository, rig.repository.load_index())
    found = bytes.fromhex(root_id)
    for part in rig.source.parts[1:]:
        inner = {node.name: node for node in decode_tree(reader.load(TREE, found))}
        found = inner[os.fsencode(part)].subtree or b""
    return found


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(FOLDERS, st.integers())
def test_it_is_the_id_that_restic_gives_it(restic: str, folders: Mapping[bytes, Files], seed: int) -> None:
    chance = random.Random(seed)
    with TemporaryDirectory() as top:
        rig = Rig(VaultEngine(EngineOptions(node="test", workers=1, in_process=True)), Path(top))
        for name, files in folders.items():
            write(os.path.join(os.fsencode(rig.source), name), files, chance)
        saved = rig.save()
        Restic(restic, rig.top / "vault")("backup", "--force", "--host", "other", str(rig.source))
        (theirs,) = (each for each in rig.session.snapshots() if each.id != saved.snapshot_id)
        assert tree_of_source(rig, theirs.tree) == tree_of_source(rig, saved.tree_id)
