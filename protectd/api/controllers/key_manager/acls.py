"""Who may read a secret or a container."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.key_manager.base import (
    KeyManagerController,
    base_of,
    container_of,
    json_body,
    may_with,
)
from protectd.api.controllers.key_manager.secret_parts import described, locked
from protectd.api.policies.key_manager import containers as container_policies
from protectd.api.policies.key_manager import secrets as secret_policies
from protectd.api.schemas.key_manager import common as schemas
from protectd.api.terms import Terms
from protectd.api.views.key_manager import common as views
from protectd.domain.key_manager import access
from protectd.model.models import Acl


class AclController(KeyManagerController):
    """
    :cvar kind: of the thing it is about. :cvar noun: of its paths.
    :cvar rules: for showing, changing and removing.
    """

    terms = {
        "GET": Terms({200: schemas.ACL_SHOWN}),
        "PUT": Terms({200: schemas.ACL_TOLD}, body=schemas.ACL),
        "PATCH": Terms({200: schemas.ACL_TOLD}, body=schemas.ACL),
        "DELETE": Terms({200: schemas.NOTHING}),
    }
    kind: ClassVar[str]
    noun: ClassVar[str]
    rules: ClassVar[tuple[str, str, str]]

    def __init__(self, id: str) -> None:
        self.id = id

    @abstractmethod
    def thing(self, call: Call, *, lock: bool) -> access.Owned:
        """:raises NotFound: it is not there."""

    def on_get(self, call: Call) -> Answer:
        return Answer(views.acl(self._may(call, self.rules[0], lock=False)))

    def on_put(self, call: Call) -> Answer:
        """As it says and no otherwise: what is left out is nobody, and the whole project."""
        self._may(call, self.rules[1])
        body = json_body(call)
        if "read" in body:
            self._put(call, body["read"], None)
        else:
            call.uow.acls.remove(self.id)
        return self._told(call)

    def on_patch(self, call: Call) -> Answer:
        """What is left out stays as it is."""
        before = self._may(call, self.rules[1])
        body = json_body(call)
        if "read" in body:
            self._put(call, body["read"], before)
        return self._told(call)

    def on_delete(self, call: Call) -> Answer:
        """The whole project may read again. The contract answers null."""
        self._may(call, self.rules[2])
        call.uow.acls.remove(self.id)
        return Answer(b"null")

    def _may(self, call: Call, rule: str, *, lock: bool = True) -> Acl | None:
        return may_with(call, rule, self.thing(call, lock=lock), self.id)

    def _put(self, call: Call, wanted: dict[str, Any], before: Acl | None) -> None:
        access = before.project_access if before is not None else True
        users = [user.user_id for user in before.users] if before is not None else []
        call.uow.acls.put(
            self.id,
            self.kind,
            project_access=wanted.get("project-access", access),
            users=wanted.get("users", users),
        )

    def _told(self, call: Call) -> Answer:
        return Answer({"acl_ref": f"{base_of(call)}/{self.noun}/{self.id}/acl"})


class SecretAclController(AclController):
    path: ClassVar[str | None] = "/v1/secrets/{secret_id}/acl"
    kind, noun = "secret", "secrets"
    rules = (secret_policies.ACL_GET, secret_policies.ACL_PUT, secret_policies.ACL_DELETE)

    def thing(self, call: Call, *, lock: bool) -> access.Owned:
        return locked(call, self.id) if lock else described(call, self.id)


class ContainerAclController(AclController):
    path: ClassVar[str | None] = "/v1/containers/{container_id}/acl"
    kind, noun = "container", "containers"
    rules = (container_policies.ACL_GET, container_policies.ACL_PUT, container_policies.ACL_DELETE)

    def thing(self, call: Call, *, lock: bool) -> access.Owned:
        return container_of(call, self.id, lock=lock)
