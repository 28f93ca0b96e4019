"""Every rule of the API."""

from __future__ import annotations

from oslo_config import cfg

from protectd.api.policies import (
    checkpoints,
    copies,
    holds,
    operation_logs,
    plans,
    protectables,
    providers,
    quota_classes,
    quotas,
    restores,
    scheduled_operations,
    services,
    triggers,
    verifications,
)
from protectd.api.policies.base import BASE, Policies
from protectd.api.policies.key_manager import checks
from protectd.api.policies.key_manager import containers as key_manager_containers
from protectd.api.policies.key_manager import orders as key_manager_orders
from protectd.api.policies.key_manager import quotas as key_manager_quotas
from protectd.api.policies.key_manager import secret_stores as key_manager_secret_stores
from protectd.api.policies.key_manager import secrets as key_manager_secrets
from protectd.api.policies.key_manager import transport_keys as key_manager_transport_keys
from protectd.common.clock import Clock

RULES = (
    *providers.RULES,
    *protectables.RULES,
    *plans.RULES,
    *checkpoints.RULES,
    *holds.RULES,
    *copies.RULES,
    *restores.RULES,
    *verifications.RULES,
    *operation_logs.RULES,
    *quotas.RULES,
    *quota_classes.RULES,
    *services.RULES,
    *triggers.RULES,
    *scheduled_operations.RULES,
    *key_manager_secrets.RULES,
    *key_manager_containers.RULES,
    *key_manager_orders.RULES,
    *key_manager_quotas.RULES,
    *key_manager_secret_stores.RULES,
    *key_manager_transport_keys.RULES,
)


def load(conf: cfg.ConfigOpts, clock: Clock) -> Policies:
    """The rules in code, changed by the policy file that `[oslo_policy]` names, if it is there."""
    return Policies(conf, (*checks.BASE, *RULES), clock)


def list_rules() -> list[object]:
    """For the generator of a sample policy file."""
    return [*BASE, *checks.BASE, *RULES]
