"""Run by alembic, on the connection that `protectd.model.migrate` opened."""

from __future__ import annotations

from alembic import context
from protectd.model.migrate import configure

configure(context)
with context.begin_transaction():
    context.run_migrations()
