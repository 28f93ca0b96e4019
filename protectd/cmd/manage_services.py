"""protectd-manage service: daemons and their heartbeats, and which of them may take work."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import Any

from protectd.cmd.build import Parts
from protectd.cmd.manage_actions import moment, need_database, show
from protectd.cmd.manage_parsers import action, group, note, word
from protectd.common.errors import Conflict, NotFound
from protectd.domain import services
from protectd.model.models import Service
from protectd.model.unit_of_work import UnitOfWork


class NoSuchService(NotFound):
    code = "manage.no_service"
    message = "there is no {binary} on {host}; `service list` prints those that are"


class ServiceAlive(Conflict):
    code = "manage.service_alive"
    message = "{binary} on {host} reported {seconds:.0f} s ago; end it first, or it comes back"


def add(groups: Any) -> None:
    within = group(groups, "service", "daemons")
    action(within, "list", service_list, "print daemons and their heartbeats")
    disable = _of_one(within, "disable", service_disable, "let a worker take no new tasks")
    disable.add_argument("--reason", type=note, metavar="TEXT", help="why, for whoever finds it so")
    _of_one(within, "enable", service_enable, "let a worker take tasks again")
    _of_one(within, "remove", service_remove, "forget a daemon that does not run any more")
    ping = action(within, "ping", service_ping, "ask a worker for a sign of life, by way of the broker")
    ping.add_argument("host", type=word, nargs="?", metavar="HOST", help="without it, whichever answers")
    ping.add_argument("--timeout", type=float, default=10.0, metavar="S", help="seconds (default: 10)")


def _of_one(within: Any, name: str, run: Any, about: str) -> argparse.ArgumentParser:
    made = action(within, name, run, about, "It heeds that within its next heartbeat.")
    made.add_argument("binary", type=word, metavar="BINARY", help="such as protectd-worker")
    made.add_argument("host", type=word, metavar="HOST", help="as `service list` prints it")
    return made


def service_list(made: Parts, args: argparse.Namespace) -> int:
    need_database(made)
    made.learn_time()
    with made.database.read() as uow:
        show([view(made, service, made.clock.now()) for service in uow.services.all()])
    return 0


def service_disable(made: Parts, args: argparse.Namespace) -> int:
    return _update(made, args, {"status": services.DISABLED, "disabled_reason": args.reason})


def service_enable(made: Parts, args: argparse.Namespace) -> int:
    return _update(made, args, {"status": services.ENABLED})


def service_remove(made: Parts, args: argparse.Namespace) -> int:
    """:raises ServiceAlive: it has reported a moment ago."""
    need_database(made)
    made.learn_time()
    with made.database.write() as uow:
        service, now = _found(uow, args), made.clock.now()
        if _is_up(made, service, now):
            silent_s = (now - service.updated_at).total_seconds()
            raise ServiceAlive(binary=args.binary, host=args.host, seconds=silent_s)
        uow.services.remove(service, now)
        show(view(made, service, now))
    return 0


def _update(made: Parts, args: argparse.Namespace, wanted: dict[str, Any]) -> int:
    need_database(made)
    made.learn_time()
    with made.database.write() as uow:
        service, now = _found(uow, args), made.clock.now()
        services.update(uow, service, wanted, now)
        show(view(made, service, now))
    return 0


def service_ping(made: Parts, args: argparse.Namespace) -> int:
    """Print who has answered. :raises WorkerSilent: nobody has, in time."""
    show(made.client.ping(args.host, args.timeout))
    return 0


def _found(uow: UnitOfWork, args: argparse.Namespace) -> Service:
    """:raises NoSuchService: it never was, or was removed."""
    found = uow.services.by_name(args.host, args.binary)
    if found is None or found.deleted:
        raise NoSuchService(binary=args.binary, host=args.host)
    return found


def _is_up(made: Parts, service: Service, now: datetime) -> bool:
    return services.is_up(service, now, made.conf.service_down_time_s)


def view(made: Parts, service: Service, now: datetime) -> dict[str, Any]:
    return {
        "binary": service.binary,
        "host": service.host,
        "topic": service.topic,
        "state": "up" if _is_up(made, service, now) else "down",
        "report_count": service.report_count,
        "updated_at": moment(service.updated_at),
        "disabled": service.disabled,
        "disabled_reason": service.disabled_reason,
        "rpc_current_version": service.rpc_current_version,
        "rpc_available_version": service.rpc_available_version,
    }
