"""Secret stores: list, show, and choose the one that seals for a project."""

from __future__ import annotations

from typing import ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.controllers.key_manager.base import KeyManagerController, base_of, may
from protectd.api.policies.key_manager import secret_stores as policies
from protectd.api.schemas.key_manager import secret_stores as schemas
from protectd.api.terms import Terms
from protectd.api.views.key_manager import secret_stores as views


class SecretStoresController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/secret-stores"
    terms = {"GET": Terms({200: schemas.ALL})}

    def child(self, segment: str, call: Call) -> Controller | None:
        match segment:
            case "global-default":
                return DefaultStoreController()
            case "preferred":
                return PreferredStoreController()
        return SecretStoreController(segment)

    def on_get(self, call: Call) -> Answer:
        """All of them; 404 where there is but one, and nothing to choose."""
        may(call, policies.GET_ALL)
        found = call.runtime.secret_stores.all()
        return Answer({"secret_stores": [views.detail(each, base_of(call)) for each in found]})


class DefaultStoreController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/secret-stores/global-default"
    terms = {"GET": Terms({200: schemas.ONE})}

    def on_get(self, call: Call) -> Answer:
        """The one that seals for every project that prefers no other."""
        may(call, policies.GET_DEFAULT)
        return Answer(views.detail(call.runtime.secret_stores.default(), base_of(call)))


class PreferredStoreController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/secret-stores/preferred"
    terms = {"GET": Terms({200: schemas.ONE})}

    def on_get(self, call: Call) -> Answer:
        """The one that the caller's project prefers; 404 where it prefers none."""
        may(call, policies.GET_PREFERRED)
        found = call.runtime.secret_stores.preferred(call.uow, call.project_id)
        return Answer(views.detail(found, base_of(call)))


class SecretStoreController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/secret-stores/{secret_store_id}"
    terms = {"GET": Terms({200: schemas.ONE})}

    def __init__(self, secret_store_id: str) -> None:
        self.secret_store_id = secret_store_id

    def child(self, segment: str, call: Call) -> Controller | None:
        if segment == "preferred":
            return PreferenceController(self.secret_store_id)
        return NothingBelowController(self.secret_store_id)

    def on_get(self, call: Call) -> Answer:
        may(call, policies.GET)
        return Answer(views.detail(call.runtime.secret_stores.get(self.secret_store_id), base_of(call)))


class NothingBelowController(KeyManagerController):
    """Whatever else is asked for below a store. The contract answers 405 where the store is there."""

    def __init__(self, secret_store_id: str) -> None:
        self.secret_store_id = secret_store_id

    def child(self, segment: str, call: Call) -> Controller | None:
        return self

    def without_verbs(self, call: Call) -> Answer:
        """:raises StoreNotFound: it is not there. :raises MethodNotAllowed: it is."""
        may(call, policies.GET)
        call.runtime.secret_stores.get(self.secret_store_id)
        return self._options(call)


class PreferenceController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/secret-stores/{secret_store_id}/preferred"
    terms = {"POST": Terms({204: None}), "DELETE": Terms({204: None})}

    def __init__(self, secret_store_id: str) -> None:
        self.secret_store_id = secret_store_id

    def on_post(self, call: Call) -> Answer:
        """Seal there what the project adds from now on: 204. What it has stays where it is."""
        may(call, policies.PREFER)
        call.runtime.secret_stores.prefer(call.uow, call.project_id, self.secret_store_id)
        return Answer(None, status=204)

    def on_delete(self, call: Call) -> Answer:
        """Prefer none: 204, or 404 where that is so already."""
        may(call, policies.PREFER_NONE)
        call.runtime.secret_stores.forget_preferred(call.uow, call.project_id, self.secret_store_id)
        return Answer(None, status=204)
