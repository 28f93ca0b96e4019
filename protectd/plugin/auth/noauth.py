"""No authentication: whoever reaches the port says who they are. For trials on one host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Self

from protectd.common.errors import Unauthorized
from protectd.plugin.auth.token import presented_token
from protectd.plugin.base import AuthPlugin, Identity, IdentityLookup

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


class NoAuth(AuthPlugin):
    """A token `user:project` makes its bearer an administrator in that project; `name` means `name:name`."""

    loopback_only: ClassVar[bool] = True

    @classmethod
    def from_options(cls, options: Mapping[str, str], lookup: IdentityLookup) -> Self:
        return cls()

    def authenticate(self, headers: Mapping[str, str]) -> Identity:
        user, _, project = presented_token(headers).partition(":")
        project = project or user
        if not (_NAME.fullmatch(user) and _NAME.fullmatch(project)):
            raise Unauthorized
        return Identity(user_id=user, project_id=project, roles=("admin",))
