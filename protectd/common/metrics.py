"""What happens, told to whoever counts it. What is told is bounded: no id, no path, no project."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backlog:
    """Tasks of the installation at one moment.

    :ivar waiting: due, and not claimed by a worker.
    :ivar delayed: to be tried again later.
    :ivar running: claimed.
    :ivar oldest_s: for how long the first of those that wait has been due; 0 when none waits.
    """

    waiting: int
    delayed: int
    running: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class Agenda:
    """Triggers of the installation at one moment.

    :ivar due: their time has come, or an event, and no engine has decided what comes of it.
    :ivar oldest_s: for how long the first of them has been due; 0 when none is.
    """

    due: int
    oldest_s: float


class Metrics:
    """Silent base; see `protectd.cmd.prometheus`. Thread safe, cheap, never raises."""

    # --- tasks ---

    def task_claimed(self, operation: str, waited_s: float) -> None:
        """:param waited_s: since the task was due."""

    def task_ended(self, operation: str, outcome: str, taken_s: float) -> None:
        """:param outcome: a word of `TaskState`. :param taken_s: since its first attempt began."""

    def task_put_off(self, operation: str, reason: str) -> None:
        """An attempt ended and another follows. :param reason: `retry`, `wait` or `stop`."""

    def lease_lost(self, operation: str) -> None:
        """A worker found that a task it was running is another's."""

    def task_handed_over(self, operation: str) -> None:
        """A task was taken from a worker that gave no sign of life."""

    def tasks_resent(self, count: int) -> None:
        """Tasks were announced that nobody had heard of."""

    def backlog(self, backlog: Backlog) -> None:
        """What an engine has counted; told by one thread."""

    # --- schedules ---

    def occurrence_decided(self, outcome: str, late_s: float | None) -> None:
        """:param outcome: a word of `protectd.domain.occurrences`. :param late_s: from when it was to fire
        until it was decided; None: it was passed over for another, or missed."""

    def agenda(self, agenda: Agenda) -> None:
        """What an engine has counted; told by one thread."""

    # --- requests ---

    def request(self, verb: str, route: str, status: int, taken_s: float) -> None:
        """:param route: the template of a path, such as `/v1/{project_id}/plans`; "" for none."""

    # --- database ---

    def connections_limit(self, count: int) -> None:
        """How many connections this process may have at the same time."""

    def connection_taken(self) -> None: ...

    def connection_given_back(self) -> None: ...
