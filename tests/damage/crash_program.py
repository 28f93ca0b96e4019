"""What the crash sweep kills: operations on vaults in directories, each acknowledged by a line at its end.

`python -m tests.damage.crash_program TOP OPERATION NUMBER MOMENT` dies at that change of a bank.
`python -m tests.damage.crash_program TOP all` runs all, and keeps what each begins with in `TOP/before/NAME`.
The vaults lie in `TOP/banks`, the source in `TOP/source`.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.vault.engine import VaultEngine
from tests.fakes.numbered_bank import Death, NumberedBank
from tests.fakes.vault_kit import new_vault
from tests.fakes.vault_script import OPERATIONS, OPTIONS, Stage


def run_all(top: Path) -> None:
    """Each with a journal of its own, `TOP/journals/NAME`."""
    new_vault(FilesystemBank(top / "banks/there"))
    (top / "journals").mkdir()
    engine = VaultEngine(OPTIONS)
    for name in OPERATIONS:
        shutil.copytree(top / "banks", top / "before" / name, copy_function=os.link)
        run(top, engine, name, top / "journals" / name)


def run(top: Path, engine: VaultEngine, name: str, journal: Path, death: Death | None = None) -> None:
    stage = Stage(top / "source", engine, lambda vault: NumberedBank(top / "banks" / vault, journal, death))
    OPERATIONS[name](stage)
    print(name, flush=True)


if __name__ == "__main__":
    if sys.argv[2] == "all":
        run_all(Path(sys.argv[1]))
    else:
        top, death = Path(sys.argv[1]), Death(int(sys.argv[3]), sys.argv[4])
        run(top, VaultEngine(OPTIONS), sys.argv[2], top / "journal", death)
