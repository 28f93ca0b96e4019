"""A service says each thing about itself, be it nothing: no column is NULL."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from alembic import op

revision = "0012_whole_services"
down_revision = "0011_brief_tasks"
branch_labels = None
depends_on = None

TEXTS = {"topic": 255, "disabled_reason": 255, "rpc_current_version": 36, "rpc_available_version": 36}
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    services = sa.table("services", *map(sa.column, ("modified_at", "created_at", *TEXTS)))
    for name in TEXTS:
        column = services.c[name]
        op.execute(services.update().where(column.is_(None)).values({name: ""}))
    op.execute(
        services.update().where(services.c.modified_at.is_(None)).values(modified_at=services.c.created_at)
    )
    _alter(nullable=False, default="")


def downgrade() -> None:
    _alter(nullable=True, default=None)
    services = sa.table("services", *map(sa.column, TEXTS))
    for name in TEXTS:
        op.execute(services.update().where(services.c[name] == "").values({name: None}))


def _alter(*, nullable: bool, default: str | None) -> None:
    with op.batch_alter_table("services") as services:
        for name, length in TEXTS.items():
            kind = sa.String(length)
            services.alter_column(name, existing_type=kind, nullable=nullable, server_default=default)
        services.alter_column("modified_at", existing_type=MOMENT, nullable=nullable)
