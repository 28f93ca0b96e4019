"""Secret stores: what clients call them by, and which one a project prefers."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from alembic import op

revision = "0010_secret_stores"
down_revision = "0009_audit"
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
        "secret_stores",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_secret_stores"),
        sa.UniqueConstraint("name", name="uq_secret_stores_name"),
        **_OPTIONS,
    )
    op.create_table(
        "preferred_stores",
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("store", sa.String(64), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("project_id", name="pk_preferred_stores"),
        sa.ForeignKeyConstraint(["store"], ["secret_stores.name"], name="fk_preferred_stores_store"),
        **_OPTIONS,
    )


def downgrade() -> None:
    """:raises RuntimeError: a project has chosen where its secrets are sealed: the former version would seal
    them elsewhere without a word."""
    if op.get_bind().scalar(sa.text("SELECT COUNT(*) FROM preferred_stores")):
        raise RuntimeError("projects prefer secret stores, of which the former version knows nothing")
    for table in ("preferred_stores", "secret_stores"):
        op.drop_table(table)
