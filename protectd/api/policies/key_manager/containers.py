"""Rules of /v1/containers."""

from __future__ import annotations

from protectd.api.policies.base import rule
from protectd.api.policies.key_manager.checks import MEMBER, READ, WRITE

CREATE = "containers:post"
GET_ALL = "containers:get"
GET = "container:get"
DELETE = "container:delete"
SECRET_ADD = "container_secret:post"
SECRET_REMOVE = "container_secret:delete"
CONSUMERS_GET = "container_consumers:get"
CONSUMERS_POST = "container_consumers:post"
CONSUMERS_DELETE = "container_consumers:delete"
ACL_GET = "container_acls:get"
ACL_PUT = "container_acls:put_patch"
ACL_DELETE = "container_acls:delete"

_ALL = "/v1/containers"
_ONE = f"{_ALL}/{{container_id}}"
_SECRETS = f"{_ONE}/secrets"
_CONSUMERS = f"{_ONE}/consumers"
_ACL = f"{_ONE}/acl"

RULES = (
    rule(CREATE, "Keep a container.", ("POST", _ALL), check=MEMBER),
    rule(GET_ALL, "List containers.", ("GET", _ALL), check=MEMBER),
    rule(GET, "Show a container.", ("GET", _ONE), check=READ),
    rule(DELETE, "Delete a container.", ("DELETE", _ONE), check=WRITE),
    rule(SECRET_ADD, "Put a secret into a container.", ("POST", _SECRETS), check=WRITE),
    rule(SECRET_REMOVE, "Take a secret out of a container.", ("DELETE", _SECRETS), check=WRITE),
    rule(CONSUMERS_GET, "List a container's consumers.", ("GET", _CONSUMERS), check=READ),
    rule(CONSUMERS_POST, "Say that something needs a container.", ("POST", _CONSUMERS), check=READ),
    rule(CONSUMERS_DELETE, "Say that it does not any more.", ("DELETE", _CONSUMERS), check=READ),
    rule(ACL_GET, "Show who may read a container.", ("GET", _ACL), check=WRITE),
    rule(ACL_PUT, "Say who may read a container.", ("PUT", _ACL), ("PATCH", _ACL), check=WRITE),
    rule(ACL_DELETE, "Let the whole project read a container.", ("DELETE", _ACL), check=WRITE),
)
