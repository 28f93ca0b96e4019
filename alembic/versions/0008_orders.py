"""Orders of the key manager: keys that workers make."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from alembic import op

revision = "0008_orders"
down_revision = "0007_containers"
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


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("creator_id", sa.String(255), nullable=True),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("status", sa.String(64), nullable=False),
        sa.Column("meta", _TEXT, nullable=False),
        sa.Column("passphrase_id", sa.String(36), nullable=True),
        sa.Column("secret_id", sa.String(36), nullable=True),
        sa.Column("container_id", sa.String(36), nullable=True),
        sa.Column("error_status_code", sa.String(64), nullable=True),
        sa.Column("error_reason", _TEXT, nullable=True),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.Column("deleted_at", _MOMENT, nullable=True),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        sa.ForeignKeyConstraint(["secret_id"], ["secrets.id"], name="fk_orders_secret_id"),
        sa.ForeignKeyConstraint(["container_id"], ["containers.id"], name="fk_orders_container_id"),
        **_OPTIONS,
    )
    op.create_index("ix_orders_project_id_created_at_id", "orders", ["project_id", "created_at", "id"])


def downgrade() -> None:
    op.drop_table("orders")
