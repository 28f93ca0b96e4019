"""Which (method, path) pairs are answered: read from the controllers themselves."""

from __future__ import annotations

from collections.abc import Sequence

from protectd.api.controllers.base import Controller
from protectd.api.controllers.checkpoints import CheckpointController, CheckpointsController
from protectd.api.controllers.copies import CopiesController
from protectd.api.controllers.holds import HoldController
from protectd.api.controllers.key_manager.acls import ContainerAclController, SecretAclController
from protectd.api.controllers.key_manager.containers import (
    ContainerConsumersController,
    ContainerController,
    ContainersController,
    ContainerSecretsController,
)
from protectd.api.controllers.key_manager.orders import OrderController, OrdersController
from protectd.api.controllers.key_manager.quotas import (
    EffectiveQuotasController,
    ProjectQuotaController,
    ProjectQuotasController,
)
from protectd.api.controllers.key_manager.secret_consumers import SecretConsumersController
from protectd.api.controllers.key_manager.secret_metadata import NoteController, NotesController
from protectd.api.controllers.key_manager.secret_stores import (
    DefaultStoreController,
    PreferenceController,
    PreferredStoreController,
    SecretStoreController,
    SecretStoresController,
)
from protectd.api.controllers.key_manager.secrets import (
    PayloadController,
    SecretController,
    SecretsController,
)
from protectd.api.controllers.key_manager.transport_keys import (
    TransportKeyController,
    TransportKeysController,
)
from protectd.api.controllers.operation_logs import OperationLogController, OperationLogsController
from protectd.api.controllers.plans import PlanController, PlansController
from protectd.api.controllers.protectables import (
    InstanceController,
    InstancesController,
    ProtectableController,
    ProtectablesController,
)
from protectd.api.controllers.providers import ProviderController, ProvidersController
from protectd.api.controllers.quota_classes import QuotaClassController
from protectd.api.controllers.quotas import QuotaController, QuotaDefaultsController, QuotaDetailController
from protectd.api.controllers.restores import RestoreController, RestoresController
from protectd.api.controllers.retention import PlanRetentionController, RetentionController
from protectd.api.controllers.root import (
    DocumentController,
    KeyManagerDocumentController,
    RootController,
    VersionController,
)
from protectd.api.controllers.scheduled_operations import (
    OccurrencesController,
    ScheduledOperationController,
    ScheduledOperationsController,
)
from protectd.api.controllers.services import ServiceController, ServicesController
from protectd.api.controllers.triggers import FireController, TriggerController, TriggersController
from protectd.api.controllers.verifications import VerificationController, VerificationsController

CONTROLLERS: tuple[type[Controller], ...] = (
    RootController,
    VersionController,
    DocumentController,
    ProvidersController,
    ProviderController,
    CheckpointsController,
    CheckpointController,
    HoldController,
    CopiesController,
    ProtectablesController,
    ProtectableController,
    InstancesController,
    InstanceController,
    PlansController,
    PlanController,
    PlanRetentionController,
    RestoresController,
    RestoreController,
    VerificationsController,
    VerificationController,
    OperationLogsController,
    OperationLogController,
    QuotaController,
    QuotaDetailController,
    QuotaDefaultsController,
    QuotaClassController,
    ServicesController,
    ServiceController,
    TriggersController,
    TriggerController,
    FireController,
    ScheduledOperationsController,
    ScheduledOperationController,
    RetentionController,
    OccurrencesController,
)


KEY_MANAGER: tuple[type[Controller], ...] = (
    KeyManagerDocumentController,
    SecretsController,
    SecretController,
    PayloadController,
    SecretConsumersController,
    NotesController,
    NoteController,
    SecretAclController,
    ContainersController,
    ContainerController,
    ContainerSecretsController,
    ContainerConsumersController,
    ContainerAclController,
    OrdersController,
    OrderController,
    EffectiveQuotasController,
    ProjectQuotasController,
    ProjectQuotaController,
    SecretStoresController,
    DefaultStoreController,
    PreferredStoreController,
    SecretStoreController,
    PreferenceController,
    TransportKeysController,
    TransportKeyController,
)
"""Of the other contract, which has a document of its own."""


def routes(
    controllers: Sequence[type[Controller]] = (*CONTROLLERS, *KEY_MANAGER),
) -> list[tuple[str, str]]:
    """By path, then in the order of the verbs. HEAD goes where GET goes, OPTIONS everywhere."""
    return [
        (verb, controller.path)
        for controller in sorted(controllers, key=lambda each: each.path or "")
        if controller.path is not None
        for verb in controller.verbs()
    ]
