"""Rules of /v1/secret-stores."""

from __future__ import annotations

from protectd.api.policies.base import ADMIN, rule
from protectd.api.policies.key_manager.checks import READER

GET_ALL = "secretstores:get"
GET_DEFAULT = "secretstores:get_global_default"
GET_PREFERRED = "secretstores:get_preferred"
GET = "secretstore:get"
PREFER = "secretstore_preferred:post"
PREFER_NONE = "secretstore_preferred:delete"

_ALL = "/v1/secret-stores"
_ONE = f"{_ALL}/{{secret_store_id}}"
_PREFERRED = f"{_ONE}/preferred"

RULES = (
    rule(GET_ALL, "List secret stores.", ("GET", _ALL), check=READER),
    rule(GET_DEFAULT, "Show the store that seals for all.", ("GET", f"{_ALL}/global-default"), check=READER),
    rule(GET_PREFERRED, "Show the store that a project prefers.", ("GET", f"{_ALL}/preferred"), check=READER),
    rule(GET, "Show a secret store.", ("GET", _ONE), check=READER),
    rule(PREFER, "Choose the store that seals for the project.", ("POST", _PREFERRED), check=ADMIN),
    rule(PREFER_NONE, "Let the store for all seal for it.", ("DELETE", _PREFERRED), check=ADMIN),
)
