"""A gate: a row that whoever changes something countable locks first."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from protectd.model.base import LENGTH_GATE, Base


class Gate(Base):
    """`name` says what passes here, such as `project:<id>`. Its being locked is all that it is for."""

    __tablename__ = "gates"

    name: Mapped[str] = mapped_column(String(LENGTH_GATE), primary_key=True)
