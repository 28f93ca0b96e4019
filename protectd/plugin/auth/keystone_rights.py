"""Who may still act in a project, as Keystone says when the service's own user asks."""

from __future__ import annotations

from typing import Any

from keystoneauth1 import exceptions
from keystoneauth1.adapter import Adapter

from protectd.common.errors import ConfigurationError, Unavailable
from protectd.plugin.auth.keystone_service import GROUP
from protectd.plugin.base import Identity


class KeystoneRights:
    def __init__(self, identity_service: Adapter) -> None:
        self._service = identity_service

    def standing(self, identity: Identity) -> Identity | None:
        """The same user in the same project, with those of the roles that they have now, by themselves, by a
        group, by inheritance or by implication; None: they have none, or user, project or the domain of one
        is disabled or gone. A token could not be had either.

        :raises Unavailable: Keystone does not answer.
        :raises ConfigurationError: the service's user may not ask.
        """
        granted = self._roles(identity)
        if not granted or not self._is_enabled(identity):
            return None
        roles = tuple(role for role in identity.roles if role in granted)
        return Identity(identity.user_id, identity.project_id, roles)

    def _roles(self, identity: Identity) -> set[str]:
        found = self._get(
            "/role_assignments",
            **{"user.id": identity.user_id, "scope.project.id": identity.project_id},
            effective="true",
            include_names="true",
        )
        return {each["role"]["name"].lower() for each in found.get("role_assignments", ())}

    def _is_enabled(self, identity: Identity) -> bool:
        """Roles outlive that someone is disabled."""
        user = self._get(f"/users/{identity.user_id}").get("user", {})
        project = self._get(f"/projects/{identity.project_id}").get("project", {})
        domains = {thing["domain_id"] for thing in (user, project) if thing.get("domain_id")}
        things = [user, project, *(self._get(f"/domains/{id}").get("domain", {}) for id in domains)]
        return all(thing.get("enabled", False) for thing in things)

    def _get(self, path: str, **query: str) -> dict[str, Any]:
        """What is there; nothing where nothing is."""
        try:
            answer: dict[str, Any] = self._service.get(path, params=query).json()
        except exceptions.NotFound:
            return {}
        except exceptions.Forbidden as error:
            reason = "its user may not read who has which role; the role reader on the system lets it"
            raise ConfigurationError(where=f"[{GROUP}]", reason=reason) from error
        except (exceptions.ClientException, ValueError) as error:
            raise Unavailable(what="Keystone", reason=type(error).__name__) from error
        return answer
