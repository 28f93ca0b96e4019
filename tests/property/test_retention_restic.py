"""restic forgets by rules of the same names: what it keeps of forged times is what is kept here."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from protectd.domain.retention import Candidate, RetentionRules, plan
from protectd.vault.pack import TREE
from protectd.vault.repository import SNAPSHOTS, Repository
from tests.fakes.vault_kit import Restic, blob_id, file_vault, store_pack, tree_of

ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Chatham")
NOW = datetime(2026, 11, 25, tzinfo=UTC)
STEPS_H = (0.4, 1, 7, 24, 50, 24 * 20)
"""Hours between two of a history, on the average."""

POLICIES: tuple[dict[str, Any], ...] = (
    {"last": 5},
    {"hourly": 10},
    {"daily": 7},
    {"weekly": 5},
    {"monthly": 6},
    {"yearly": 3},
    {"daily": 7, "weekly": 4, "monthly": 12, "yearly": 2},
    {"last": 3, "hourly": 6, "daily": 3},
    {"monthly": 1000},
    {"within": "30d"},
    {"within": "1y2m3d4h"},
    {"within": "36h", "weekly": 3},
)


def history(seed: int, zone: str) -> list[datetime]:
    """Moments that each clock shows once, the newest early in its month, so that all months reach so far."""
    lots = random.Random(seed)
    moment, found = datetime(2026, 11, lots.randint(2, 20), tzinfo=UTC), []
    for _ in range(60):
        moment -= timedelta(hours=lots.expovariate(1 / STEPS_H[seed % len(STEPS_H)]), microseconds=7)
        local = moment.astimezone(ZoneInfo(zone))
        if local.replace(fold=0).utcoffset() == local.replace(fold=1).utcoffset():
            found.append(local)
    return found


HISTORIES = {
    f"{zone}-{seed}": history(seed, zone)
    for zone_number, zone in enumerate(ZONES)
    for seed in range(zone_number * 6, zone_number * 6 + 6)
}


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("retention") / "vault"
    repository = file_vault(path)
    tree = tree_of()
    store_pack(repository, [(TREE, tree)])
    for name, moments in HISTORIES.items():
        for moment in moments:
            _forge(repository, tree, name, moment)
    return path


def _forge(repository: Repository, tree: bytes, host: str, moment: datetime) -> None:
    fields = {"time": moment.isoformat(), "tree": blob_id(tree).hex(), "paths": ["/"], "hostname": host}
    repository.save_unpacked(SNAPSHOTS, json.dumps(fields).encode())


def said_by_restic(restic: str, vault: Path, policy: dict[str, Any]) -> dict[str, set[datetime]]:
    words = [word for name, value in policy.items() for word in (f"--keep-{name}", str(value))]
    groups = json.loads(Restic(restic, vault)("forget", "--dry-run", "--json", *words))
    return {
        group["host"]: {datetime.fromisoformat(each["time"]) for each in group["keep"]} for group in groups
    }


def said_here(moments: list[datetime], zone: str, policy: dict[str, Any]) -> set[datetime]:
    definition = {f"keep_{name}": value for name, value in policy.items()}
    rules = RetentionRules.parse(definition | {"keep_verified": 0}, "")
    candidates = [Candidate(str(number), moment) for number, moment in enumerate(moments)]
    verdicts = plan(candidates, rules, NOW, ZoneInfo(zone))
    return {each.candidate.taken_at for each in verdicts if each.action == "keep"}


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_keeps_what_restic_keeps(restic: str, vault: Path, policy: dict[str, Any]) -> None:
    kept = said_by_restic(restic, vault, policy)
    assert kept.keys() == HISTORIES.keys()
    for name, moments in HISTORIES.items():
        zone = name.rpartition("-")[0]
        if zone != "UTC" and "within" in policy:
            continue  # restic counts months by the offset of the newest, not by the clocks of its zone
        assert said_here(moments, zone, policy) == kept[name], name
