"""Providers: which there are, and what is in them."""

from __future__ import annotations

from typing import ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.controllers.checkpoints import CheckpointsController
from protectd.api.controllers.lists import Shelf, listed
from protectd.api.policies import providers as policies
from protectd.api.schemas import providers as schemas
from protectd.api.terms import Listing, Terms
from protectd.api.views import providers as views

SORT_KEYS = ("id", "name")
LISTING = Listing(SORT_KEYS, ("name", "description", "id"), everyones=True)


class ProvidersController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/providers"
    terms = {"GET": Terms({200: schemas.PAGE}, query=LISTING.query())}

    def child(self, segment: str, call: Call) -> Controller | None:
        return ProviderController(segment)

    def on_get(self, call: Call) -> Answer:
        """Those that can be used, by name or description if asked."""
        call.can(policies.GET_ALL)
        filters = call.filters()
        shelf = Shelf(
            provider
            for provider in call.runtime.providers.all()
            if all(getattr(provider, name) == value for name, value in filters.items())
        )
        return listed(call, "providers", ["providers"], shelf.page, views.detail, SORT_KEYS)


class ProviderController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/providers/{provider_id}"
    terms = {"GET": Terms({200: schemas.ONE})}

    def __init__(self, provider_id: str) -> None:
        self.provider_id = provider_id

    def child(self, segment: str, call: Call) -> Controller | None:
        return CheckpointsController(self.provider_id) if segment == "checkpoints" else None

    def on_get(self, call: Call) -> Answer:
        """With the schemas of all that its plug-ins can be told."""
        call.can(policies.GET)
        return Answer({schemas.KEY: views.detail(call.provider(self.provider_id))})
