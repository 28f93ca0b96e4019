"""What a child of the engine arranges for itself."""

from __future__ import annotations

import subprocess
import sys
import weakref

import pytest

from protectd.vault import host

_GROUPS = """
import ctypes, resource, sys
from protectd.vault import host

if not hasattr(ctypes.CDLL(None), "mallopt"):
    sys.exit("no mallopt")
host.keep_memory()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    group = [b"x" * (1 << 20) for _ in range(8)]
    del group
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = faults()
print(first, *(faults() for _ in range(5)))
host.give_back_memory()
print(faults())
"""


def test_pages_of_one_group_of_blobs_are_used_for_the_next_and_given_back_at_the_end() -> None:
    done = subprocess.run([sys.executable, "-c", _GROUPS], capture_output=True, text=True, check=False)
    if done.stderr.strip() == "no mallopt":
        pytest.skip("not the allocator of glibc")
    assert done.returncode == 0, done.stderr
    first, *others, last = map(int, done.stdout.split())
    assert first > 8 * 200  # pages of 4 KiB; fewer would show nothing
    assert max(others) < first / 10
    assert last > first / 2  # they were given back


def test_a_planner_that_refers_to_itself_does_not_outlive_its_role() -> None:
    class Planner:
        def __init__(self) -> None:
            self.itself = self

    planner = Planner()
    gone = weakref.finalize(planner, lambda: None)
    del planner
    host.give_back_memory()
    assert not gone.alive
