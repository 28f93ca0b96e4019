"""What someone may do at this moment, asked by what was scheduled earlier."""

from __future__ import annotations

from protectd.api.policies.base import Policies
from protectd.common.context import RequestContext
from protectd.plugin.base import AuthPlugin, Identity


class PresentRights:
    """Asks the same authentication and the same policies as a request meets."""

    def __init__(self, auth: AuthPlugin, policies: Policies) -> None:
        self._auth = auth
        self._policies = policies

    @property
    def remote(self) -> bool:
        return self._auth.remote

    def look_ahead(self, identity: Identity) -> None:
        self._auth.look_ahead(identity)

    def standing(self, identity: Identity) -> Identity | None:
        return self._auth.standing(identity)

    def may(self, rule: str, context: RequestContext, project_id: str) -> bool:
        return self._policies.may(rule, context, project_id)
