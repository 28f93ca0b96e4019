"""Quotas of what the key manager keeps: its own for each project, any for administrators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.controllers.key_manager.base import (
    WINDOW,
    KeyManagerController,
    base_of,
    json_body,
    may,
    window,
)
from protectd.api.policies.key_manager import quotas as policies
from protectd.api.schemas.key_manager import quotas as schemas
from protectd.api.terms import Terms
from protectd.api.views.key_manager import quotas as views
from protectd.api.views.key_manager.common import page
from protectd.common.errors import NotFound
from protectd.domain import validation
from protectd.model.repositories.quotas import KEY_MANAGER


class NoQuotas(NotFound):
    code = "quota.not_found"
    message = "project {project_id} has no quotas of its own"


class EffectiveQuotasController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/quotas"
    terms = {"GET": Terms({200: schemas.EFFECTIVE})}

    def on_get(self, call: Call) -> Answer:
        """The limits that hold for the caller's project; -1: none."""
        may(call, policies.GET)
        return Answer({"quotas": views.limits(call.quotas.limits(call.project_id))})


class ProjectQuotasController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/project-quotas"
    terms = {"GET": Terms({200: schemas.PAGE}, query=WINDOW)}

    def child(self, segment: str, call: Call) -> Controller | None:
        return ProjectQuotaController(segment)

    def on_get(self, call: Call) -> Answer:
        """Projects that have limits of their own, by id; null: the default holds."""
        may(call, policies.GET_PROJECTS)
        limit, offset = window(call)
        projects, total = call.uow.quotas.limited(KEY_MANAGER, limit, offset)
        limits = call.uow.quotas.limits_of(projects)
        listed = [{"project_id": each, schemas.KEY: views.limits(limits.get(each, {}))} for each in projects]
        return Answer(page(schemas.KEY, listed, total, (limit, offset), f"{base_of(call)}/project-quotas"))


class ProjectQuotaController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/project-quotas/{quota_project_id}"
    places = {"quota_project_id": schemas.IN_PATH}
    terms = {
        "GET": Terms({200: schemas.ONE}),
        "PUT": Terms({204: None}, body=schemas.UPDATE),
        "DELETE": Terms({204: None}),
    }

    def __init__(self, project_id: str) -> None:
        self.project_id = project_id

    def on_get(self, call: Call) -> Answer:
        """The limits that are the project's own; null: the default holds. 404 where there are none."""
        may(call, policies.GET_PROJECTS)
        limits = self._known(call.uow.quotas.limits(self._checked()))
        return Answer({schemas.KEY: views.limits(limits)})

    def on_put(self, call: Call) -> Answer:
        """Change the limits that are given: 204. What is there stays, though it be more."""
        may(call, policies.PUT)
        limits = json_body(call)[schemas.KEY]
        call.uow.quotas.set_limits(self._checked(), limits)
        return Answer(None, status=204)

    def on_delete(self, call: Call) -> Answer:
        """From now on the defaults hold: 204, or 404 where they do already."""
        may(call, policies.DELETE)
        if not call.uow.quotas.remove_limits(self._checked(), KEY_MANAGER):
            raise NoQuotas(project_id=self.project_id)
        return Answer(None, status=204)

    def _checked(self) -> str:
        """:raises InvalidField: no project is called so."""
        validation.check(self.project_id, schemas.PROJECT_ID, "quota_project_id")
        return self.project_id

    def _known(self, limits: Mapping[str, int]) -> Mapping[str, int]:
        """:raises NoQuotas: there are none of the key manager's."""
        if not limits.keys() & set(KEY_MANAGER):
            raise NoQuotas(project_id=self.project_id)
        return limits
