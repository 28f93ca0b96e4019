"""Notes of users on a secret."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import quote

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.controllers.key_manager.base import KeyManagerController, json_body, may_with
from protectd.api.controllers.key_manager.secret_parts import locked, ref, seen
from protectd.api.policies.key_manager import secrets as policies
from protectd.api.schemas.key_manager import secrets as schemas
from protectd.api.terms import Terms
from protectd.common.errors import Conflict, InvalidField, NotFound
from protectd.model.base import LENGTH_NAME
from protectd.model.models import SecretMetadata


class NoteNotFound(NotFound):
    code = "secret.metadata_not_found"
    message = "secret {id} has no metadata {key}"


class NoteThere(Conflict):
    code = "secret.metadata_there"
    message = "secret {id} has metadata {key} already"


class OtherKey(Conflict):
    code = "secret.metadata_other_key"
    message = "the key in the body is not the one in the path"


class NotesController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/secrets/{secret_id}/metadata"
    terms = {
        "GET": Terms({200: schemas.NOTES_SHOWN}),
        "PUT": Terms({201: schemas.NOTES_MADE}, body=schemas.NOTES, narrowed=schemas.notes_of),
        "POST": Terms({201: schemas.NOTE_SHOWN}, body=schemas.NOTE, narrowed=schemas.note_of),
    }

    def __init__(self, secret_id: str) -> None:
        self.secret_id = secret_id

    def child(self, segment: str, call: Call) -> Controller | None:
        return NoteController(self.secret_id, segment)

    def on_get(self, call: Call) -> Answer:
        secret = seen(call, self.secret_id, policies.META_GET)
        return Answer({"metadata": call.uow.secrets.notes(secret.id)})

    def on_put(self, call: Call) -> Answer:
        """These and no others from now on: 201. Keys are kept in lower case."""
        secret = locked(call, self.secret_id)
        may_with(call, policies.META_PUT, secret, secret.id)
        notes = json_body(call)["metadata"]
        call.uow.secrets.replace_notes(secret.id, {key.lower(): value for key, value in notes.items()})
        return Answer({"metadata_ref": f"{ref(call, secret.id)}/metadata"}, status=201)

    def on_post(self, call: Call) -> Answer:
        """One more: 201, or 409 when it is there."""
        secret = locked(call, self.secret_id)
        may_with(call, policies.META_POST, secret, secret.id)
        note = json_body(call)
        key = note["key"].lower()
        if len(key) > LENGTH_NAME:  # a letter may become two
            raise InvalidField(field="key", reason="is too long")
        if call.uow.secrets.note(secret.id, key) is not None:
            raise NoteThere(id=secret.id, key=key)
        call.uow.session.add(SecretMetadata(secret_id=secret.id, key=key, value=note["value"]))
        location = f"{ref(call, secret.id)}/metadata/{quote(key)}"
        return Answer({"key": key, "value": note["value"]}, status=201, location=location)


class NoteController(KeyManagerController):
    """The key goes to the end of the path, slashes and all. Escaped ones are refused before it comes here."""

    path: ClassVar[str | None] = "/v1/secrets/{secret_id}/metadata/{key}"
    places = {**KeyManagerController.places, "key": schemas.NOTE_SEGMENT}
    terms = {
        "GET": Terms({200: schemas.NOTE_SHOWN}),
        "PUT": Terms({200: schemas.NOTE_SHOWN}, body=schemas.NOTE, narrowed=schemas.note_of),
        "DELETE": Terms({204: None}),
    }

    def __init__(self, secret_id: str, key: str) -> None:
        self.secret_id = secret_id
        self.key = key

    def child(self, segment: str, call: Call) -> Controller | None:
        return NoteController(self.secret_id, f"{self.key}/{segment}")

    def on_get(self, call: Call) -> Answer:
        seen(call, self.secret_id, policies.META_GET)
        return Answer(_shown(self._note(call)))

    def on_put(self, call: Call) -> Answer:
        secret = locked(call, self.secret_id)
        may_with(call, policies.META_PUT, secret, secret.id)
        wanted = json_body(call)
        if wanted["key"].lower() != self.key.lower():
            raise OtherKey
        note = self._note(call)
        note.value = wanted["value"]
        return Answer(_shown(note))

    def on_delete(self, call: Call) -> Answer:
        """204, also when it was not there."""
        secret = locked(call, self.secret_id)
        may_with(call, policies.META_DELETE, secret, secret.id)
        call.uow.secrets.remove_note(secret.id, self.key.lower())
        return Answer(None, status=204)

    def _note(self, call: Call) -> SecretMetadata:
        note = call.uow.secrets.note(self.secret_id, self.key.lower())
        if note is None:
            raise NoteNotFound(id=self.secret_id, key=self.key[:255])
        return note


def _shown(note: SecretMetadata) -> dict[str, str]:
    return {"key": note.key, "value": note.value}
