"""Calls that are left to their fate when they take too long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from protectd.common.errors import ProtectdError
from protectd.common.trail import carried

T = TypeVar("T")


class TooLate(Exception):
    """The call did not come back in time. It goes on, and nobody hears of it."""


def within(limit_s: float, call: Callable[[], T]) -> T:
    """What the call returns or raises, made in a thread of its own. That one is a daemon: a call that hangs
    for ever does not keep the process from ending.

    :raises TooLate: it has not come back after `limit_s`.
    """
    answer: Future[T] = Future()
    run = carried(partial(_answer, call, answer))
    threading.Thread(target=run, daemon=True, name="bank-call").start()
    try:
        error = answer.exception(limit_s)
    except TimeoutError:
        raise TooLate from None
    if error is not None:
        raise error
    return answer.result()


def _answer(call: Callable[[], T], answer: Future[T]) -> None:
    try:
        result = call()
    except ProtectdError as error:
        answer.set_exception(error)
    except BaseException as error:
        answer.set_exception(error)
        raise
    else:
        answer.set_result(result)
