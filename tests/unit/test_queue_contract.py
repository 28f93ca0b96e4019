from __future__ import annotations

import pytest

from protectd.common.context import RequestContext
from protectd.common.errors import ConfigurationError
from protectd.queue.client import TaskClient
from protectd.queue.contract import (
    METHODS,
    NO_HINT,
    ContractMismatch,
    Hint,
    check_contract,
    context_from_message,
    context_to_message,
)
from protectd.queue.dispatcher import operation_modes
from protectd.queue.server import TaskAccessPolicy, Tasks

CONTEXT = RequestContext("req-1", "project", "user", ("member",))


class Recorder:
    """Takes tasks down."""

    def __init__(self) -> None:
        self.seen: list[tuple[RequestContext, str]] = []

    def process_and_suppress_exceptions(
        self, context: RequestContext, task_id: str, *, hint: Hint = NO_HINT
    ) -> None:
        self.seen.append((context, task_id))


def test_both_ends_have_the_same_methods_and_parameters():
    check_contract(TaskClient, Tasks)


def test_an_end_that_lacks_a_method_is_refused():
    methods = {name: value for name, value in vars(Tasks).items() if name != "process_verify"}
    with pytest.raises(ContractMismatch, match="Lesser has no process_verify"):
        check_contract(TaskClient, type("Lesser", (), methods))


def test_an_end_that_has_more_is_refused():
    def process_everything(self, context, task_id): ...

    more = type("More", (Tasks,), {"process_everything": process_everything})
    with pytest.raises(ContractMismatch, match="TaskClient has no process_everything"):
        check_contract(TaskClient, more)


def test_an_end_that_reads_other_parameters_is_refused():
    def process_delete(self, context, checkpoint_id): ...

    other = type("Other", (Tasks,), {"process_delete": process_delete})
    with pytest.raises(ContractMismatch, match="process_delete"):
        check_contract(TaskClient, other)


def test_tasks_without_somebody_for_each_operation_do_not_start():
    with pytest.raises(ContractMismatch, match="prune"):
        Tasks({operation: Recorder for operation in METHODS if operation != "prune"})


def test_a_context_comes_back_from_a_message_as_it_went():
    assert context_from_message(context_to_message(CONTEXT)) == CONTEXT


@pytest.mark.parametrize("message", [{}, {"roles": "admin"}, {"project_id": None, "roles": None}])
def test_a_foreign_message_makes_nobody_an_administrator(message):
    assert context_from_message(message) == RequestContext("", "", "", ())


def test_each_method_ends_in_its_operation():
    seen = []
    for operation, method in METHODS.items():
        recorder = Recorder()
        tasks = Tasks(dict.fromkeys(METHODS, Recorder) | {operation: lambda recorder=recorder: recorder})
        getattr(tasks, method)(context_to_message(CONTEXT), "task")
        seen.append(recorder.seen)
    assert seen == [[(CONTEXT, "task")]] * len(METHODS)


def test_only_operations_and_the_ping_may_be_called():
    policy = TaskAccessPolicy()
    allowed = [name for name in dir(Tasks) if policy.is_allowed(None, name)]
    assert allowed == sorted([*METHODS.values(), "ping"])


def test_an_operation_may_go_another_way_than_the_rest():
    modes = operation_modes("queue", {"verify": "direct"})
    assert modes == dict.fromkeys(METHODS, "queue") | {"verify": "direct"}


@pytest.mark.parametrize("exceptions", [{"knit": "queue"}, {"verify": "pigeon"}])
def test_unknown_operations_and_ways_are_refused(exceptions):
    with pytest.raises(ConfigurationError):
        operation_modes("queue", exceptions)
