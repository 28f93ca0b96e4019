"""The way from the top of the service to a project's things."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from orjson import Fragment

from protectd.api import environ as env
from protectd.api import microversions
from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.contracts import DATA_PROTECTION, KEY_MANAGER, KEY_MANAGER_NOUNS, TRIGGERS
from protectd.api.controllers.base import Controller
from protectd.api.controllers.key_manager.base import KeyManagerController
from protectd.api.controllers.key_manager.containers import ContainersController
from protectd.api.controllers.key_manager.orders import OrdersController
from protectd.api.controllers.key_manager.quotas import EffectiveQuotasController, ProjectQuotasController
from protectd.api.controllers.key_manager.secret_stores import SecretStoresController
from protectd.api.controllers.key_manager.secrets import SecretsController
from protectd.api.controllers.key_manager.transport_keys import TransportKeysController
from protectd.api.controllers.operation_logs import OperationLogsController
from protectd.api.controllers.plans import PlansController
from protectd.api.controllers.protectables import ProtectablesController
from protectd.api.controllers.providers import ProvidersController
from protectd.api.controllers.quota_classes import QuotaClassesController
from protectd.api.controllers.quotas import QuotasController
from protectd.api.controllers.restores import RestoresController
from protectd.api.controllers.scheduled_operations import ScheduledOperationsController
from protectd.api.controllers.services import ServicesController
from protectd.api.controllers.triggers import FireDoor, TriggersController
from protectd.api.controllers.verifications import VerificationsController
from protectd.api.errors import NoSuchPath
from protectd.api.schemas import versions as schemas
from protectd.api.terms import Terms
from protectd.api.views import versions as views

JSON_HOME = "application/json-home"
"""Who wants that is led to the version, as the key manager's contract has it."""

PROJECT_CONTROLLERS: dict[str, Callable[[], Controller]] = {
    "providers": ProvidersController,
    "protectables": ProtectablesController,
    "plans": PlansController,
    "restores": RestoresController,
    "verifications": VerificationsController,
    "operation_logs": OperationLogsController,
    "quotas": QuotasController,
    "quota_classes": QuotaClassesController,
    "os-services": ServicesController,
    "triggers": TriggersController,
    "scheduled_operations": ScheduledOperationsController,
}


Documents = Mapping[str, bytes]
"""Each by its name, as it is sent."""

KEY_MANAGER_CONTROLLERS: dict[str, Callable[[], Controller]] = {
    "secrets": SecretsController,
    "containers": ContainersController,
    "orders": OrdersController,
    "quotas": EffectiveQuotasController,
    "project-quotas": ProjectQuotasController,
    "secret-stores": SecretStoresController,
    "transport_keys": TransportKeysController,
}


class ProjectController(Controller):
    """/v1/{project_id}: leads further, is nothing itself."""

    def child(self, segment: str, call: Call) -> Controller | None:
        make = PROJECT_CONTROLLERS.get(segment)
        return None if make is None else make()


class VersionController(KeyManagerController):
    path: ClassVar[str | None] = "/v1"
    terms = {"GET": Terms({200: schemas.VERSION})}
    public = True

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def child(self, segment: str, call: Call) -> Controller | None:
        """A project that is not the caller's is not there."""
        if segment in DOCUMENTS:
            return DOCUMENTS[segment](self._documents[segment])
        if segment == TRIGGERS:
            return FireDoor()
        if segment in KEY_MANAGER_NOUNS:
            make = KEY_MANAGER_CONTROLLERS.get(segment)
            return None if make is None else make()
        if segment != call.project_id:
            return None
        return ProjectController()

    def on_get(self, call: Call) -> Answer:
        """The one version there is. Needs no token."""
        return Answer(views.version(call.base_url(), _is_ranged(call)))


class DocumentController(Controller):
    path: ClassVar[str | None] = f"/v1/{DATA_PROTECTION}"
    terms = {"GET": Terms({200: schemas.DOCUMENT})}
    public = True

    def __init__(self, document: bytes) -> None:
        self._document = document

    def on_get(self, call: Call) -> Answer:
        """All of a contract in the words of OpenAPI 3.1. Needs no token."""
        return Answer(Fragment(self._document))


class KeyManagerDocumentController(DocumentController):
    path: ClassVar[str | None] = f"/v1/{KEY_MANAGER}"


DOCUMENTS: Mapping[str, Callable[[bytes], Controller]] = {
    DATA_PROTECTION: DocumentController,
    KEY_MANAGER: KeyManagerDocumentController,
}


class RootController(KeyManagerController):
    """:param documents: what is known of the routes of each contract."""

    path: ClassVar[str | None] = "/"
    terms = {"GET": Terms({300: schemas.VERSIONS, 200: schemas.VERSIONS, 302: None})}
    public = True

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def child(self, segment: str, call: Call) -> Controller | None:
        return VersionController(self._documents) if segment == "v1" else None

    def on_get(self, call: Call) -> Answer:
        """All versions, 300 as the key manager answers. Needs no token."""
        if "build" in call.query.values:
            return Answer(views.build())
        if call.headers.get("accept", "").strip() == JSON_HOME:
            return Answer(None, status=302, location=f"{call.base_url()}/v1/")
        return Answer(views.versions(call.base_url(), _is_ranged(call)), status=300)


def _is_ranged(call: Call) -> bool:
    return microversions.of(call.headers) >= microversions.RANGED


def walk(root: Controller, call: Call) -> Controller:
    """Segment by segment, never by attribute. One slash at the end is forgiven.

    :raises NoSuchPath: it leads nowhere.
    """
    segments = env.segments(call.environ)
    node = root
    for segment in segments[:-1] if segments and not segments[-1] else segments:
        node = _known(node.child(segment, call) if segment else None)
    call.environ[env.ROUTE] = node.path or ""
    return node


def _known(found: Controller | None) -> Controller:
    """:raises NoSuchPath: there is none."""
    if found is None:
        raise NoSuchPath
    return found
