"""Manifests: each checkpoint's description, kept in its vault, so that a bank tells what it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, Self

from protectd.common.errors import InvalidField, ProtectdError
from protectd.domain import validation
from protectd.model.models import Checkpoint, CheckpointResource
from protectd.model.states import CheckpointStatus, ResourceStatus, move
from protectd.model.unit_of_work import UnitOfWork
from protectd.vault.snapshot import Snapshot
from protectd.vault.tags import CHECKPOINT_TAG, RESOURCE_TAG

NAME = "manifest.json"
FORMAT = 1

FIGURES = ("files", "logical_bytes", "added_bytes", "stored_bytes")
SAVED = (
    "snapshot_id",
    "tree_id",
    "source_path",
    "saved_info",
    "files",
    "directories",
    "logical_bytes",
    "added_bytes",
    "stored_bytes",
    "issue_count",
    "issues",
)
"""Columns of a resource that say where its data lies and what it is."""

STORABLE = "^[^\\u0000\\ud800-\\udfff]*$"
"""What every database takes: no NUL, no half a character."""

_ID = {"type": "string", "format": "uuid", "minLength": 36, "maxLength": 36}
_MAYBE_ID = {**_ID, "type": ["string", "null"]}
_NAME = {"type": "string", "maxLength": 255, "pattern": STORABLE}
_HASH = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_NUMBER = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
_MOMENT = {"type": ["string", "null"], "maxLength": 40}
_TEXT = {"type": ["string", "null"], "pattern": STORABLE}

SCHEMA: validation.Schema = {
    "type": "object",
    "properties": {
        "format": {"const": FORMAT},
        "checkpoint": {
            "type": "object",
            "properties": {
                "id": _ID,
                "host": {**_TEXT, "maxLength": 255},
                "created_at": {**_MOMENT, "type": "string"},
                "started_at": _MOMENT,
                "ended_at": _MOMENT,
                "extra_info": {"type": ["object", "null"]},
                "scheduled_operation_id": _MAYBE_ID,
                "source_id": _MAYBE_ID,
                "plan": {
                    "type": "object",
                    "properties": {
                        "id": _ID,
                        "name": _NAME,
                        "resources": {"type": "array", "items": {"type": "object"}},
                    },
                    "required": ["id", "name", "resources"],
                },
                "resource_graph": _TEXT,
                "partial": {"type": "boolean"},
                **dict.fromkeys(FIGURES, _NUMBER),
            },
            "required": ["id", "created_at", "plan", "partial", *FIGURES],
        },
        "resources": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "id": {**_NAME, "minLength": 1, "maxLength": 36},
                    "type": {**_NAME, "minLength": 1, "maxLength": 64},
                    "name": _NAME,
                    "extra_info": {"type": ["object", "null"]},
                    "snapshot_id": _HASH,
                    "tree_id": _HASH,
                    "source_path": _TEXT,
                    "saved_info": {"type": "object"},
                    "issues": {"type": "array", "items": {"type": "object"}},
                    **dict.fromkeys((*FIGURES, "directories", "issue_count"), _NUMBER),
                },
                "required": ["id", "type", "name", *(name for name in SAVED if name != "source_path")],
            },
        },
    },
    "required": ["format", "checkpoint", "resources"],
}
"""What this version reads. Fields that it does not know are left alone."""


class ManifestDamaged(ProtectdError):
    """It opened well and does not say what a manifest says: another program, or a later version, wrote it."""

    code = "manifest.damaged"
    message = "the manifest of checkpoint {checkpoint_id} cannot be used: {reason}"


class DataGone(ProtectdError):
    """What a manifest describes is not in the vault any more, or not as it was."""

    code = "manifest.data_gone"
    message = "the vault holds no data of {resource} of checkpoint {checkpoint_id}"


@dataclass(frozen=True)
class Manifest:
    """:ivar checkpoint: of a checkpoint all that its row says, in JSON. :ivar resources: of each the same."""

    checkpoint: Mapping[str, Any]
    resources: Sequence[Mapping[str, Any]]

    @property
    def id(self) -> str:
        return str(self.checkpoint["id"])

    @property
    def created_at(self) -> datetime | None:
        return read_moment(self.checkpoint["created_at"])

    @property
    def whole(self) -> bool:
        """Whether it says where all the data lies."""
        return bool(self.resources) and all(
            each["snapshot_id"] and each["tree_id"] for each in self.resources
        )

    def holding(self, snapshot_ids: Mapping[str, str], **said: Any) -> Self:
        """The same with these snapshots, by `type#id`, and with `said` of the checkpoint."""
        parts = [{**each, "snapshot_id": snapshot_ids.get(key_of(each))} for each in self.resources]
        return type(self)({**self.checkpoint, **said}, parts)

    def encode(self) -> bytes:
        fields = {"format": FORMAT, "protectd": _version()}
        text = json.dumps(fields | {"checkpoint": self.checkpoint, "resources": self.resources}, indent=1)
        return text.encode() + b"\n"

    @classmethod
    def decode(cls, raw: bytes, checkpoint_id: str) -> Self:
        """:raises ManifestDamaged: it is none, or that of another checkpoint."""
        try:
            fields = json.loads(raw)
            json.dumps(fields, ensure_ascii=False, allow_nan=False).encode()  # what no other reader takes
            validation.check(fields, SCHEMA)
            for name in ("created_at", "started_at", "ended_at"):
                read_moment(fields["checkpoint"].get(name))
        except (InvalidField, ValueError, OverflowError, RecursionError) as error:
            raise ManifestDamaged(checkpoint_id=checkpoint_id, reason=str(error)) from error
        if fields["checkpoint"]["id"] != checkpoint_id:
            raise ManifestDamaged(checkpoint_id=checkpoint_id, reason="it is that of another checkpoint")
        return cls(fields["checkpoint"], fields["resources"])


# --- from rows ---


def asked_for(checkpoint: Checkpoint, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint was to be, before anything is saved. :param parameters: those of its plan."""
    return {
        "id": checkpoint.id,
        "project_id": checkpoint.project_id,
        "provider_id": checkpoint.provider_id,
        "host": checkpoint.host,
        "created_at": text_of(checkpoint.created_at),
        "started_at": text_of(checkpoint.started_at),
        "extra_info": checkpoint.extra_info,
        "scheduled_operation_id": checkpoint.scheduled_operation_id,
        "source_id": checkpoint.source_id,
        "plan": checkpoint.plan_json,
        "parameters": dict(parameters),
    }


