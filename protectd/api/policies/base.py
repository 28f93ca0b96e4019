"""Who may do what: rules with defaults in code, changed by a policy file."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from oslo_config import cfg
from oslo_policy import policy

from protectd.common.clock import Clock
from protectd.common.context import RequestContext

ADMIN_OR_OWNER = "rule:admin_or_owner"
ADMIN = "rule:admin_api"

MEMORY_S = 1.0
MOST = 10_000
"""Decisions that are remembered; with one more, memory begins anew."""

BASE: Sequence[Any] = (
    policy.RuleDefault("context_is_admin", "role:admin", "Who counts as an administrator."),
    policy.RuleDefault("admin_api", "rule:context_is_admin", "Calls for administrators only."),
    policy.RuleDefault(
        "admin_or_owner",
        "rule:context_is_admin or project_id:%(project_id)s",
        "Administrators, and whoever belongs to the project a thing is of.",
    ),
)


def rule(name: str, description: str, *operations: tuple[str, str], check: str = ADMIN_OR_OWNER) -> Any:
    """A documented rule; `operations` are (method, path) pairs."""
    described: list[Any] = [{"method": method, "path": path} for method, path in operations]
    return policy.DocumentedRuleDefault(name, check, description, described)


class Policies:
    """Answers one question. Reads the policy file that `[oslo_policy]` names, again when it changes: within
    `MEMORY_S`, for as long holds what was decided."""

    def __init__(self, conf: cfg.ConfigOpts, rules: Sequence[Any], clock: Clock) -> None:
        self._enforcer = policy.Enforcer(conf)
        self._enforcer.register_defaults([*BASE, *rules])
        self._enforcer.load_rules()
        self._clock = clock
        self._decided: dict[tuple[Hashable, ...], bool] = {}
        self._until_s = 0.0

    def may(self, name: str, context: RequestContext, owner: str) -> bool:
        """Whether this caller passes rule `name` for what is of the project `owner`."""
        return self.allows(name, context, {"project_id": owner})

    def allows(self, name: str, context: RequestContext, target: Mapping[str, Hashable]) -> bool:
        """As `may`, for a thing that has the fields of `target`."""
        now_s = self._clock.monotonic()
        if now_s >= self._until_s or len(self._decided) >= MOST:
            self._decided, self._until_s = {}, now_s + MEMORY_S
        decided = self._decided
        key = (name, context.project_id, context.user_id, context.roles, *target.items())
        if key not in decided:
            decided[key] = bool(self._enforcer.authorize(name, dict(target), _caller(context)))
        return decided[key]


def _caller(context: RequestContext) -> dict[str, Any]:
    return {
        "project_id": context.project_id,
        "user_id": context.user_id,
        "roles": list(context.roles),
        "is_admin": context.is_admin,
    }
