"""Containers of the key manager: named sets of secrets, and who needs them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from alembic import op

revision = "0007_containers"
down_revision = "0006_key_manager"
branch_labels = None
depends_on = None

_MYSQL_FAMILY = ("mysql", "mariadb")
_OPTIONS = {
    f"{dialect}_{option}": value
    for dialect in _MYSQL_FAMILY
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}
_MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), *_MYSQL_FAMILY)


def upgrade() -> None:
    op.create_table(
        "containers",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("creator_id", sa.String(255), nullable=True),
        sa.Column("name", sa.String(255), nullable=True),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.Column("deleted_at", _MOMENT, nullable=True),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_containers"),
        **_OPTIONS,
    )
    op.create_index(
        "ix_containers_project_id_created_at_id", "containers", ["project_id", "created_at", "id"]
    )
    op.create_table(
        "container_secrets",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("container_id", sa.String(36), nullable=False),
        sa.Column("secret_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_container_secrets"),
        sa.ForeignKeyConstraint(
            ["container_id"], ["containers.id"], name="fk_container_secrets_container_id"
        ),
        sa.ForeignKeyConstraint(["secret_id"], ["secrets.id"], name="fk_container_secrets_secret_id"),
        sa.UniqueConstraint("container_id", "secret_id", "name", name="uq_container_secrets_secret"),
        **_OPTIONS,
    )
    op.create_index("ix_container_secrets_secret_id", "container_secrets", ["secret_id"])
    op.create_table(
        "container_consumers",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("container_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("url", sa.String(255), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_container_consumers"),
        sa.ForeignKeyConstraint(
            ["container_id"], ["containers.id"], name="fk_container_consumers_container_id"
        ),
        sa.UniqueConstraint("container_id", "digest", name="uq_container_consumers_digest"),
        **_OPTIONS,
    )


def downgrade() -> None:
    for table in ("container_consumers", "container_secrets", "containers"):
        op.drop_table(table)