def came_of_it(
    ended_at: datetime | None, graph: str | None, partial: bool, figures: Mapping[str, int]
) -> dict[str, Any]:
    """The rest of what is said of a checkpoint, when all is saved."""
    ended = text_of(ended_at)
    return {"ended_at": ended, "resource_graph": graph, "partial": partial, **figures}


def part(id: str, type: str, name: str, extra_info: Any, saved: Mapping[str, Any]) -> dict[str, Any]:
    """One of the resources. :param saved: by the names of `SAVED`."""
    extra = None if extra_info is None else dict(extra_info)
    return {"id": id, "type": type, "name": name, "extra_info": extra, **saved}


def of_rows(checkpoint: Checkpoint, parameters: Mapping[str, Any]) -> Manifest:
    """What its rows say, which need not be all. :param parameters: those of its plan."""
    figures = {name: getattr(checkpoint, name) for name in FIGURES}
    end = came_of_it(checkpoint.ended_at, checkpoint.resource_graph, checkpoint.partial, figures)
    return Manifest(asked_for(checkpoint, parameters) | end, [_part_of(row) for row in checkpoint.resources])


def _part_of(row: CheckpointResource) -> dict[str, Any]:
    saved = {name: getattr(row, name) for name in SAVED}
    return part(row.resource_id, row.resource_type, row.resource_name, row.extra_info, saved)


# --- back to rows ---


def key_of(resource: Mapping[str, Any]) -> str:
    return f"{resource['type']}#{resource['id']}"


