"""Schedules, quotas, holds, copies and proofs: what the data-protection contract has beside plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from alembic import op

revision = "0004_data_protection"
down_revision = "0003_turns_and_keys"
branch_labels = None
depends_on = None

_MYSQL_FAMILY = ("mysql", "mariadb")
_OPTIONS = {
    f"{dialect}_{option}": value
    for dialect in _MYSQL_FAMILY
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}
_MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), *_MYSQL_FAMILY)
_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), *_MYSQL_FAMILY)

_NEW_INDEXES: Sequence[tuple[str, list[str]]] = (
    ("triggers", ["project_id", "created_at", "id"]),
    ("triggers", ["deleted", "next_at"]),
    ("scheduled_operations", ["project_id", "created_at", "id"]),
    ("scheduled_operations", ["trigger_id", "deleted"]),
    ("scheduled_operations", ["plan_id", "deleted"]),
    ("occurrences", ["project_id", "expected_at", "id"]),
    ("occurrences", ["scheduled_operation_id", "expected_at", "id"]),
)

_OLD_INDEXES: Sequence[tuple[str, list[str]]] = (
    ("checkpoints", ["provider_id", "created_at", "id"]),
    ("checkpoints", ["source_id"]),
    ("tasks", ["project_id", "operation", "created_at", "id"]),
    ("tasks", ["project_id", "outcome", "created_at", "id"]),
    ("tasks", ["created_at", "id"]),
    ("tasks", ["plan_id", "created_at", "id"]),
    ("tasks", ["checkpoint_id"]),
)
"""Of tables that there were."""


def _column(name: str, type_: Any, **more: Any) -> sa.Column[Any]:
    return sa.Column(name, type_, **({"nullable": False} | more))


def _times() -> list[sa.Column[Any]]:
    return [
        _column("created_at", _MOMENT),
        _column("updated_at", _MOMENT),
        _column("deleted_at", _MOMENT, nullable=True),
        _column("deleted", sa.Boolean()),
    ]


def _limits(table: str, owner: str, amount: str) -> None:
    name = f"uq_{table}_{owner.partition('_')[0]}"
    op.create_table(
        table,
        _column("id", sa.Integer(), autoincrement=True),
        _column(owner, sa.String(255)),
        _column("resource", sa.String(64)),
        _column(amount, sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.UniqueConstraint(owner, "resource", name=name),
        **_OPTIONS,
    )


def _create_tables() -> None:
    op.create_table(
        "triggers",
        _column("id", sa.String(36)),
        _column("name", sa.String(255)),
        _column("project_id", sa.String(255)),
        _column("type", sa.String(64)),
        _column("properties", _TEXT),
        _column("expected_at", _MOMENT, nullable=True),
        _column("next_at", _MOMENT, nullable=True),
        _column("secret_id", sa.String(36), nullable=True),
        *_times(),
        sa.PrimaryKeyConstraint("id", name="pk_triggers"),
        **_OPTIONS,
    )
    op.create_table(
        "scheduled_operations",
        _column("id", sa.String(36)),
        _column("name", sa.String(255)),
        _column("description", sa.String(255), nullable=True),
        _column("operation_type", sa.String(64)),
        _column("project_id", sa.String(255)),
        _column("user_id", sa.String(255)),
        _column("roles", _TEXT),
        _column("trigger_id", sa.String(36)),
        _column("operation_definition", _TEXT),
        _column("plan_id", sa.String(36), nullable=True),
        _column("provider_id", sa.String(36), nullable=True),
        _column("enabled", sa.Boolean()),
        _column("enabled_at", _MOMENT),
        *_times(),
        sa.PrimaryKeyConstraint("id", name="pk_scheduled_operations"),
        sa.ForeignKeyConstraint(["trigger_id"], ["triggers.id"], name="fk_scheduled_operations_trigger_id"),
        **_OPTIONS,
    )
    op.create_table(
        "occurrences",
        _column("id", sa.String(36)),
        _column("project_id", sa.String(255)),
        _column("scheduled_operation_id", sa.String(36)),
        _column("trigger_id", sa.String(36)),
        _column("key", sa.String(64)),
        _column("expected_at", _MOMENT),
        _column("decided_at", _MOMENT),
        _column("outcome", sa.String(64)),
        _column("reason", _TEXT, nullable=True),
        _column("entity_type", sa.String(64), nullable=True),
        _column("entity_id", sa.String(36), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_occurrences"),
        sa.UniqueConstraint("scheduled_operation_id", "key", name="uq_occurrences_operation_key"),
        **_OPTIONS,
    )
    _limits("quotas", "project_id", "hard_limit")
    _limits("quota_classes", "class_name", "hard_limit")
    _limits("quota_usages", "project_id", "in_use")


_NEW_COLUMNS: Sequence[tuple[str, str, Any, dict[str, Any]]] = (
    ("plans", "held", sa.Boolean(), {"server_default": sa.false()}),
    ("checkpoints", "scheduled_operation_id", sa.String(36), {"nullable": True}),
    ("checkpoints", "source_id", sa.String(36), {"nullable": True}),
    ("checkpoints", "manifest_id", sa.String(64), {"nullable": True}),
    ("checkpoints", "counted", sa.Boolean(), {"server_default": sa.false()}),
    ("checkpoints", "counted_bytes", sa.BigInteger(), {"server_default": "0"}),
    ("checkpoints", "hold_reason", sa.String(255), {"nullable": True}),
    ("checkpoints", "held_by", sa.String(255), {"nullable": True}),
    ("checkpoints", "held_at", _MOMENT, {"nullable": True}),
    ("checkpoints", "verified_at", _MOMENT, {"nullable": True}),
    ("checkpoints", "verified_depth", sa.String(64), {"nullable": True}),
    ("checkpoints", "proven_recovery_s", sa.Double(), {"nullable": True}),
    ("tasks", "counted", sa.Boolean(), {"server_default": sa.false()}),
    ("restores", "dry_run", sa.Boolean(), {"server_default": sa.false()}),
    ("restores", "chosen", _TEXT, {"nullable": True}),
    ("restores", "report", _TEXT, {"nullable": True}),
    ("verifications", "recovery_s", sa.Double(), {"nullable": True}),
    ("verifications", "report", _TEXT, {"nullable": True}),
)


_USAGE = "INSERT INTO quota_usages (project_id, resource, in_use) SELECT project_id, "

_COUNT: Sequence[str] = (
    "UPDATE checkpoints SET counted = true, counted_bytes = stored_bytes"
    " WHERE deleted = false AND status NOT IN ('error', 'deleted')",
    _USAGE + "'plans', COUNT(*) FROM plans WHERE deleted = false GROUP BY project_id",
    _USAGE + "'checkpoints', COUNT(*) FROM checkpoints WHERE counted = true GROUP BY project_id",
    _USAGE + "'stored_bytes', SUM(counted_bytes) FROM checkpoints WHERE counted = true GROUP BY project_id",
)
"""What is there counts from the first moment."""


def upgrade() -> None:
    _create_tables()
    for table in dict.fromkeys(name for name, *_ in _NEW_COLUMNS):
        with op.batch_alter_table(table) as batch:
            for name, column, type_, more in _NEW_COLUMNS:
                if name == table:
                    batch.add_column(_column(column, type_, **more))
    for table, columns in (*_NEW_INDEXES, *_OLD_INDEXES):
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)
    for statement in _COUNT:
        op.execute(statement)


def downgrade() -> None:
    for table, columns in _OLD_INDEXES:
        op.drop_index(f"ix_{table}_{'_'.join(columns)}", table)
    for table in dict.fromkeys(name for name, *_ in _NEW_COLUMNS):
        with op.batch_alter_table(table) as batch:
            for name, column, _, _ in _NEW_COLUMNS:
                if name == table:
                    batch.drop_column(column)
    gone = ("quota_usages", "quota_classes", "quotas", "occurrences", "scheduled_operations", "triggers")
    for table in gone:
        op.drop_table(table)
