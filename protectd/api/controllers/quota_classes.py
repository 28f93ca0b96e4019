"""Quotas of classes of projects, for administrators. Every project that has none of its own has a class."""

from __future__ import annotations

from typing import ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.controllers.quotas import numbers
from protectd.api.policies import quota_classes as policies
from protectd.api.schemas import quotas as schemas
from protectd.api.terms import Terms
from protectd.api.views import quotas as views
from protectd.domain import validation


class QuotaClassesController(Controller):
    """/v1/{project_id}/quota_classes: leads to one of them."""

    def child(self, segment: str, call: Call) -> Controller | None:
        return QuotaClassController(segment)


class QuotaClassController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/quota_classes/{class_name}"
    terms = {
        "GET": Terms({200: schemas.ONE_CLASS}, refusals=(403,)),
        "PUT": Terms(
            {200: schemas.UPDATED_CLASS},
            body=schemas.UPDATE_CLASS,
            narrowed=schemas.update_class_of,
            refusals=(403,),
        ),
    }

    def __init__(self, class_name: str) -> None:
        self.class_name = class_name

    def on_get(self, call: Call) -> Answer:
        """The limits of a class. One that nobody has set has those of the class `default`."""
        call.can(policies.GET)
        name = self._name()
        return Answer({schemas.CLASS_KEY: views.limits(call.quotas.class_limits(name)) | {"id": name}})

    def on_put(self, call: Call) -> Answer:
        """Change the limits that are given, for all projects of the class that have none of their own."""
        call.can(policies.UPDATE)
        name = self._name()
        body = call.body()[schemas.CLASS_KEY]
        call.uow.quotas.set_class_limits(name, numbers(body))
        return Answer({schemas.CLASS_KEY: views.limits(call.quotas.class_limits(name))})

    def _name(self) -> str:
        validation.check(self.class_name, schemas.CLASS_NAME, "class_name")
        return self.class_name
