"""Quotas: how much a project may have, and how much of it is in use."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from protectd.model.base import LENGTH_NAME, LENGTH_WORD, TABLE_OPTIONS, Base


class Quota(Base):
    """A limit of one project. -1: none."""

    __tablename__ = "quotas"
    __table_args__ = (UniqueConstraint("project_id", "resource", name="uq_quotas_project"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    project_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    resource: Mapped[str] = mapped_column(String(LENGTH_WORD))
    hard_limit: Mapped[int] = mapped_column(BigInteger)


class QuotaClass(Base):
    """A limit of every project of a class that has none of its own."""

    __tablename__ = "quota_classes"
    __table_args__ = (
        UniqueConstraint("class_name", "resource", name="uq_quota_classes_class"),
        TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    class_name: Mapped[str] = mapped_column(String(LENGTH_NAME))
    resource: Mapped[str] = mapped_column(String(LENGTH_WORD))
    hard_limit: Mapped[int] = mapped_column(BigInteger)


class QuotaUsage(Base):
    """What one project has of one resource now."""

    __tablename__ = "quota_usages"
    __table_args__ = (
        UniqueConstraint("project_id", "resource", name="uq_quota_usages_project"),
        TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    project_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    resource: Mapped[str] = mapped_column(String(LENGTH_WORD))
    in_use: Mapped[int] = mapped_column(BigInteger, default=0)
