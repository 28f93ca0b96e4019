"""The order of hooks over a graph of resources, and what a failure does to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest

from protectd.common.context import RequestContext
from protectd.common.errors import Cancelled, ProtectdError, Unavailable
from protectd.common.progress import Counts, Progress
from protectd.common.reports import CheckReport, RestoreReport, SaveReport
from protectd.plugin.base import (
    Access,
    HookContext,
    Operation,
    ProtectContext,
    Resource,
    ResourceUnavailable,
    RestoreContext,
    VerifyContext,
)
from protectd.plugin.graph import Graph
from protectd.plugin.outcomes import DataDamaged, Job, Outcome, first_error
from protectd.plugin.runner import run

HOOKS = ("prepare_begin", "prepare_finish", "main", "complete")
REQUEST = RequestContext("req-1", "p1", "ada", ("member",))


class NoVault:
    """These operations need none."""

    def save_tree(self, *args: Any, **options: Any) -> SaveReport:
        raise AssertionError

    def restore_tree(self, *args: Any, **options: Any) -> RestoreReport:
        raise AssertionError

    def check(self, *args: Any, **options: Any) -> CheckReport:
        raise AssertionError


def saved() -> SaveReport:
    return SaveReport("s", "t", 1, 1, 0, 0, 10, 10, 10, 5)


Hook = Callable[[HookContext], None]


class Recorder:
    """Starts operations that write down which hook was called, and act as the test wants."""

    def __init__(
        self, acts: Mapping[str, Hook] | None = None, kind: type[HookContext] = ProtectContext
    ) -> None:
        self.acts = acts or {}
        self.kind = kind
        self.calls: list[str] = []
        self._lock = threading.Lock()

    def start(self, resource: Resource, progress: Progress) -> Job:
        context = self.kind(
            request=REQUEST,
            resource=resource,
            parameters={},
            access=Access(),
            progress=progress,
            vault=NoVault(),
            checkpoint_id="c",
        )
        self.acts.get(f"start {resource.id}", lambda context: None)(context)
        if isinstance(context, ProtectContext):
            context.report = saved()
        return Job(Recorded(self, context), context)

    def call(self, hook: str, context: HookContext) -> None:
        name = f"{hook} {context.resource.id}"
        with self._lock:
            self.calls.append(name)
        self.acts.get(name, lambda context: None)(context)

    def of(self, hook: str) -> str:
        return "".join(call.split()[1] for call in self.calls if call.startswith(f"{hook} "))


class Recorded(Operation):
    def __init__(self, recorder: Recorder, context: HookContext) -> None:
        self._recorder = recorder
        self._context = context

    def prepare_begin(self) -> None:
        self._recorder.call("prepare_begin", self._context)

    def prepare_finish(self) -> None:
        self._recorder.call("prepare_finish", self._context)

    def main(self) -> None:
        self._recorder.call("main", self._context)

    def complete(self) -> None:
        self._recorder.call("complete", self._context)

    def undo(self) -> None:
        self._recorder.call("undo", self._context)


def tree(edges: Mapping[str, str], roots: str) -> Graph:
    return Graph.build(
        [Resource(root, "t", root) for root in roots],
        lambda resource: [Resource(child, "t", child) for child in edges.get(resource.id, "")],
    )


SERVER = tree({"s": "vw", "v": "x"}, "s")
"""A server with two volumes, one of which has something below it."""


def fail(error: BaseException) -> Hook:
    def act(context: HookContext) -> None:
        raise error

    return act


def gone(name: str) -> ResourceUnavailable:
    return ResourceUnavailable(resource=f"t#{name}", reason="it is gone")


def by_id(outcomes: list[Outcome]) -> dict[str, Outcome]:
    return {outcome.resource.id: outcome for outcome in outcomes}


def test_hooks_come_in_the_promised_order() -> None:
    recorder = Recorder()
    outcomes = run(SERVER, recorder.start, Progress())
    assert [outcome.ok for outcome in outcomes] == [True] * 4
    assert recorder.of("prepare_begin") == "swvx"
    assert recorder.of("prepare_finish") == recorder.of("complete") == "xvws"
    assert sorted(recorder.of("main")) == sorted("svwx")
    assert recorder.of("undo") == ""
    places = [[call.split()[0] for call in recorder.calls].index(hook) for hook in HOOKS]
    assert all(earlier + 4 == later for earlier, later in pairwise(places))


def test_an_empty_graph_is_done_at_once() -> None:
    assert run(tree({}, ""), Recorder().start, Progress()) == []


def test_mains_run_side_by_side() -> None:
    both = threading.Barrier(2)
    recorder = Recorder({"main a": lambda context: _meet(both), "main b": lambda context: _meet(both)})
    assert all(outcome.ok for outcome in run(tree({}, "ab"), recorder.start, Progress(), threads=2))


def _meet(barrier: threading.Barrier) -> None:
    barrier.wait(30)


def test_no_more_mains_run_side_by_side_than_there_are_threads() -> None:
    running, most = set[str](), list[int]()

    def main(context: HookContext) -> None:
        running.add(context.resource.id)
        most.append(len(running))
        running.remove(context.resource.id)

    recorder = Recorder({f"main {name}": main for name in "abcdef"})
    run(tree({}, "abcdef"), recorder.start, Progress(), threads=1)
    assert set(most) == {1}


@pytest.mark.parametrize("hook", ["prepare_begin", "prepare_finish"])
def test_a_failure_while_preparing_ends_the_run_and_undoes_what_began_last_first(hook: str) -> None:
    recorder = Recorder({f"{hook} v": fail(gone("v"))})
    outcomes = by_id(run(SERVER, recorder.start, Progress()))
    assert recorder.of("main") == recorder.of("complete") == ""
    assert recorder.of("undo") == recorder.of("prepare_begin")[::-1]
    assert outcomes["v"].code == "resource.unavailable"
    assert outcomes["v"].reason == "t#v: it is gone"
    assert {outcomes[name].code for name in "swx"} == {"resource.not_run"}


def test_a_plugin_that_cannot_even_begin_leaves_nothing_to_undo() -> None:
    recorder = Recorder({"start w": fail(gone("w"))})
    outcomes = by_id(run(SERVER, recorder.start, Progress()))
    assert recorder.calls == []
    assert outcomes["w"].context is None
    assert outcomes["w"].code == "resource.unavailable"


def test_a_failed_main_lets_the_others_finish_but_completes_nothing() -> None:
    recorder = Recorder({"main v": fail(gone("v"))})
    outcomes = by_id(run(SERVER, recorder.start, Progress(), threads=1))
    assert sorted(recorder.of("main")) == sorted("svwx")
    assert recorder.of("complete") == ""
    assert recorder.of("undo") == "xvws"
    assert [outcomes[name].ok for name in "svwx"] == [True, False, True, True]
    assert outcomes["w"].report == saved()


def test_a_failed_completion_is_that_resources_failure() -> None:
    recorder = Recorder({"complete v": fail(gone("v"))})
    outcomes = by_id(run(SERVER, recorder.start, Progress()))
    assert recorder.of("complete") == "xv"
    assert [name for name, outcome in outcomes.items() if not outcome.ok] == ["v"]


@pytest.mark.parametrize("error", [ValueError("password=x"), KeyError("k"), SystemExit(3)])
def test_an_error_that_the_contract_does_not_know_is_a_failure_without_its_text(error: BaseException) -> None:
    outcomes = by_id(run(SERVER, Recorder({"main v": fail(error)}).start, Progress()))
    assert outcomes["v"].code == "plugin.failed"
    assert "password" not in outcomes["v"].reason
    assert outcomes["v"].error is not None
    assert outcomes["v"].error.__cause__ is error


def test_an_undo_that_raises_does_not_keep_the_others_from_theirs() -> None:
    recorder = Recorder({"main x": fail(gone("x")), "undo v": fail(OSError()), "undo w": fail(gone("w"))})
    run(SERVER, recorder.start, Progress())
    assert recorder.of("undo") == "xvws"


# --- what decides ---


def test_nothing_decides_when_all_is_well() -> None:
    assert first_error(run(SERVER, Recorder().start, Progress())) is None


def test_a_failure_that_no_repetition_heals_decides() -> None:
    away = Unavailable(what="it", reason="away")
    recorder = Recorder({"main x": fail(away), "main v": fail(gone("v")), "main w": fail(away)})
    error = first_error(run(SERVER, recorder.start, Progress()))
    assert isinstance(error, ResourceUnavailable)


def test_damage_decides_before_all_else() -> None:
    recorder = Recorder({"main a": fail(gone("a")), "main b": _found(("pack 1",))}, VerifyContext)
    error = first_error(run(tree({}, "ab"), recorder.start, Progress()))
    assert isinstance(error, DataDamaged)


def test_without_one_something_that_is_away_decides_before_what_was_not_run() -> None:
    recorder = Recorder({"prepare_finish s": fail(Unavailable(what="it", reason="away"))})
    assert isinstance(first_error(run(SERVER, recorder.start, Progress())), Unavailable)


def _unreport(context: HookContext) -> None:
    assert isinstance(context, ProtectContext)
    context.report = None


def test_a_protection_that_reports_nothing_has_failed() -> None:
    outcomes = by_id(run(tree({}, "a"), Recorder({"main a": _unreport}).start, Progress()))
    assert outcomes["a"].code == "plugin.nothing_reported"


def test_a_restore_may_report_nothing() -> None:
    assert run(tree({}, "a"), Recorder(kind=RestoreContext).start, Progress())[0].ok


def _found(errors: tuple[str, ...], unread: tuple[str, ...] = ()) -> Hook:
    def act(context: HookContext) -> None:
        assert isinstance(context, VerifyContext)
        context.report = CheckReport(errors=errors, unread=unread)

    return act


def test_a_verification_fails_by_what_it_found() -> None:
    hooks = {"main a": _found(()), "main b": _found(("pack 1", "pack 2"), ("pack 0",))}
    recorder = Recorder(hooks | {"main c": _found((), ("pack 3",))}, VerifyContext)
    outcomes = by_id(run(tree({}, "abc"), recorder.start, Progress()))
    assert outcomes["a"].ok
    assert outcomes["b"].reason == "t#b: 2 errors; the first: pack 1"
    assert outcomes["b"].report == CheckReport(errors=("pack 1", "pack 2"), unread=("pack 0",))
    assert outcomes["c"].reason == "t#c: 1 objects could not be read; the first: pack 3"


# --- progress ---


class Owner(Progress):
    """Keeps every picture; says stop from the moment `stop` holds an error."""

    def __init__(self) -> None:
        self.pictures: list[Counts] = []
        self.stop: ProtectdError | None = None

    def report(self, counts: Counts) -> None:
        self.pictures.append(counts)

    def check(self) -> None:
        if self.stop is not None:
            raise self.stop


def test_progress_is_the_sum_and_totals_come_when_all_are_known() -> None:
    owner = Owner()
    recorder = Recorder(
        {
            "main a": lambda context: context.progress.report(Counts("saving", 5, 10, 1, 2)),
            "main b": lambda context: context.progress.report(Counts("saving", 7, 20, 3, None)),
        }
    )
    run(tree({}, "ab"), recorder.start, owner, threads=1)
    assert owner.pictures == [Counts("saving", 5, None, 1, None), Counts("saving", 12, 25, 4, None)]


def test_a_cancelled_run_ends_soon_undoes_and_says_nothing_of_resources() -> None:
    owner = Owner()
    stop = Cancelled()

    def long(context: HookContext) -> None:
        owner.stop = stop
        while True:
            context.progress.check()

    recorder = Recorder({"main a": long})
    with pytest.raises(Cancelled) as caught:
        run(tree({}, "abc"), recorder.start, owner, threads=1)
    assert caught.value is stop
    assert recorder.of("main") == "a"
    assert recorder.of("undo") == recorder.of("prepare_begin")[::-1]


def test_a_plugin_that_never_asks_is_still_cancelled_at_its_end() -> None:
    owner = Owner()

    def deaf(context: HookContext) -> None:
        owner.stop = Cancelled()

    recorder = Recorder({"prepare_begin a": deaf})
    with pytest.raises(Cancelled):
        run(tree({"a": "bc"}, "a"), recorder.start, owner)
    assert recorder.calls == ["prepare_begin a", "undo a"]


def test_an_error_of_a_plugin_while_it_is_stopped_does_not_hide_why() -> None:
    owner = Owner()

    def clumsy(context: HookContext) -> None:
        owner.stop = Cancelled()
        try:
            context.progress.check()
        except Cancelled:
            raise gone("a") from None

    with pytest.raises(Cancelled):
        run(tree({}, "a"), Recorder({"main a": clumsy}).start, owner)
