"""protectd-engine whose second round never ends."""

from __future__ import annotations

import sys
import threading
from functools import cached_property

from protectd.cmd import engine, foundation
from protectd.cmd.build import Parts
from protectd.engine.service import EngineService


class Hanging(EngineService):
    def __init__(self, whole: EngineService) -> None:
        rounds = iter([lambda: None])
        super().__init__([*whole._chores, lambda: next(rounds, threading.Event().wait)()], 0.2)


def main() -> int:
    foundation.HUNG_S = 1.0
    whole = Parts.engine
    Parts.engine = cached_property(lambda made: Hanging(whole.func(made)))  # type: ignore[method-assign,misc]
    Parts.engine.__set_name__(Parts, "engine")
    return engine.main()


if __name__ == "__main__":
    sys.exit(main())
