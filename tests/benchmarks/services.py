"""The sides of the benchmark of tasks, each on a database and a part of the broker of its own."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from tests.benchmarks.barbican import Barbican
from tests.benchmarks.history import add_history
from tests.benchmarks.installation import Protectd, Setting
from tests.benchmarks.timings import throughput
from tests.fakes.brokers import silent_broker, unreachable_broker
from tests.fakes.servers import RABBITMQ, own_bus, own_mariadb, own_postgresql


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

    def _protectd(self, name: str, *, postgresql: bool = False, **more: str) -> Protectd:
        database = self._stack.enter_context(own_postgresql() if postgresql else own_mariadb())
        bus = self._stack.enter_context(own_bus())
        options = {"handler": self._arguments.handler, **more}
        made = Protectd(name, self._place(name), Setting(database=database, bus=bus, **options))
        self._stack.callback(made.watch.close)
        return made

    def _place(self, name: str) -> Path:
        place = self._base / name.replace(", ", "-").replace(" ", "-")
        place.mkdir()
        return place
