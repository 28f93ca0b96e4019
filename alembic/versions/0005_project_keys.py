"""Keys of projects: a master key seals them, and they seal secrets."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from alembic import op

revision = "0005_project_keys"
down_revision = "0004_data_protection"
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
        "project_keys",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("store", sa.String(64), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("master_key_id", sa.String(64), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_project_keys"),
        sa.UniqueConstraint("project_id", "store", "generation", name="uq_project_keys_generation"),
        **_OPTIONS,
    )
    op.create_index(
        "ix_project_keys_store_master_key_id_id", "project_keys", ["store", "master_key_id", "id"]
    )


def downgrade() -> None:
    """:raises RuntimeError: secrets are sealed with keys of projects: without the table none would open."""
    if op.get_bind().scalar(sa.text("SELECT COUNT(*) FROM project_keys")):
        raise RuntimeError("secrets are sealed with the keys in project_keys, which the former version lacks")
    op.drop_table("project_keys")
