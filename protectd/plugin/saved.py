"""For protections whose data the vault keeps: by what it is found there, and its verification."""

from __future__ import annotations

from protectd.plugin.base import Operation, ProtectContext, Schema, VerifyContext
from protectd.vault.tags import ATTEMPT_TAG, CHECKPOINT_TAG, RESOURCE_TAG

NO_PARAMETERS: Schema = {
    "type": "object",
    "title": "Nothing to choose",
    "properties": {},
    "additionalProperties": False,
}


def tags_of(context: ProtectContext) -> tuple[str, ...]:
    """By these a repeated run finds what an interrupted one left, and a late one what itself has."""
    tags = (CHECKPOINT_TAG + context.checkpoint_id, RESOURCE_TAG + context.resource.id)
    return (*tags, ATTEMPT_TAG + context.attempt) if context.attempt else tags


class VerifySaved(Operation):
    """Reads again what was saved, as deep as was asked for."""

    def __init__(self, context: VerifyContext) -> None:
        self._context = context

    def main(self) -> None:
        context = self._context
        context.report = context.vault.check(
            [context.snapshot_id], read_data=context.read_data, progress=context.progress
        )
