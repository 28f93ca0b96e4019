"""Errors told from where the client stands."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from protectd.common.errors import BadRequest, Conflict, InvalidField, ProtectdError, Unavailable
from protectd.common.fields import about, below

Telling = Callable[[str], AbstractContextManager[None]]


class Full(Conflict):
    code = "full"
    message = "{place} is full"


def told(telling: AbstractContextManager[None], error: ProtectdError) -> ProtectdError:
    with pytest.raises(type(error)) as caught, telling:
        raise error
    return caught.value


def test_what_a_plugin_names_is_told_from_the_top() -> None:
    error = told(below("plan.resources.0"), InvalidField(field="path", reason="is no path"))
    assert (error.field, str(error)) == ("plan.resources.0.path", "plan.resources.0.path: is no path")


def test_what_names_no_field_is_about_all_that_was_given() -> None:
    error = told(below("plan.resources"), Full(place="it"))
    assert (error.code, error.field, str(error)) == ("full", "plan.resources", "it is full")
    assert error.facts["place"] == "it"


def test_an_id_stands_for_what_hangs_on_it() -> None:
    error = told(about("restore.checkpoint_id"), InvalidField(field="path", reason="is no path"))
    assert error.field == "restore.checkpoint_id"


@pytest.mark.parametrize("telling", [about, below])
def test_a_failure_of_the_service_is_nobodys_field(telling: Telling) -> None:
    assert told(telling("plan"), Unavailable(what="w", reason="r")).field is None


@pytest.mark.parametrize("telling", [about, below])
def test_the_first_error_is_kept_as_the_cause(telling: Telling) -> None:
    first = BadRequest(reason="r")
    assert told(telling("plan"), first).__cause__ is first
