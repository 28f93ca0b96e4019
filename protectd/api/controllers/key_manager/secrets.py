"""Secrets: keep, list, show, read, give a payload, delete."""

from __future__ import annotations

from typing import Any, ClassVar

from protectd.api import environ as env
from protectd.api import microversions
from protectd.api.answers import Answer
from protectd.api.bodies import JSON
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.controllers.key_manager import secret_queries
from protectd.api.controllers.key_manager.acls import SecretAclController
from protectd.api.controllers.key_manager.base import (
    KeyManagerController,
    base_of,
    json_body,
    may,
    may_make,
    may_with,
)
from protectd.api.controllers.key_manager.secret_consumers import SecretConsumersController
from protectd.api.controllers.key_manager.secret_metadata import NotesController
from protectd.api.controllers.key_manager.secret_parts import locked, ref, seen, shown, shown_all
from protectd.api.policies.key_manager import secrets as policies
from protectd.api.query import InvalidQuery
from protectd.api.schemas.key_manager import secrets as schemas
from protectd.api.terms import Parameter, Terms
from protectd.api.views.key_manager.common import page
from protectd.common.errors import InvalidField
from protectd.domain.key_manager import payloads, secrets

FORCE = Parameter("force", {"type": "boolean"}, "delete it though it has consumers; from microversion 1.2")
JSON_ACCEPTED = ("", JSON, payloads.ANY)


class SecretsController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/secrets"
    terms = {
        "GET": Terms({200: schemas.PAGE}, query=secret_queries.QUERY),
        "POST": Terms({201: schemas.MADE}, body=schemas.CREATE, narrowed=schemas.create_of),
    }

    def child(self, segment: str, call: Call) -> Controller | None:
        return SecretController(segment)

    def on_get(self, call: Call) -> Answer:
        """The project's secrets that have not expired; oldest first if nothing else is asked."""
        may(call, policies.GET_ALL)
        wanted = secret_queries.of(call)
        found, total = call.uow.secrets.list_and_count(wanted)
        listed = shown_all(call, found)
        url, kept = f"{base_of(call)}/secrets", secret_queries.kept(call)
        return Answer(page("secrets", listed, total, (wanted.limit, wanted.offset), url, kept))

    def on_post(self, call: Call) -> Answer:
        """Keep a secret: 201. Its payload may come with it or later."""
        may_make(call, policies.CREATE)
        body = json_body(call)
        _refuse_transport_keys(body)
        runtime = call.runtime
        secret = secrets.create(
            call.uow,
            call.quotas,
            runtime.secrets(),
            call.project_id,
            call.context.user_id,
            body,
            runtime.clock.now(),
        )
        url = ref(call, secret.id)
        return Answer({"secret_ref": url}, status=201, location=url)


def _refuse_transport_keys(body: dict[str, Any]) -> None:
    """No store has any."""
    if body.get("transport_key_needed") == "true":
        raise InvalidField(field="transport_key_needed", reason="no secret store has transport keys")
    if "transport_key_id" in body:
        raise InvalidField(field="transport_key_id", reason="no secret store has transport keys")


class SecretController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/secrets/{secret_id}"
    terms = {
        "GET": Terms({200: schemas.ONE}),
        "PUT": Terms({204: None}, takes=schemas.UPLOADS),
        "DELETE": Terms({204: None}, query=(FORCE,)),
    }

    def __init__(self, secret_id: str) -> None:
        self.secret_id = secret_id

    def child(self, segment: str, call: Call) -> Controller | None:
        match segment:
            case "payload":
                return PayloadController(self.secret_id)
            case "consumers":
                return SecretConsumersController(self.secret_id)
            case "metadata":
                return NotesController(self.secret_id)
            case "acl":
                return SecretAclController(self.secret_id)
        return None

    def on_get(self, call: Call) -> Answer:
        """What is known of it; its payload, for clients of old that accept something else than JSON."""
        if call.headers.get("accept", "").strip() not in JSON_ACCEPTED:
            return payload_of(call, self.secret_id)
        secret = seen(call, self.secret_id, policies.GET)
        return Answer(shown(call, secret))

    def on_put(self, call: Call) -> Answer:
        """Its payload, where it has none: 204, or 409."""
        headers = call.headers
        secret = locked(call, self.secret_id)
        may_with(call, policies.PUT, secret, secret.id)
        encoding = headers.get("content-encoding", "").strip().lower()
        content_type = str(call.environ.get("CONTENT_TYPE", ""))
        payload = payloads.of_upload(call.raw_body, content_type, encoding)
        secrets.put_payload(call.uow, call.runtime.secrets(), secret, payload)
        return Answer(None, status=204)

    def on_delete(self, call: Call) -> Answer:
        """For good: 204, or 400 while it has consumers and nobody forces it."""
        secret = locked(call, self.secret_id)
        may_with(call, policies.DELETE, secret, secret.id)
        guarded = microversions.of(call.headers) >= microversions.FORCED and not _forced(call)
        secrets.delete(call.uow, secret, refuse_consumers=guarded)
        return Answer(None, status=204)


def _forced(call: Call) -> bool:
    try:
        return call.query.flag("force")
    except InvalidQuery as error:
        raise InvalidField(field="force", reason="must be true or false") from error


class PayloadController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/secrets/{secret_id}/payload"
    terms = {"GET": Terms({200: None}, gives=payloads.KINDS)}

    def __init__(self, secret_id: str) -> None:
        self.secret_id = secret_id

    def on_get(self, call: Call) -> Answer:
        """The bytes themselves, in a type that is accepted."""
        return payload_of(call, self.secret_id)


def payload_of(call: Call, secret_id: str) -> Answer:
    secret = seen(call, secret_id, policies.DECRYPT, sealed=True)
    payload = secrets.read_payload(call.uow, call.runtime.secrets(), secret)
    told = payloads.as_accepted(payload.content_type, payload.plain, call.headers.get("accept", ""))
    _note_read(call, secret.id)
    return Answer(payload.plain, media=told, secret=True)


def _note_read(call: Call, secret_id: str) -> None:
    """:raises AuditUnavailable: it could not be told of, so it is not done."""
    address = env.peer(call.environ, trust_forwarded=call.runtime.options.trust_forwarded)
    call.runtime.audit().note("secret.read", call.context, address, secret_id=secret_id)
