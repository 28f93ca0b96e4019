"""Tasks take turns, gates keep limits exact, and requests that are repeated are known again."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from alembic import op

revision = "0003_turns_and_keys"
down_revision = "0002_task_marks"
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
    with op.batch_alter_table("tasks") as tasks:
        tasks.add_column(sa.Column("turn", sa.Double(), nullable=False, server_default="0"))
        tasks.add_column(sa.Column("simulated", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index("ix_tasks_state_turn_created_at", "tasks", ["state", "turn", "created_at"])
    op.create_index("ix_tasks_project_id_state_turn", "tasks", ["project_id", "state", "turn"])
    op.create_table(
        "gates",
        sa.Column("name", sa.String(300), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_gates"),
        **_OPTIONS,
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("body_digest", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("location", _TEXT, nullable=True),
        sa.Column("body", _TEXT, nullable=True),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_idempotency_keys"),
        **_OPTIONS,
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])


def downgrade() -> None:
    op.drop_table("idempotency_keys")
    op.drop_table("gates")
    op.drop_index("ix_tasks_project_id_state_turn", "tasks")
    op.drop_index("ix_tasks_state_turn_created_at", "tasks")
    with op.batch_alter_table("tasks") as tasks:
        tasks.drop_column("simulated")
        tasks.drop_column("turn")
