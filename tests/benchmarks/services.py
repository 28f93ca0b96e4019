"""The sides of a comparison, each on a database and a part of the broker of its own."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from tests.benchmarks.barbican import Barbican
from tests.benchmarks.history import add_history
from tests.benchmarks.installation import Protectd, Setting
from tests.benchmarks.timings import throughput
from tests.fakes.brokers import silent_broker, unreachable_broker
from tests.fakes.servers import RABBITMQ, own_bus, own_mariadb, own_postgresql

P = TypeVar("P", bound=Protectd)


class Sides:
    """Each made when it is first asked for."""

    def __init__(self, arguments: argparse.Namespace, base: Path, stack: ExitStack) -> None:
        self._arguments = arguments
        self._base = base
        self._stack = stack

    @cached_property
    def barbican(self) -> Barbican:
        database = self._stack.enter_context(own_mariadb())
        made = Barbican(self._place("barbican"), self._arguments.cache, database, RABBITMQ)
        self._stack.callback(made.clean)
        self._stack.callback(made.watch.close)
        return made

    @cached_property
    def protectd(self) -> Protectd:
        return self._protectd("protectd")

    @cached_property
    def guarded(self) -> Protectd:
        return self._protectd("protectd, guarded", guarded=True)

    @cached_property
    def on_postgresql(self) -> Protectd:
        return self._protectd("protectd, PostgreSQL", postgresql=True)

    @cached_property
    def waiting(self) -> Protectd:
        return self._protectd("protectd, waiting tasks", plugin="waiting", handler="default")

    @cached_property
    def with_history(self) -> Protectd:
        made = self._protectd("protectd, long history")
        with made.running():
            throughput(made, made.warm_up, 1)
        add_history(made.setting.database, self._arguments.history)
        return made

    @cached_property
    def with_broker(self) -> Protectd:
        """Its queues are there, and nobody reads them."""
        made = self._protectd("protectd, broker")
        with made.running():
            throughput(made, made.warm_up, 1)
        return made

    @cached_property
    def without_broker(self) -> Protectd:
        return self._protectd("protectd, no broker", broker=unreachable_broker())

    @cached_property
    def with_silent_broker(self) -> Protectd:
        url = self._stack.enter_context(silent_broker())
        return self._protectd("protectd, silent broker", broker=url)

    def _protectd(self, name: str, **more: Any) -> Protectd:
        return self.made(Protectd, name, **more)

    def made(self, kind: type[P], name: str, *, postgresql: bool = False, **more: Any) -> P:
        """One more installation, of a kind of protectd."""
        database = self._stack.enter_context(own_postgresql() if postgresql else own_mariadb())
        bus = self._stack.enter_context(own_bus())
        options: dict[str, Any] = {"handler": getattr(self._arguments, "handler", "default"), **more}
        made = kind(name, self._place(name), Setting(database=database, bus=bus, **options))
        self._stack.callback(made.watch.close)
        return made

    def _place(self, name: str) -> Path:
        place = self._base / name.replace(", ", "-").replace(" ", "-")
        place.mkdir()
        return place


def add_places(parser: argparse.ArgumentParser) -> None:
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("--cache", type=Path, default=caches / "protectd-benchmarks", help="for Barbican")
    parser.add_argument("--disk", type=Path, default=Path(tempfile.gettempdir()))


@contextmanager
def sides_of(arguments: argparse.Namespace) -> Iterator[Sides]:
    with ExitStack() as stack:
        folder = tempfile.TemporaryDirectory(dir=arguments.disk, prefix="benchmark-")
        yield Sides(arguments, Path(stack.enter_context(folder)), stack)
