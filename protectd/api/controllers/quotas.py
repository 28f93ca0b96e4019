"""Quotas of projects: show, with what is in use, the defaults; change and take away for administrators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.links import path_id
from protectd.api.policies import quotas as policies
from protectd.api.schemas import quotas as schemas
from protectd.api.terms import Terms
from protectd.api.views import quotas as views
from protectd.model.repositories.quotas import PROTECTION


class QuotasController(Controller):
    """/v1/{project_id}/quotas: leads to those of a project."""

    def child(self, segment: str, call: Call) -> Controller | None:
        return QuotaController(segment)


class QuotaController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/quotas/{quota_project_id}"
    terms = {
        "GET": Terms({200: schemas.ONE}, refusals=(403,)),
        "PUT": Terms(
            {200: schemas.UPDATED}, body=schemas.UPDATE, narrowed=schemas.update_of, refusals=(403,)
        ),
        "DELETE": Terms({204: None}, refusals=(403,)),
    }

    def __init__(self, project_id: str) -> None:
        self.project_id = project_id

    def child(self, segment: str, call: Call) -> Controller | None:
        below = {"detail": QuotaDetailController, "defaults": QuotaDefaultsController}.get(segment)
        return None if below is None else below(self.project_id)

    def on_get(self, call: Call) -> Answer:
        """The limits that hold; -1: none."""
        project_id = quota_project(call, self.project_id)
        call.can_in(policies.GET, project_id)
        return Answer({schemas.KEY: views.limits(call.quotas.limits(project_id)) | {"id": project_id}})

    def on_put(self, call: Call) -> Answer:
        """Change the limits that are given. What is in use stays, though it be more."""
        project_id = quota_project(call, self.project_id)
        call.can_in(policies.UPDATE, project_id)
        body = call.body()[schemas.KEY]
        call.uow.quotas.set_limits(project_id, numbers(body))
        return Answer({schemas.KEY: views.limits(call.quotas.limits(project_id))})

    def on_delete(self, call: Call) -> Answer:
        """From now on the defaults hold: 204. What is in use stays in use."""
        project_id = quota_project(call, self.project_id)
        call.can_in(policies.DELETE, project_id)
        call.uow.quotas.remove_limits(project_id, PROTECTION)
        return Answer(None, status=204)


class QuotaDetailController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/quotas/{quota_project_id}/detail"
    terms = {"GET": Terms({200: schemas.DETAIL}, refusals=(403,))}

    def __init__(self, project_id: str) -> None:
        self.project_id = project_id

    def on_get(self, call: Call) -> Answer:
        """The limits, and what is in use."""
        project_id = quota_project(call, self.project_id)
        call.can_in(policies.GET, project_id)
        shown = views.usage(call.quotas.limits(project_id), call.quotas.usages(project_id))
        return Answer({schemas.KEY: shown | {"id": project_id}})


class QuotaDefaultsController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/quotas/{quota_project_id}/defaults"
    terms = {"GET": Terms({200: schemas.ONE}, refusals=(403,))}

    def __init__(self, project_id: str) -> None:
        self.project_id = project_id

    def on_get(self, call: Call) -> Answer:
        """What would hold if the project had no limits of its own."""
        project_id = quota_project(call, self.project_id)
        call.can_in(policies.GET_DEFAULT, project_id)
        return Answer({schemas.KEY: views.limits(call.quotas.defaults(project_id)) | {"id": project_id}})


def quota_project(call: Call, text: str) -> str:
    """The project that a path is about, as tokens spell it. :raises InvalidField: it is no UUID."""
    if text != call.project_id:
        path_id(text, "quota_project_id")
    return text


def numbers(body: Mapping[str, Any]) -> dict[str, int]:
    return {resource: int(body[resource]) for resource in PROTECTION if resource in body}
