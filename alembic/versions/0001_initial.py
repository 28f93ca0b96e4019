"""The tables of the first version: plans, checkpoints, runs, tasks, and what the service needs."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from alembic import op

revision = "0001_initial"
down_revision = None
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
_BYTES = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), *_MYSQL_FAMILY)
_ID = sa.String(36)
_WORD = sa.String(64)
_NAME = sa.String(255)


def _column(name: str, type_: Any, *rest: Any, null: bool = False, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, type_, *rest, nullable=null, **options)


def _changes() -> list[sa.Column[Any]]:
    return [_column("created_at", _MOMENT), _column("updated_at", _MOMENT)]


def _timestamps() -> list[sa.Column[Any]]:
    return [*_changes(), _column("deleted_at", _MOMENT, null=True), _column("deleted", sa.Boolean())]


def _number() -> sa.Column[Any]:
    return _column("id", sa.Integer(), autoincrement=True)


def _create(table: str, *items: Any) -> None:
    op.create_table(table, *items, sa.PrimaryKeyConstraint("id", name=f"pk_{table}"), **_OPTIONS)


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def upgrade() -> None:
    _plans()
    _checkpoints()
    _restores()
    _verifications()
    _tasks()
    _tokens()
    _instances()
    _secrets()
    _vaults()
    _services()


def downgrade() -> None:
    for table in (
        "services",
        "vaults",
        "secret_consumers",
        "secrets",
        "instances",
        "tokens",
        "tasks",
        "verifications",
        "restores",
        "checkpoint_resources",
        "checkpoints",
        "resources",
        "plans",
    ):
        op.drop_table(table)


def _plans() -> None:
    _create(
        "plans",
        _column("id", _ID),
        _column("name", _NAME),
        _column("description", _NAME, null=True),
        _column("provider_id", _ID),
        _column("project_id", _NAME),
        _column("status", _WORD),
        _column("parameters", _TEXT),
        *_timestamps(),
    )
    _index("plans", "project_id", "created_at", "id")
    _create(
        "resources",
        _number(),
        _column("plan_id", sa.String(255)),
        _column("resource_id", _ID),
        _column("resource_type", _WORD),
        _column("resource_name", _NAME),
        _column("resource_extra_info", _TEXT, null=True),
        _column("position", sa.Integer()),
        *_timestamps(),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name="fk_resources_plan_id"),
    )
    _index("resources", "plan_id")


def _checkpoints() -> None:
    _create(
        "checkpoints",
        _column("id", _ID),
        _column("project_id", _NAME),
        _column("plan_id", _ID),
        _column("provider_id", _ID),
        _column("status", _WORD),
        _column("extra_info", _TEXT, null=True),
        _column("plan_name", _NAME),
        _column("plan_json", _TEXT),
        _column("resource_graph", _TEXT, null=True),
        _column("host", _NAME, null=True),
        _column("partial", sa.Boolean()),
        _column("error_code", _WORD, null=True),
        _column("error_message", _TEXT, null=True),
        _column("logical_bytes", sa.BigInteger()),
        _column("added_bytes", sa.BigInteger()),
        _column("stored_bytes", sa.BigInteger()),
        _column("files", sa.BigInteger()),
        _column("started_at", _MOMENT, null=True),
        _column("ended_at", _MOMENT, null=True),
        *_timestamps(),
    )
    _index("checkpoints", "project_id", "created_at", "id")
    _index("checkpoints", "plan_id", "created_at")
    _create(
        "checkpoint_resources",
        _number(),
        _column("checkpoint_id", _ID),
        _column("resource_id", _ID),
        _column("resource_type", _WORD),
        _column("resource_name", _NAME),
        _column("extra_info", _TEXT, null=True),
        _column("status", _WORD),
        _column("reason", _TEXT, null=True),
        _column("snapshot_id", _WORD, null=True),
        _column("tree_id", _WORD, null=True),
        _column("source_path", _TEXT, null=True),
        _column("saved_info", _TEXT),
        _column("files", sa.BigInteger()),
        _column("directories", sa.BigInteger()),
        _column("logical_bytes", sa.BigInteger()),
        _column("added_bytes", sa.BigInteger()),
        _column("stored_bytes", sa.BigInteger()),
        _column("issue_count", sa.BigInteger()),
        _column("issues", _TEXT),
        *_changes(),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoints.id"], name="fk_checkpoint_resources_checkpoint_id"
        ),
    )
    _index("checkpoint_resources", "checkpoint_id")


def _run() -> list[sa.Column[Any]]:
    return [
        _column("project_id", _NAME),
        _column("provider_id", _ID),
        _column("checkpoint_id", _ID),
        _column("parameters", _TEXT),
        _column("status", _WORD),
        _column("resources_status", _TEXT),
        _column("resources_reason", _TEXT),
        _column("error_code", _WORD, null=True),
        _column("error_message", _TEXT, null=True),
        _column("files", sa.BigInteger()),
        _column("issue_count", sa.BigInteger()),
        _column("issues", _TEXT),
        _column("started_at", _MOMENT, null=True),
        _column("ended_at", _MOMENT, null=True),
        *_timestamps(),
    ]


def _restores() -> None:
    _create(
        "restores",
        _column("id", _ID),
        _column("restore_target", _NAME),
        _column("trusted", sa.Boolean()),
        _column("written_bytes", sa.BigInteger()),
        *_run(),
    )
    _index("restores", "project_id", "created_at", "id")
    _index("restores", "checkpoint_id")


def _verifications() -> None:
    _create(
        "verifications",
        _column("id", _ID),
        _column("depth", _WORD),
        _column("read_bytes", sa.BigInteger()),
        _column("errors", _TEXT),
        *_run(),
    )
    _index("verifications", "project_id", "created_at", "id")
    _index("verifications", "checkpoint_id")


def _tasks() -> None:
    _create(
        "tasks",
        _column("id", _ID),
        _column("operation", _WORD),
        _column("method", _WORD),
        _column("state", _WORD),
        _column("project_id", _NAME),
        _column("user_id", _NAME),
        _column("request_id", _NAME),
        _column("roles", _TEXT),
        _column("entity_type", _WORD),
        _column("entity_id", _ID),
        _column("host", _NAME, null=True),
        _column("attempts", sa.Integer()),
        _column("max_attempts", sa.Integer()),
        _column("not_before", _MOMENT, null=True),
        _column("sent_at", _MOMENT, null=True),
        _column("sent_count", sa.Integer()),
        _column("lease_owner", _NAME, null=True),
        _column("lease_token", _ID, null=True),
        _column("lease_expires_at", _MOMENT, null=True),
        _column("cancel_requested_at", _MOMENT, null=True),
        _column("deadline_at", _MOMENT, null=True),
        _column("progress", _TEXT, null=True),
        _column("error_code", _WORD, null=True),
        _column("error_message", _TEXT, null=True),
        _column("outcome", _WORD, null=True),
        _column("plan_id", _ID, null=True),
        _column("provider_id", _ID, null=True),
        _column("checkpoint_id", _ID, null=True),
        _column("restore_id", _ID, null=True),
        _column("verification_id", _ID, null=True),
        _column("scheduled_operation_id", _ID, null=True),
        _column("started_at", _MOMENT, null=True),
        _column("ended_at", _MOMENT, null=True),
        *_changes(),
    )
    _index("tasks", "state", "not_before")
    _index("tasks", "state", "lease_expires_at")
    _index("tasks", "project_id", "created_at", "id")
    _index("tasks", "entity_type", "entity_id")


def _tokens() -> None:
    _create(
        "tokens",
        _column("id", _ID),
        _column("digest", _WORD),
        _column("name", _NAME),
        _column("user_id", _NAME),
        _column("project_id", _NAME),
        _column("roles", _TEXT),
        _column("expires_at", _MOMENT, null=True),
        _column("revoked_at", _MOMENT, null=True),
        _column("created_at", _MOMENT),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
    )
    _index("tokens", "project_id", "created_at", "id")


def _instances() -> None:
    _create(
        "instances",
        _column("id", _ID),
        _column("project_id", _NAME),
        _column("type", _WORD),
        _column("name", _NAME),
        _column("host", _NAME),
        _column("properties", _TEXT),
        _column("identity_hash", _WORD, null=True),
        _column("deleted_marker", _ID),
        *_timestamps(),
        sa.UniqueConstraint(
            "project_id", "type", "host", "identity_hash", "deleted_marker", name="uq_instances_identity"
        ),
    )
    _index("instances", "project_id", "created_at", "id")


def _secrets() -> None:
    _create(
        "secrets",
        _column("id", _ID),
        _column("project_id", _NAME),
        _column("name", _NAME),
        _column("secret_type", _WORD),
        _column("store", _WORD),
        _column("key_id", _NAME),
        _column("cipher_text", _BYTES),
        *_timestamps(),
    )
    _index("secrets", "project_id", "created_at", "id")
    _create(
        "secret_consumers",
        _number(),
        _column("secret_id", _ID),
        _column("service", _NAME),
        _column("resource_type", _NAME),
        _column("resource_id", _NAME),
        _column("digest", _WORD),
        _column("created_at", _MOMENT),
        sa.ForeignKeyConstraint(["secret_id"], ["secrets.id"], name="fk_secret_consumers_secret_id"),
        sa.UniqueConstraint("secret_id", "digest", name="uq_secret_consumers_secret_id_digest"),
    )


def _vaults() -> None:
    _create(
        "vaults",
        _column("id", _ID),
        _column("provider_id", _ID),
        _column("project_id", _NAME),
        _column("repository_id", _WORD, null=True),
        _column("secret_id", _ID),
        _column("initial", _TEXT, null=True),
        _column("status", _WORD),
        *_timestamps(),
        sa.ForeignKeyConstraint(["secret_id"], ["secrets.id"], name="fk_vaults_secret_id"),
        sa.UniqueConstraint("provider_id", "project_id", name="uq_vaults_provider_id_project_id"),
    )


def _services() -> None:
    _create(
        "services",
        _number(),
        _column("host", _NAME),
        _column("binary", _NAME),
        _column("topic", _NAME, null=True),
        _column("report_count", sa.Integer()),
        _column("disabled", sa.Boolean()),
        _column("disabled_reason", _NAME, null=True),
        _column("modified_at", _MOMENT, null=True),
        _column("rpc_current_version", _ID, null=True),
        _column("rpc_available_version", _ID, null=True),
        *_timestamps(),
        sa.UniqueConstraint("host", "binary", name="uq_services_host_binary"),
    )
