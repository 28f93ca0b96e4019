"""Who may read a secret."""

from __future__ import annotations

from typing import Any, ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.key_manager.base import KeyManagerController, json_body, may_with
from protectd.api.controllers.key_manager.secret_parts import described, ref, whole
from protectd.api.policies.key_manager import secrets as policies
from protectd.api.schemas.key_manager import secrets as schemas
from protectd.api.views.key_manager import common as views
from protectd.model.models import Acl, Secret

KIND = "secret"


class AclController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/secrets/{secret_id}/acl"

    def __init__(self, secret_id: str) -> None:
        self.secret_id = secret_id

    def on_get(self, call: Call) -> Answer:
        secret = described(call, self.secret_id)
        may_with(call, policies.ACL_GET, secret, secret.id)
        return Answer(views.acl(call.uow.acls.find(secret.id)))

    def on_put(self, call: Call) -> Answer:
        """As it says and no otherwise: what is left out is nobody, and the whole project."""
        secret = self._to_change(call)
        body = json_body(call, schemas.ACL)
        if "read" in body:
            _put(call, secret, body["read"], None)
        else:
            call.uow.acls.remove(secret.id)
        return self._told(call, secret)

    def on_patch(self, call: Call) -> Answer:
        """What is left out stays as it is."""
        secret = self._to_change(call)
        body = json_body(call, schemas.ACL)
        if "read" in body:
            _put(call, secret, body["read"], call.uow.acls.find(secret.id))
        return self._told(call, secret)

    def on_delete(self, call: Call) -> Answer:
        """The whole project may read again. The contract answers null."""
        secret = whole(call, self.secret_id, lock=True)
        may_with(call, policies.ACL_DELETE, secret, secret.id)
        call.uow.acls.remove(secret.id)
        return Answer(b"null")

    def _to_change(self, call: Call) -> Secret:
        secret = whole(call, self.secret_id, lock=True)
        may_with(call, policies.ACL_PUT, secret, secret.id)
        return secret

    def _told(self, call: Call, secret: Secret) -> Answer:
        return Answer({"acl_ref": f"{ref(call, secret.id)}/acl"})


def _put(call: Call, secret: Secret, wanted: dict[str, Any], before: Acl | None) -> None:
    access = before.project_access if before is not None else True
    users = [user.user_id for user in before.users] if before is not None else []
    call.uow.acls.put(
        secret.id,
        KIND,
        project_access=wanted.get("project-access", access),
        users=wanted.get("users", users),
    )
