"""What rules of the key manager are made of. Their targets have the fields of `domain.key_manager.access`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oslo_policy import policy

READER = "rule:key_manager_reader"
MEMBER = "rule:key_manager_member"
SERVICE_ADMIN = "rule:key_manager_service_admin"
WRITE = "rule:key_manager_write"
READ = "rule:key_manager_read"
ADMIN_OR_READ = f"rule:context_is_admin or {READ}"
ADMIN_OR_WRITE = f"rule:context_is_admin or {WRITE}"

BASE: Sequence[Any] = (
    policy.RuleDefault(
        "key_manager_reader", "role:reader or role:member or role:admin", "Whoever may look at lists."
    ),
    policy.RuleDefault("key_manager_member", "role:member or role:admin", "Whoever may make secrets."),
    policy.RuleDefault(
        "key_manager_service_admin",
        "rule:context_is_admin or role:key-manager:service-admin",
        "Whoever looks after the key manager for all projects.",
    ),
    policy.RuleDefault(
        "key_manager_write",
        "project_id:%(project_id)s and "
        "(role:admin or (role:member and (user_id:%(creator_id)s or True:%(open)s)))",
        "Administrators of the project; its members, unless the thing is private and another's.",
    ),
    policy.RuleDefault(
        "key_manager_read",
        "rule:key_manager_write or True:%(listed)s",
        "Whoever may change it, and whoever its list of readers names.",
    ),
)
