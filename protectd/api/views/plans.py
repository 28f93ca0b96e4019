"""A plan as it was given, with what the service knows of it."""

from __future__ import annotations

from typing import Any

from protectd.api.views.common import moment
from protectd.model.models import Plan


def detail(plan: Plan) -> dict[str, Any]:
    return {
        "id": plan.id,
        "name": plan.name,
        "description": plan.description,
        "resources": [resource.summary() for resource in plan.resources],
        "provider_id": plan.provider_id,
        "status": plan.status,
        "parameters": plan.parameters,
        "project_id": plan.project_id,
        "created_at": moment(plan.created_at),
        "updated_at": moment(plan.updated_at),
    }
