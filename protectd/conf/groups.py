"""Registering a group of options."""

from __future__ import annotations

from collections.abc import Sequence

from oslo_config import cfg


def register_in(conf: cfg.ConfigOpts, group: cfg.OptGroup, options: Sequence[cfg.Opt]) -> None:
    """Options in a group of this configuration alone.

    A group object keeps the values set in it: one that two configurations share would carry them across.
    """
    conf.register_group(cfg.OptGroup(group.name, title=group.title))
    conf.register_opts(options, group=group.name)
