"""How long it takes to seal the keys of many projects anew.

python -m tests.benchmarks.rewrap --help
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from protectd.domain.key_rotation import MasterKeys
from protectd.domain.project_keys import ProjectKeys
from protectd.model import migrate
from protectd.model.models import ProjectKeyRow
from protectd.model.unit_of_work import Database
from protectd.plugin.secret_stores.crypto import CryptoStore

BATCH = 2000


def fill(database: Database, store: CryptoStore, count: int) -> None:
    for start in range(0, count, BATCH):
        with database.write() as uow:
            for number in range(start, min(start + BATCH, count)):
                id = f"{number:036d}"
                made = store.new_key(key_id=id, project_id=f"project-{number}")
                uow.session.add(
                    ProjectKeyRow(
                        id=id,
                        project_id=f"project-{number}",
                        store="crypto",
                        master_key_id=made.master_key_id,
                        wrapped=made.wrapped,
                    )
                )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument(
        "--database", metavar="URL", help="an empty one (default: SQLite in a temporary place)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        url = arguments.database or f"sqlite:///{Path(folder, 'protectd.db')}"
        migrate.upgrade(url)
        database = Database(url)
        former, newest = os.urandom(32), os.urandom(32)
        fill(database, CryptoStore(former), arguments.keys)
        keys = MasterKeys(database, ProjectKeys({"crypto": CryptoStore(newest, former)}), "crypto")
        began, used = time.monotonic(), time.process_time()
        done = keys.rewrap()
        wall, cpu = time.monotonic() - began, time.process_time() - used
        assert (done.project_keys, done.damaged) == (arguments.keys, [])
        print(
            f"{done.project_keys} keys of projects sealed anew in {wall:.1f} s, {cpu:.1f} s of processor time"
        )
        database.dispose()


if __name__ == "__main__":
    main()
