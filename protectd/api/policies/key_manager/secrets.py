"""Rules of /v1/secrets."""

from __future__ import annotations

from protectd.api.policies.base import rule
from protectd.api.policies.key_manager.checks import ADMIN_OR_READ, ADMIN_OR_WRITE, MEMBER, READ, WRITE

CREATE = "secrets:post"
GET_ALL = "secrets:get"
GET = "secret:get"
DECRYPT = "secret:decrypt"
PUT = "secret:put"
DELETE = "secret:delete"
CONSUMERS_GET = "secret_consumers:get"
CONSUMERS_POST = "secret_consumers:post"
CONSUMERS_DELETE = "secret_consumers:delete"
META_GET = "secret_meta:get"
META_POST = "secret_meta:post"
META_PUT = "secret_meta:put"
META_DELETE = "secret_meta:delete"
ACL_GET = "secret_acls:get"
ACL_PUT = "secret_acls:put_patch"
ACL_DELETE = "secret_acls:delete"

_ALL = "/v1/secrets"
_ONE = f"{_ALL}/{{secret_id}}"
_CONSUMERS = f"{_ONE}/consumers"
_META = f"{_ONE}/metadata"
_KEY = f"{_META}/{{key}}"
_ACL = f"{_ONE}/acl"

RULES = (
    rule(CREATE, "Keep a secret.", ("POST", _ALL), check=MEMBER),
    rule(GET_ALL, "List secrets.", ("GET", _ALL), check=MEMBER),
    rule(GET, "Show what is known of a secret.", ("GET", _ONE), check=ADMIN_OR_READ),
    rule(DECRYPT, "Read a secret's payload.", ("GET", f"{_ONE}/payload"), check=READ),
    rule(PUT, "Give a secret its payload.", ("PUT", _ONE), check=WRITE),
    rule(DELETE, "Delete a secret.", ("DELETE", _ONE), check=ADMIN_OR_WRITE),
    rule(CONSUMERS_GET, "List a secret's consumers.", ("GET", _CONSUMERS), check=READ),
    rule(CONSUMERS_POST, "Say that something needs a secret.", ("POST", _CONSUMERS), check=READ),
    rule(CONSUMERS_DELETE, "Say that it does not any more.", ("DELETE", _CONSUMERS), check=READ),
    rule(META_GET, "Show a secret's notes.", ("GET", _META), ("GET", _KEY), check=READ),
    rule(META_POST, "Add a note to a secret.", ("POST", _META), check=WRITE),
    rule(META_PUT, "Change a secret's notes.", ("PUT", _META), ("PUT", _KEY), check=WRITE),
    rule(META_DELETE, "Remove a note of a secret.", ("DELETE", _KEY), check=WRITE),
    rule(ACL_GET, "Show who may read a secret.", ("GET", _ACL), check=WRITE),
    rule(ACL_PUT, "Say who may read a secret.", ("PUT", _ACL), ("PATCH", _ACL), check=WRITE),
    rule(ACL_DELETE, "Let the whole project read a secret.", ("DELETE", _ACL), check=WRITE),
)
