"""What has to be so before daemons of this version are started: one function a check, each of which only
reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from pathlib import Path

from alembic.script import ScriptDirectory
from oslo_config import cfg

from protectd.cmd.build import Parts
from protectd.cmd.manage_actions import need_database
from protectd.common.errors import ProtectdError
from protectd.domain.providers import Provider
from protectd.model import migrate
from protectd.model.models import Service
from protectd.model.repositories.base import Page
from protectd.model.repositories.services import number_of
from protectd.plugin.base import BankObjectNotFound
from protectd.queue.contract import VERSION

PROBE = "protectd-status"
"""An object that no bank has: asking for it tells whether the bank answers."""

FOREIGN_READ = 0o004


class Code(IntEnum):
    """Also the exit code of the command: that of the worst result."""

    SUCCESS = 0
    WARNING = 1
    FAILURE = 2


@dataclass(frozen=True, slots=True)
class Result:
    code: Code
    details: str = ""


Check = Callable[[Parts], Result]

GOOD = Result(Code.SUCCESS)


def configuration(made: Parts) -> Result:
    """It was read; what is in it should not be everybody's."""
    files = [str(path) for path in made.conf.config_file if Path(path).stat().st_mode & FOREIGN_READ]
    if files:
        return Result(Code.WARNING, f"everybody may read {', '.join(files)}, which may hold passwords")
    return GOOD


def schema(made: Parts) -> Result:
    need_database(made)
    scripts = ScriptDirectory(str(migrate.script_directory()))
    found, wanted = migrate.current(made.database_url), scripts.get_current_head()
    known = {script.revision for script in scripts.walk_revisions()}
    if found is not None and found not in known:
        return Result(Code.FAILURE, f"the database is at {found}, which only a newer protectd knows")
    if found != wanted:
        reason = f"the database is at {found or 'nothing'}, not {wanted}: run protectd-manage db upgrade"
        return Result(Code.FAILURE, reason)
    differences = migrate.check(made.database_url)
    if differences:
        return Result(Code.WARNING, f"{len(differences)} differences: see protectd-manage db check")
    return GOOD


def providers(made: Parts) -> Result:
    if len(made.providers) == 0:
        return Result(Code.WARNING, "none is enabled: nothing can be protected")
    return Result(Code.SUCCESS, ", ".join(sorted(provider.name for provider in made.providers)))


def banks(made: Parts) -> Result:
    """From this host: an API needs none, a worker all of them."""
    said = [told for provider in made.providers if (told := _bank(provider)).code is not Code.SUCCESS]
    if not said:
        return GOOD
    return Result(max(told.code for told in said), "; ".join(told.details for told in said))


def _bank(provider: Provider) -> Result:
    missing = [path for path in provider.bank.local_paths() if not Path(path).exists()]
    if missing:
        told = f"{provider.name}: {missing[0]} is not there; the first protection makes it"
        return Result(Code.WARNING, told)
    try:
        provider.bank.size(PROBE)
    except BankObjectNotFound:
        return GOOD
    except ProtectdError as error:
        return Result(Code.FAILURE, f"{provider.name}: {error}")
    return GOOD


def master_key(made: Parts) -> Result:
    """That it is there, that it is private, and that it is the one which secrets are sealed with."""
    for file in made.key_files:
        if not file.exists():
            return Result(Code.WARNING, f"{file} is not there: fine where only an API runs, no worker starts")
    secrets = made.secrets
    need_database(made)
    with made.database.read() as uow:
        for secret in uow.secrets.page(Page(limit=1)):
            secrets.open(uow, secret.id, None)
    return GOOD


def workers(made: Parts) -> Result:
    """That all who live understand what this version says."""
    need_database(made)
    made.learn_time()
    since = made.clock.now() - timedelta(seconds=made.conf.service_down_time_s)
    with made.database.read() as uow:
        living = [each for each in uow.services.all() if each.topic and each.updated_at > since]
    if not living:
        return Result(Code.WARNING, "no worker reports")
    foreign = [each for each in living if _number(each)[:1] not in ((), number_of(VERSION)[:1])]
    if foreign:
        return Result(Code.FAILURE, f"speak another language than {VERSION}: {_named(foreign)}")
    older = [each for each in living if _number(each) < number_of(VERSION)]
    if older:
        return Result(Code.WARNING, f"messages stay below {VERSION} for the sake of {_named(older)}")
    if made.conf.queue.rpc_version:
        return Result(Code.WARNING, f"[queue] rpc_version holds messages at {made.conf.queue.rpc_version}")
    return Result(Code.SUCCESS, f"{len(living)} at {VERSION} or later")


def _number(service: Service) -> tuple[int, ...]:
    return number_of(service.rpc_available_version or "")


def _named(services: Sequence[Service]) -> str:
    return ", ".join(f"{each.host} ({each.rpc_available_version or 'unknown'})" for each in services)


def policies(made: Parts) -> Result:
    try:
        made.policies  # noqa: B018 - reads the file
    except (ValueError, OSError, cfg.Error) as error:
        return Result(Code.FAILURE, f"{made.conf.oslo_policy.policy_file}: {' '.join(str(error).split())}")
    named, said = made.conf.oslo_policy.policy_file, made.conf.get_location("policy_file", "oslo_policy")
    by_default = said is None or said.location is cfg.Locations.opt_default
    if not by_default and made.conf.find_file(named) is None:
        return Result(Code.WARNING, f"{named} is not there: the rules in code hold")
    return GOOD


CHECKS: Sequence[tuple[str, Check]] = (
    ("Configuration", configuration),
    ("Database schema", schema),
    ("Providers", providers),
    ("Banks", banks),
    ("Master key", master_key),
    ("Workers", workers),
    ("Policies", policies),
)


def run(check: Check, made: Parts) -> Result:
    try:
        return check(made)
    except (ProtectdError, OSError) as error:
        return Result(Code.FAILURE, str(error))
