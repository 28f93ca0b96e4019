"""How tasks end when they do not end well."""

from __future__ import annotations

from protectd.common.errors import Cancelled, Conflict, ProtectdError, Unavailable


class LeaseLost(ProtectdError):
    """Another worker has, or may have, this task now. Whoever gets this stops and touches nothing more."""

    code = "task.lease_lost"
    message = "the lease of task {task_id} is lost"


class BeginFailed(ProtectdError):
    """The transaction of the claim cannot hold the begin too. Claimed alone, the task tells why."""

    code = "task.begin_failed"
    message = "task {task_id} could not begin with its claim: {reason}"


class NotKnown(Unavailable):
    """A newer process has submitted it. The claim is not made, and another worker is to make it."""

    code = "task.not_known"
    message = "this worker does not know what {operations} is"


class Stopping(Cancelled):
    """This process ends; the task goes on elsewhere."""

    code = "task.stopping"
    message = "the worker is stopping"


class DeadlinePassed(ProtectdError):
    """It took longer than operations may."""

    code = "task.deadline_passed"
    message = "the operation was not at its end by its deadline"


class TaskLost(ProtectdError):
    """The worker vanished, as often as a task may be begun."""

    code = "task.lost"
    message = "the worker was lost, {attempts} times; the task is given up"


class EntityGone(ProtectdError):
    code = "task.entity_gone"
    message = "{kind} {id} is not there any more"


class EntityNotReady(Conflict):
    """The entity has left the state that its task found at the request."""

    code = "task.entity_not_ready"
    message = "{kind} {id} is {status}; it must be {expected}"


class TypeNotSupported(ProtectdError):
    code = "task.type_not_supported"
    message = "provider {provider_id} does not protect {resource}"


class NotSaved(ProtectdError):
    """There is no data of a resource that a checkpoint says it has."""

    code = "task.not_saved"
    message = "the checkpoint holds no data of {resource}"


class CopyIncomplete(ProtectdError):
    """Some of what was saved could not be read whole, so there is no copy."""

    code = "copy.incomplete"
    message = "the checkpoint was not copied: {errors}"


class RestoreIncomplete(ProtectdError):
    """Some of what was saved could not be read back whole, or not be written."""

    code = "restore.incomplete"
    message = "{count} entries of {resource} are missing, for the reasons in its warnings: {names}"


class InternalFailure(ProtectdError):
    """A fault of the program. What happened is in the log only: the text may hold anything."""

    message = "an internal error; the log tells more under request {request_id}"


def visible(error: Exception, request_id: str) -> ProtectdError:
    """The error as users may see it."""
    if isinstance(error, ProtectdError):
        return error
    return InternalFailure(request_id=request_id)
