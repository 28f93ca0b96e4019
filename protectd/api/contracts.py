"""The two published contracts on this port: what their first words in a path are, and their documents."""

from __future__ import annotations

DATA_PROTECTION, KEY_MANAGER = "openapi.json", "key-manager.json"
"""Names of the documents."""

KEY_MANAGER_NOUNS = frozenset(
    {
        "secrets",
        "containers",
        "orders",
        "secret-stores",
        "quotas",
        "project-quotas",
        "transport_keys",
        DATA_PROTECTION,
        KEY_MANAGER,
    }
)
"""Never taken for a project: the other contract has these words there."""

TRIGGERS = "triggers"
"""Never taken for a project either: below it are the doors for events."""
