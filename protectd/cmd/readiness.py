"""The last steps before a process says that it serves: what the first requests would wait for is done now."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing

from protectd.cmd.build import Parts
from protectd.common.context import RequestContext
from protectd.common.errors import Unavailable
from protectd.common.ids import new_id
from protectd.domain.submission import Submission
from protectd.model.models import Checkpoint, Plan, PlanResource
from protectd.model.states import PlanStatus
from protectd.model.unit_of_work import UnitOfWork

LOG = logging.getLogger(__name__)

LOOK_S = 0.1
SWITCH_S = 0.001
NOBODY = "rehearsal"


def settle() -> None:
    """Call when all is built. What the start has made stays, so the collector of garbage need not look at it
    again, which takes a tenth of a second, in the middle of a request or a task. And a thread that computes
    lets one that answers go first sooner than is usual."""
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_S)


def rehearse(made: Parts) -> None:
    """Make a plan and start a checkpoint of it, and take all back: statements are compiled, a connection is
    open, the pages of the tables are read. A database that is away is left to the first request."""
    try:
        with closing(made.database.begin(write=True)) as uow:
            _start_checkpoint(uow, made)
    except Unavailable as error:
        LOG.info("the first request finds the database cold: %s", error)


def _start_checkpoint(uow: UnitOfWork, made: Parts) -> None:
    plan = uow.plans.add(_plan())
    uow.session.expire_all()
    plan = uow.plans.to_run(plan.id, NOBODY)
    checkpoint = uow.checkpoints.insert(Checkpoint.of(plan, {NOBODY: NOBODY}, NOBODY))
    context = RequestContext(request_id=NOBODY, project_id=NOBODY, user_id=NOBODY, roles=())
    Submission(uow, context, made.clock).process_checkpoint(checkpoint)
    uow.instances.by_ids([plan.resources[0].resource_id], NOBODY)


def _plan() -> Plan:
    resource = PlanResource(
        resource_id=new_id(),
        resource_type=NOBODY,
        resource_name=NOBODY,
        resource_extra_info={NOBODY: NOBODY},
    )
    return Plan(
        id=new_id(),
        name=NOBODY,
        provider_id=new_id(),
        project_id=NOBODY,
        status=PlanStatus.SUSPENDED,
        parameters={},
        resources=[resource],
    )


def wait_for(thread: threading.Thread, wait_s: float, give_up: Callable[[], bool]) -> None:
    """Return when `thread` has ended, `wait_s` is over, or `give_up` says so."""
    deadline = time.monotonic() + wait_s
    while thread.is_alive() and time.monotonic() < deadline and not give_up():
        thread.join(LOOK_S)
