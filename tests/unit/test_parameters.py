"""Parameters of types and of single resources: each fits, and together they have what is required."""

from __future__ import annotations

from typing import Any

import pytest

from protectd.common.errors import InvalidField
from protectd.domain.parameters import check, overlay

ID = "6659007d-6f66-4a0f-9cb4-17d6aded0bb9"
OTHER = "b766f37c-d011-4026-8228-28730d734a3f"
VOLUME: dict[str, Any] = {
    "type": "object",
    "properties": {
        "mode": {"enum": ["full", "increment"], "default": "full"},
        "name": {"type": "string", "minLength": 1},
        "level": {"type": "integer", "default": 3},
    },
    "required": ["name"],
    "additionalProperties": False,
}
SCHEMAS = {"volume": VOLUME, "host": {"type": "object", "additionalProperties": False}}
KEYS = [f"volume#{ID}", f"volume#{OTHER}", f"host#{ID}"]


def field_of(parameters: dict[str, Any], keys: list[str] = KEYS) -> str:
    with pytest.raises(InvalidField) as caught:
        check(parameters, SCHEMAS, "plan.parameters", keys)
    return str(caught.value.field)


@pytest.mark.parametrize(
    "parameters",
    [
        {"volume": {"name": "x"}},
        {"volume": {"name": "x"}, f"volume#{ID}": {"mode": "increment"}},
        {"volume": {"mode": "full"}, f"volume#{ID}": {"name": "x"}, f"volume#{OTHER}": {"name": "y"}},
        {f"volume#{ID}": {"name": "x"}, f"volume#{OTHER}": {"name": "y"}, "host": {}},
    ],
)
def test_what_is_required_may_be_said_for_the_type_or_for_the_resource(parameters: dict[str, Any]) -> None:
    check(parameters, SCHEMAS, "plan.parameters", KEYS)


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "volume.name"),
        ({"volume": {"mode": "full"}}, "volume.name"),
        ({f"volume#{ID}": {"name": "x"}}, "volume.name"),
        ({f"volume#{ID}": {"name": "x"}, f"volume#{OTHER}": {}}, "volume.name"),
        ({"volume": {"name": ""}}, "volume.name"),
        ({"volume": {"name": "x", "mode": "half"}}, "volume.mode"),
        ({"volume": {"name": "x"}, f"volume#{ID}": {"mode": "half"}}, f"volume#{ID}.mode"),
        ({"volume": {"name": "x"}, f"volume#{ID}": {"size": 1}}, f"volume#{ID}.size"),
        ({"disk": {}}, "disk"),
        ({"volume": {"name": "x"}, "volume#": {}}, "volume#"),
    ],
)
def test_what_does_not_fit_or_lacks_is_named(parameters: dict[str, Any], field: str) -> None:
    assert field_of(parameters) == f"plan.parameters.{field}"


def test_a_type_that_is_not_there_needs_nothing() -> None:
    check({}, SCHEMAS, "plan.parameters", [f"host#{ID}"])
    check({"volume": {"mode": "full"}}, SCHEMAS, "plan.parameters", [f"host#{ID}"])


def test_defaults_stand_where_nothing_was_said_for_the_type_or_the_resource() -> None:
    parameters = {"volume": {"name": "x", "level": 5}, f"volume#{ID}": {"mode": "increment"}}
    assert overlay(parameters, "volume", ID, VOLUME) == {"name": "x", "level": 5, "mode": "increment"}
    assert overlay(parameters, "volume", OTHER, VOLUME) == {"name": "x", "level": 5, "mode": "full"}
    assert overlay({}, "volume", ID, VOLUME) == {"mode": "full", "level": 3}
    assert overlay({}, "volume", ID) == {}
