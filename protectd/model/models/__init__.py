"""Every table, one aggregate a file."""

from protectd.model.models.acls import Acl, AclUser
from protectd.model.models.audit_anchors import AuditAnchor
from protectd.model.models.checkpoints import Checkpoint, CheckpointResource
from protectd.model.models.containers import Container, ContainerConsumer, ContainerSecret
from protectd.model.models.gates import Gate
from protectd.model.models.idempotency_keys import IdempotencyKey
from protectd.model.models.instances import Instance
from protectd.model.models.orders import Order
from protectd.model.models.plans import Plan, PlanResource
from protectd.model.models.project_keys import ProjectKeyRow
from protectd.model.models.quotas import Quota, QuotaClass, QuotaUsage
from protectd.model.models.restores import Restore
from protectd.model.models.scheduled_operations import Occurrence, ScheduledOperation
from protectd.model.models.secret_stores import PreferredStore, SecretStoreRow
from protectd.model.models.secrets import Secret, SecretConsumer, SecretMetadata
from protectd.model.models.services import Service
from protectd.model.models.tasks import Task
from protectd.model.models.tokens import Token
from protectd.model.models.triggers import Trigger
from protectd.model.models.vaults import Vault
from protectd.model.models.verifications import Verification

__all__ = [
    "Acl",
    "AclUser",
    "AuditAnchor",
    "Checkpoint",
    "CheckpointResource",
    "Container",
    "ContainerConsumer",
    "ContainerSecret",
    "Gate",
    "IdempotencyKey",
    "Instance",
    "Occurrence",
    "Order",
    "Plan",
    "PlanResource",
    "PreferredStore",
    "ProjectKeyRow",
    "Quota",
    "QuotaClass",
    "QuotaUsage",
    "Restore",
    "ScheduledOperation",
    "Secret",
    "SecretConsumer",
    "SecretMetadata",
    "SecretStoreRow",
    "Service",
    "Task",
    "Token",
    "Trigger",
    "Vault",
    "Verification",
]
