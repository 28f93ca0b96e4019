"""What the key manager's controllers share: microversions, pages by offset, bodies of its size."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from protectd.api import environ as env
from protectd.api import microversions
from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.errors import MalformedBody
from protectd.api.query import MAX_VALUE_CHARACTERS
from protectd.api.schemas.common import Schema
from protectd.api.schemas.key_manager.common import ID, UUID4
from protectd.api.terms import Parameter
from protectd.common.errors import Forbidden, NotFound
from protectd.domain.key_manager import access
from protectd.domain.validation import NO_NUL
from protectd.model.models import Acl, Container, Secret
from protectd.model.repositories.containers import ContainerNotFound

Found = TypeVar("Found", Secret, Container)

MAX_BODY_BYTES = 25_000
DEFAULT_LIMIT, MAX_LIMIT = 10, 100
MAX_OFFSET = 2**31

TEXT: Schema = {"type": "string", "maxLength": MAX_VALUE_CHARACTERS, "pattern": NO_NUL}
WINDOW = (
    Parameter(
        "limit", TEXT, f"entries of a page, {MAX_LIMIT} at most; {DEFAULT_LIMIT} where it is no number"
    ),
    Parameter("offset", TEXT, "entries to leave out; none where it is no number"),
)
LIKE = "; `%` and `_` stand for anything"

_ID = re.compile(UUID4)


_IDS = ("secret_id", "container_id", "order_id", "secret_store_id", "transport_key_id")


class InvalidId(NotFound):
    code = "id.invalid"
    message = "the id is invalid"


class KeyManagerController(Controller):
    """Answers and refusals say which version of the contract they are of."""

    places: ClassVar[Mapping[str, Schema]] = dict.fromkeys(_IDS, ID)

    def answer(self, call: Call) -> Answer:
        version = microversions.of(call.headers)
        call.environ[env.TOLD] = {
            microversions.HEADER: f"{microversions.SERVICE} {microversions.spelled(version)}",
            "Vary": microversions.HEADER.lower(),
        }
        return super().answer(call)


def checked_id(text: str) -> str:
    """:raises InvalidId: not the canonical text of a random UUID."""
    if not _ID.fullmatch(text):
        raise InvalidId
    return text


def json_body(call: Call) -> dict[str, Any]:
    """As the terms of the verb have it.

    :raises MalformedBody: it is longer than the contract reads.
    """
    if len(call.raw_body) > MAX_BODY_BYTES:
        raise MalformedBody(field="body", reason=f"is longer than {MAX_BODY_BYTES} bytes")
    return call.body()


def window(call: Call) -> tuple[int, int]:
    """Limit and offset. The contract takes anything, and makes the best of it."""
    values = call.query.values
    limit = _number(values.get("limit"), DEFAULT_LIMIT)
    return min(max(limit, 1), MAX_LIMIT), min(max(_number(values.get("offset"), 0), 0), MAX_OFFSET)


def _number(text: str | None, default: int) -> int:
    try:
        return int((text or "")[:12])
    except ValueError:
        return default


def may(call: Call, rule: str, target: Mapping[str, Any] | None = None) -> None:
    """:raises Forbidden: the policy says no; that a thing is there is no secret here."""
    facts = {"project_id": call.project_id} if target is None else target
    if not call.runtime.policies.allows(rule, call.context, facts):
        raise Forbidden(action=rule)


def may_with(call: Call, rule: str, thing: access.Owned, id: str) -> Acl | None:
    """As `may`, about a thing with its list of readers, which is given back."""
    acl = call.uow.acls.find(id)
    may(call, rule, access.facts(thing, acl, call.context.user_id))
    return acl


def may_make(call: Call, rule: str) -> None:
    """As `may`, about something new. What would be the service's own is made in other ways only.

    :raises Forbidden: for a token of the service's own project, too.
    """
    may(call, rule)
    if call.project_id == _services(call):
        raise Forbidden(action=rule)


def listed_project(call: Call) -> str:
    """Whose things lists show. Empty for a token of the service's own project, whose things are nobody's."""
    return "" if call.project_id == _services(call) else call.project_id


def of_a_tenant(call: Call, thing: Found, not_found: type[NotFound]) -> Found:
    """:raises NotFound: of the given kind, for what is the service's own."""
    if thing.project_id == _services(call):
        raise not_found(id=thing.id)
    return thing


def container_of(call: Call, container_id: str, *, lock: bool) -> Container:
    """The container of a path, whosever it is. The service's own are nobody's.

    :raises ContainerNotFound: there is none.
    """
    found = call.uow.containers.get(checked_id(container_id), lock=lock)
    return of_a_tenant(call, found, ContainerNotFound)


def _services(call: Call) -> str:
    return call.runtime.options.service_project_id


def base_of(call: Call) -> str:
    return f"{call.base_url()}/v1"
