"""What the key manager's contract tells of a secret: its kind, its metadata, and who may read it."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from alembic import op

revision = "0006_key_manager"
down_revision = "0005_project_keys"
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

_COLUMNS = (
    ("algorithm", sa.String(255)),
    ("bit_length", sa.Integer()),
    ("mode", sa.String(255)),
    ("expiration", _MOMENT),
    ("creator_id", sa.String(255)),
    ("content_type", sa.String(64)),
)


def upgrade() -> None:
    with op.batch_alter_table("secrets") as secrets:
        secrets.alter_column("name", existing_type=sa.String(255), nullable=True)
        for name, type_ in _COLUMNS:
            secrets.add_column(sa.Column(name, type_, nullable=True))
    op.create_table(
        "secret_metadata",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("secret_id", sa.String(36), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("value", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_secret_metadata"),
        sa.ForeignKeyConstraint(["secret_id"], ["secrets.id"], name="fk_secret_metadata_secret_id"),
        sa.UniqueConstraint("secret_id", "key", name="uq_secret_metadata_key"),
        **_OPTIONS,
    )
    op.create_table(
        "acls",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("project_access", sa.Boolean(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_acls"),
        **_OPTIONS,
    )
    op.create_table(
        "acl_users",
        sa.Column("acl_id", sa.String(36), nullable=False),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("acl_id", "user_id", name="pk_acl_users"),
        sa.ForeignKeyConstraint(["acl_id"], ["acls.id"], name="fk_acl_users_acl_id"),
        **_OPTIONS,
    )
    op.create_index("ix_acl_users_user_id", "acl_users", ["user_id"])


def downgrade() -> None:
    """:raises RuntimeError: a tenant has secrets: without these columns expired ones would live again and
    private ones be open."""
    if op.get_bind().scalar(sa.text("SELECT COUNT(*) FROM secrets WHERE creator_id IS NOT NULL")):
        raise RuntimeError("tenants have secrets, of which the former version knows too little to keep them")
    for table in ("acl_users", "acls", "secret_metadata"):
        op.drop_table(table)
    op.execute(sa.text("UPDATE secrets SET name = '' WHERE name IS NULL"))
    with op.batch_alter_table("secrets") as secrets:
        for name, _ in _COLUMNS:
            secrets.drop_column(name)
        secrets.alter_column("name", existing_type=sa.String(255), nullable=False)
