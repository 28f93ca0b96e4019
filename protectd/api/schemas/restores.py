"""Bodies and answers of /restores."""

from __future__ import annotations

from protectd.api.schemas.common import (
    COUNT,
    FLAG,
    ISSUES,
    MAYBE_STRING,
    METADATA,
    PARAMETERS,
    PROGRESS,
    SIMULATED,
    STRING,
    UUID,
    Schema,
    array,
    closed,
    either,
    page_of,
    shape,
    words_to,
    wrapped,
)
from protectd.api.schemas.narrowing import parameters_of
from protectd.api.schemas.runs import RUN
from protectd.domain.providers import Protectables, Providers
from protectd.domain.restores import ORIGINAL_TARGETS
from protectd.domain.validation import NO_NUL

KEY = "restore"

RESOURCE: Schema = {"type": "string", "minLength": 1, "maxLength": 320, "description": "id, or type#id"}
PATH: Schema = {"type": "string", "minLength": 1, "maxLength": 4096, "pattern": NO_NUL}
_SEGMENT = r"[^/\u0000]{0,63}"
_PLAIN_PATH: Schema = PATH | {
    "pattern": f"^{_SEGMENT}(/{_SEGMENT})*$",
    "not": {"pattern": r"(^|/)\.\.(/|$)"},
}
"""Nothing lies above what was saved. A name has 255 bytes, which are 63 characters of any kind."""


def _some(items: Schema) -> Schema:
    return {"type": ["array", "null"], "minItems": 1, "maxItems": 1000, "items": items}


PART: Schema = {
    "resources": _some(RESOURCE),
    "paths": _some(PATH),
    "dry_run": {"type": ["boolean", "null"]},
}
"""What of the checkpoint, and whether in earnest."""

CREATE = wrapped(
    KEY,
    closed(
        {
            "provider_id": UUID,
            "checkpoint_id": UUID,
            "restore_target": {"type": ["string", "null"], "maxLength": 255},
            "restore_auth": METADATA,
            "parameters": PARAMETERS,
            **PART,
        },
        ["provider_id", "checkpoint_id", "parameters"],
    ),
)


def create_of(providers: Providers, protectables: Protectables) -> Schema:
    """CREATE, one form for each provider."""
    forms = [
        closed(
            {
                "provider_id": {"const": provider.id},
                "checkpoint_id": UUID,
                "restore_target": {"enum": [None, *ORIGINAL_TARGETS]},
                "restore_auth": METADATA,
                "parameters": parameters_of(provider.restore_schemas),
                **PART,
                "paths": _some(_PLAIN_PATH),
            },
            ["provider_id", "checkpoint_id", "parameters"],
        )
        for provider in providers
    ]
    return wrapped(KEY, {"anyOf": forms})


CHOSEN: Schema = {
    "type": ["object", "null"],
    "additionalProperties": array(STRING),
    "description": "paths by type#id; null: everything",
}

_COUNTED: Schema = {
    "files": COUNT,
    "directories": COUNT,
    "links": COUNT,
    "others": COUNT,
    "data_bytes": COUNT,
    "replaced": COUNT,
    "same": COUNT,
    "blocked": COUNT,
    "fits": FLAG,
    "possible": FLAG,
    "issue_count": COUNT,
}

_NAMED: Schema = array(shape({"resource": STRING, "path": STRING, "kind": STRING, "reason": STRING}))

REPORT: Schema = shape(
    _COUNTED
    | {
        "conflict_count": COUNT,
        "conflicts": _NAMED,
        "issues": _NAMED,
        "resources": words_to(
            shape(
                _COUNTED
                | {
                    "target": STRING,
                    "exists": FLAG,
                    "writable": FLAG,
                    "free_bytes": COUNT,
                    "refusal": MAYBE_STRING,
                    "notes": array(STRING),
                }
            )
        ),
    }
)
"""What a restore would do."""

_BRIEF: Schema = RUN | {
    "restore_target": MAYBE_STRING,
    "trusted": FLAG,
    "dry_run": FLAG,
    "chosen": CHOSEN,
    "written_bytes": COUNT,
}

_DETAIL: Schema = _BRIEF | {
    "progress": PROGRESS,
    "warnings": ISSUES,
    "report": either({"type": "null"}, REPORT),
    "simulated": SIMULATED,
}

ONE = wrapped(KEY, shape(_DETAIL, ["simulated"]))
PAGE = page_of("restores", shape(_BRIEF))
