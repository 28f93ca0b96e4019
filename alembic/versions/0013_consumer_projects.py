"""A consumer says which project it is of, so that no other takes it away."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0013_consumer_projects"
down_revision = "0012_whole_services"
branch_labels = None
depends_on = None

TABLES = ("secret_consumers", "container_consumers")


def upgrade() -> None:
    for table in TABLES:
        with op.batch_alter_table(table) as consumers:
            consumers.add_column(sa.Column("project_id", sa.String(255)))


def downgrade() -> None:
    for table in TABLES:
        with op.batch_alter_table(table) as consumers:
            consumers.drop_column("project_id")
