"""Containers: keep, list, show, delete; their secrets and consumers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.controllers.key_manager.acls import ContainerAclController
from protectd.api.controllers.key_manager.base import (
    LIKE,
    TEXT,
    WINDOW,
    KeyManagerController,
    base_of,
    checked_id,
    container_of,
    json_body,
    listed_project,
    may,
    may_make,
    may_with,
    window,
)
from protectd.api.policies.key_manager import containers as policies
from protectd.api.schemas.key_manager import containers as schemas
from protectd.api.terms import Parameter, Terms
from protectd.api.views.key_manager import containers as views
from protectd.api.views.key_manager.common import page
from protectd.common.errors import InvalidField
from protectd.domain.key_manager import containers
from protectd.model.models import Container

SECRETS = "/v1/secrets/"
NAME = Parameter("name", TEXT, f"only what is named so{LIKE}")
TYPE = Parameter("type", TEXT, "only containers of this type")


class ContainersController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/containers"
    terms = {
        "GET": Terms({200: schemas.PAGE}, query=(*WINDOW, NAME, TYPE)),
        "POST": Terms({201: schemas.MADE}, body=schemas.CREATE, narrowed=schemas.create_of),
    }

    def child(self, segment: str, call: Call) -> Controller | None:
        return ContainerController(segment)

    def on_get(self, call: Call) -> Answer:
        """The project's containers, oldest first."""
        may(call, policies.GET_ALL)
        values, (limit, offset) = call.query.values, window(call)
        narrowed = {name: values[name] for name in ("name", "type") if values.get(name)}
        found, total = call.uow.containers.list_and_count(
            listed_project(call),
            name=narrowed.get("name"),
            type=narrowed.get("type"),
            limit=limit,
            offset=offset,
        )
        listed, base = [views.detail(each, base_of(call)) for each in found], base_of(call)
        kept = list(narrowed.items())
        return Answer(page("containers", listed, total, (limit, offset), f"{base}/containers", kept))

    def on_post(self, call: Call) -> Answer:
        """Keep a container of secrets that are there: 201."""
        may_make(call, policies.CREATE)
        body = json_body(call)
        refs = [
            _ref(each, f"secret_refs.{number}.secret_ref")
            for number, each in enumerate(body.get("secret_refs") or [])
        ]
        now = call.runtime.clock.now()
        made = containers.create(
            call.uow, call.quotas, call.project_id, call.context.user_id, body, refs, now
        )
        url = ref(call, made.id)
        return Answer({"container_ref": url}, status=201, location=url)


def ref(call: Call, container_id: str) -> str:
    return f"{base_of(call)}/containers/{container_id}"


def _ref(wanted: Mapping[str, Any], field: str) -> containers.Ref:
    """Name and id of a secret that a reference names, by whichever name of this service.

    :raises InvalidField: it is no reference to a secret.
    """
    head, found, id = str(wanted["secret_ref"]).rstrip("/").rpartition(SECRETS)
    if not found or "/" in id or not head:
        raise InvalidField(field=field, reason="is no reference to a secret of this service")
    return (wanted.get("name") or "").strip(), checked_id(id)


class ContainerController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/containers/{container_id}"
    terms = {"GET": Terms({200: schemas.ONE}), "DELETE": Terms({204: None})}

    def __init__(self, container_id: str) -> None:
        self.container_id = container_id

    def child(self, segment: str, call: Call) -> Controller | None:
        match segment:
            case "secrets":
                return ContainerSecretsController(self.container_id)
            case "consumers":
                return ContainerConsumersController(self.container_id)
            case "acl":
                return ContainerAclController(self.container_id)
        return None

    def on_get(self, call: Call) -> Answer:
        found = container(call, self.container_id, policies.GET)
        return Answer(views.detail(found, base_of(call)))

    def on_delete(self, call: Call) -> Answer:
        """204. Its secrets stay; consumers do not keep it."""
        containers.delete(call.uow, container(call, self.container_id, policies.DELETE, lock=True))
        return Answer(None, status=204)


def container(call: Call, container_id: str, rule: str, *, lock: bool = False) -> Container:
    """The container of a path, if the caller may.

    :raises ContainerNotFound: there is none. :raises Forbidden: the policy says no.
    """
    found = container_of(call, container_id, lock=lock)
    may_with(call, rule, found, found.id)
    return found


class ContainerSecretsController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/containers/{container_id}/secrets"
    terms = {
        "POST": Terms({201: schemas.MADE}, body=schemas.REF, narrowed=schemas.ref_of),
        "DELETE": Terms({204: None}, body=schemas.REF, narrowed=schemas.ref_of),
    }

    def __init__(self, container_id: str) -> None:
        self.container_id = container_id

    def on_post(self, call: Call) -> Answer:
        """Put one more secret into a generic container: 201."""
        found = container(call, self.container_id, policies.SECRET_ADD, lock=True)
        named = _ref(json_body(call), "secret_ref")
        containers.add_secret(call.uow, found, named, call.runtime.clock.now())
        url = ref(call, found.id)
        return Answer({"container_ref": url}, status=201, location=url)

    def on_delete(self, call: Call) -> Answer:
        """Take one out of a generic container: 204."""
        found = container(call, self.container_id, policies.SECRET_REMOVE, lock=True)
        containers.remove_secret(call.uow, found, _ref(json_body(call), "secret_ref"))
        return Answer(None, status=204)


class ContainerConsumersController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/containers/{container_id}/consumers"
    terms = {
        "GET": Terms({200: schemas.CONSUMERS}, query=WINDOW),
        "POST": Terms({200: schemas.ONE}, body=schemas.CONSUMER, narrowed=schemas.consumer_of),
        "DELETE": Terms({200: schemas.ONE}, body=schemas.CONSUMER, narrowed=schemas.consumer_of),
    }

    def __init__(self, container_id: str) -> None:
        self.container_id = container_id

    def on_get(self, call: Call) -> Answer:
        """By name."""
        found = container(call, self.container_id, policies.CONSUMERS_GET)
        limit, offset = window(call)
        consumers = sorted(found.consumers, key=lambda each: (each.name, each.url))
        listed = [views.consumer(each) for each in consumers[offset : offset + limit]]
        url = f"{ref(call, found.id)}/consumers"
        return Answer(page("consumers", listed, len(consumers), (limit, offset), url))

    def on_post(self, call: Call) -> Answer:
        """Say that something needs it. Safe to repeat. The container is shown."""
        found = container(call, self.container_id, policies.CONSUMERS_POST, lock=True)
        body = json_body(call)
        containers.add_consumer(call.uow, call.quotas, found, body["name"], body["URL"], call.project_id)
        return Answer(views.detail(found, base_of(call)))

    def on_delete(self, call: Call) -> Answer:
        """Say that it does not any more. The container is shown."""
        found = container(call, self.container_id, policies.CONSUMERS_DELETE, lock=True)
        body = json_body(call)
        containers.remove_consumer(call.uow, found, body["name"], body["URL"], call.project_id)
        return Answer(views.detail(found, base_of(call)))