def located(manifest: Manifest, snapshots: Sequence[Snapshot]) -> dict[str, str]:
    """Id of each resource's snapshot, by `type#id`: it has another where restic has changed its tags, or
    where it is a copy.

    :raises DataGone: one of them is not among `snapshots`, or holds another tree.
    """
    found = {}
    for resource in manifest.resources:
        same = [each for each in snapshots if each.tree == resource["tree_id"]]
        chosen = next((each for each in same if each.id == resource["snapshot_id"]), None)
        chosen = chosen or next((each for each in same if _is_tagged(each, manifest.id, resource)), None)
        if chosen is None:
            raise DataGone(resource=key_of(resource), checkpoint_id=manifest.id)
        found[key_of(resource)] = chosen.id
    return found


def _is_tagged(snapshot: Snapshot, checkpoint_id: str, resource: Mapping[str, Any]) -> bool:
    wanted = {CHECKPOINT_TAG + checkpoint_id, RESOURCE_TAG + str(resource["id"])}
    return wanted <= set(snapshot.tags)


def row_of(
    manifest: Manifest, provider_id: str, project_id: str, snapshot_ids: Mapping[str, str]
) -> Checkpoint:
    """The available checkpoint that a manifest describes, in the vault that it was found in."""
    said = manifest.checkpoint
    plan = {**said["plan"], "provider_id": provider_id}
    return Checkpoint(
        id=manifest.id,
        project_id=project_id,
        provider_id=provider_id,
        plan_id=plan["id"],
        plan_name=plan["name"],
        plan_json=plan,
        status=CheckpointStatus.AVAILABLE,
        host=said.get("host"),
        extra_info=said.get("extra_info"),
        scheduled_operation_id=said.get("scheduled_operation_id"),
        source_id=said.get("source_id"),
        created_at=read_moment(said["created_at"]),
        started_at=read_moment(said.get("started_at")),
        resources=[_resource_row(each, snapshot_ids) for each in manifest.resources],
        **outcome(manifest),
    )


def outcome(manifest: Manifest) -> dict[str, Any]:
    """Columns of a checkpoint that say what came of it."""
    said = manifest.checkpoint
    return {
        "ended_at": read_moment(said.get("ended_at")),
        "resource_graph": said.get("resource_graph"),
        "partial": said["partial"],
        **{name: said[name] for name in FIGURES},
    }


def saved_values(resource: Mapping[str, Any], snapshot_ids: Mapping[str, str]) -> dict[str, Any]:
    """Columns of a resource that say where its data lies."""
    values = {name: resource.get(name) for name in SAVED}
    return values | {"snapshot_id": snapshot_ids[key_of(resource)]}


def fill(
    uow: UnitOfWork, checkpoint: Checkpoint, manifest: Manifest, snapshot_ids: Mapping[str, str]
) -> None:
    """Have the rows of a checkpoint's resources say what its manifest does: all of it is available."""
    rows = {row.key: row for row in checkpoint.resources}
    for resource in manifest.resources:
        row = rows.get(key_of(resource))
        if row is None:
            checkpoint.resources.append(_resource_row(resource, snapshot_ids))
            continue
        for name, value in saved_values(resource, snapshot_ids).items():
            setattr(row, name, value)
        row.reason = None
        if row.status != ResourceStatus.AVAILABLE:
            move(uow.session, CheckpointResource, row.id, row.status, ResourceStatus.AVAILABLE)
    uow.flush()


def _resource_row(resource: Mapping[str, Any], snapshot_ids: Mapping[str, str]) -> CheckpointResource:
    return CheckpointResource(
        resource_id=resource["id"],
        resource_type=resource["type"],
        resource_name=resource["name"],
        extra_info=resource.get("extra_info"),
        status=ResourceStatus.AVAILABLE,
        **saved_values(resource, snapshot_ids),
    )


def text_of(value: datetime | None) -> str | None:
    """A moment as manifests write it."""
    return None if value is None else value.astimezone(UTC).isoformat(timespec="microseconds")


def read_moment(text: str | None) -> datetime | None:
    """:raises ValueError: no moment, one without a zone, or one before there were checkpoints."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    if not 1970 < moment.year < 9999:
        raise ValueError(f"{text} is not the time of a checkpoint")
    return moment.astimezone(UTC)


def _version() -> str:
    try:
        return metadata.version("protectd")
    except metadata.PackageNotFoundError:
        return "unknown"
