"""Tasks that take no longer than their rows are found as such, so that several are done at once."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0011_brief_tasks"
down_revision = "0010_secret_stores"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("tasks") as tasks:
        tasks.add_column(sa.Column("brief", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index("ix_tasks_state_brief_turn_created_at", "tasks", ["state", "brief", "turn", "created_at"])


def downgrade() -> None:
    op.drop_index("ix_tasks_state_brief_turn_created_at", "tasks")
    with op.batch_alter_table("tasks") as tasks:
        tasks.drop_column("brief")
