"""Serving a daemon's metrics: of one process, or of several as one."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import threading
from pathlib import Path

from oslo_config import cfg
from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app, multiprocess, values
from sqlalchemy import event

from protectd.cmd.arguments import version
from protectd.cmd.network import endpoint, is_loopback
from protectd.cmd.prometheus import PrometheusMetrics
from protectd.cmd.serve import Server, listen
from protectd.common.metrics import Metrics
from protectd.conf.metrics import port_of
from protectd.model.unit_of_work import Database

LOG = logging.getLogger(__name__)

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The library asks the environment for the directory, in each process."""


class Listener:
    """Serves what a registry holds, in a thread of its own."""

    def __init__(self, sock: socket.socket, registry: CollectorRegistry) -> None:
        self._server = Server(make_wsgi_app(registry), sock, threads=1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Safe to repeat; takes a moment."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        self._server.run(self._stop.is_set)
        self._server.close()


class Exposition:
    """A daemon's metrics and where they are served. Without a port nothing is counted.

    Make it before other processes are forked off, so that all listen on one socket, whoever of them answers.

    :raises ConfigurationError: the address is not this host's, or in use.
    """

    def __init__(self, conf: cfg.ConfigOpts, binary: str) -> None:
        self._binary = binary
        self._listener: Listener | None = None
        self._shared: Path | None = None
        self._sock = self._listen(conf, binary)

    @staticmethod
    def _listen(conf: cfg.ConfigOpts, binary: str) -> socket.socket | None:
        host, port = conf.metrics.bind_host, port_of(conf, binary)
        if not port:
            return None
        if not is_loopback(host):
            LOG.warning("whoever reaches %s can read the metrics", host)
        sock = listen(host, port)
        LOG.info("metrics at %s/metrics", endpoint(host, port))
        return sock

    def share(self, state_dir: Path) -> None:
        """Count in files that all processes see. The directory is this daemon's own: it holds the port."""
        if self._sock is None:
            return
        self._shared = state_dir / "metrics" / f"{self._binary}-{self._sock.getsockname()[1]}"
        shutil.rmtree(self._shared, ignore_errors=True)
        self._shared.mkdir(parents=True, mode=0o700)

    def begin(self) -> Metrics:
        """Count and serve in this process. To be called once in each that is to, after any fork."""
        if self._sock is None:
            return Metrics()
        registry, shown = CollectorRegistry(), self._shown()
        self._listener = Listener(self._sock, shown or registry)
        if shown is None:
            ProcessCollector(registry=registry)
        self._listener.start()
        return PrometheusMetrics(registry, self._binary, version())

    def _shown(self) -> CollectorRegistry | None:
        """What all processes have counted; None: this one is alone."""
        if self._shared is None:
            return None
        os.environ[SHARED] = str(self._shared)
        values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
        shown = CollectorRegistry()
        multiprocess.MultiProcessCollector(shown, str(self._shared))  # type: ignore[no-untyped-call]
        return shown

    def process_ended(self, pid: int) -> None:
        """What a process that has ended had in use is in use no more; what it has counted stays."""
        if self._shared is not None:
            multiprocess.mark_process_dead(pid, str(self._shared))  # type: ignore[no-untyped-call]

    def end(self) -> None:
        if self._listener is not None:
            self._listener.stop()
        if self._sock is not None:
            self._sock.close()


def watch_pool(database: Database, metrics: Metrics) -> None:
    """Count the connections that are in use."""
    event.listen(database.engine, "checkout", lambda *_: metrics.connection_taken())
    event.listen(database.engine, "checkin", lambda *_: metrics.connection_given_back())
