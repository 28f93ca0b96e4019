"""Options: one group a file, each with its OPTS and register(conf). Nothing reads a file on import."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from oslo_config import cfg

from protectd.conf import (
    api,
    audit,
    database,
    default,
    dispatch,
    engine,
    metrics,
    plugins,
    protectables,
    queue,
    quota,
    schedules,
    secrets,
    tasks,
    vault,
)

GROUPS: tuple[ModuleType, ...] = (
    default,
    database,
    api,
    dispatch,
    queue,
    tasks,
    engine,
    schedules,
    quota,
    metrics,
    vault,
    secrets,
    audit,
    plugins,
    protectables,
)


def new_config(files: Sequence[Path | str] = (), directories: Sequence[Path | str] = ()) -> cfg.ConfigOpts:
    """Every option registered and these files read; later files win. No file is looked for elsewhere.

    :raises cfg.ConfigFilesNotFoundError: a file or directory is not there.
    :raises cfg.ConfigFileParseError: a file is not in the form of an ini file.
    """
    conf = cfg.ConfigOpts()
    for group in GROUPS:
        group.register(conf)
    arguments = [f"--config-file={file}" for file in files] + [f"--config-dir={path}" for path in directories]
    conf(arguments, project="protectd", default_config_files=[], default_config_dirs=[])
    return conf
