"""The units that are shipped, as systemd reads them."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

from protectd.conf.places import shipped
from tests.fakes.servers import need_program

UNITS = sorted(shipped("systemd").glob("*.service"))
EXPOSED = {"protectd-api": 20, "protectd-engine": 20, "protectd-worker": 40, "protectd": 40}
"""Tenths of systemd's measure of exposure, from 0 to 100; without any hardening it is 96. A worker writes
anywhere as root."""


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [need_program("systemd-analyze"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def installed(unit: Path, place: Path) -> Path:
    """The unit with a program that is there."""
    made = place / unit.name
    made.write_text(
        unit.read_text().replace("ExecStart=/usr/bin/protectd", f"ExecStart={sys.executable} -m x")
    )
    return made


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_understands_every_line(unit: Path, tmp_path: Path) -> None:
    done = analyze("verify", "--man=no", installed(unit, tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_no_more_exposed_than_its_work_needs(unit: Path, tmp_path: Path) -> None:
    limit = f"--threshold={EXPOSED[unit.stem]}"
    done = analyze("security", "--offline=true", limit, installed(unit, tmp_path))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_watched_and_may_end_in_peace(unit: Path) -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.read(unit)
    service = parser["Service"]
    assert service["Type"] == "notify" and service["Restart"] == "on-failure"
    assert service["ExecStart"].split()[0] == f"/usr/bin/{unit.stem}"
    assert int(service["WatchdogSec"]) >= 30
    assert int(service["TimeoutStopSec"]) > 10, "a daemon ends within ten seconds"
    assert service["KillMode"] == "mixed", "children end with their parent, in its order"
