"""The command line that every process shares, and the configuration it names."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from oslo_config import cfg

from protectd.common.errors import ConfigurationError
from protectd.conf import new_config

SYSTEM_CONFIG = Path("/etc/protectd/protectd.conf")


def version() -> str:
    try:
        return metadata.version("protectd")
    except metadata.PackageNotFoundError:
        return "0 (not installed)"


def parser(prog: str, description: str) -> argparse.ArgumentParser:
    """A parser with the options that every command takes."""
    made = argparse.ArgumentParser(prog=prog, description=description, allow_abbrev=False)
    made.add_argument("--version", action="version", version=f"{prog} {version()}")
    made.add_argument(
        "--config-file",
        action="append",
        default=[],
        metavar="FILE",
        help="configuration file; may be given again, later ones win",
    )
    made.add_argument(
        "--config-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="directory whose *.conf files are read after the files",
    )
    made.add_argument("--debug", action="store_true", help="log every step")
    return made


def add_state_dir(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--state-dir",
        metavar="DIR",
        help="directory of the service's own files (default: protectd below the XDG state directory)",
    )


def settings(args: argparse.Namespace, *, system: bool = True) -> cfg.ConfigOpts:
    """The configuration that a command line names; what the line says itself wins over files.

    :param system: read /etc/protectd/protectd.conf when the line names no file and no state directory.
    :raises ConfigurationError: a file is missing or not in the form of an ini file, or a value is out of
        its bounds.
    """
    state_dir: str | None = getattr(args, "state_dir", None)
    named = bool(args.config_file or args.config_dir or state_dir)
    files = [SYSTEM_CONFIG] if system and not named and SYSTEM_CONFIG.exists() else args.config_file
    conf = read(files, args.config_dir)
    if state_dir is not None:
        if not state_dir:
            raise ConfigurationError(where="--state-dir", reason="it is empty")
        conf.set_override("state_dir", str(Path(state_dir).absolute()))
    if args.debug:
        conf.set_override("debug", True)
    return conf


def read(files: Sequence[str | Path], directories: Sequence[str | Path]) -> cfg.ConfigOpts:
    """`new_config` with its errors in our words, and every value looked at once."""
    try:
        conf = new_config(files, directories)
        _look_at_all(conf)
    except (cfg.ConfigFilesNotFoundError, cfg.ConfigDirNotFoundError) as error:
        raise ConfigurationError(where="configuration", reason=str(error)) from error
    except (cfg.ConfigFileParseError, cfg.ConfigFileValueError, cfg.TemplateSubstitutionError) as error:
        raise ConfigurationError(where="configuration", reason=_one_line(error)) from error
    return conf


def _look_at_all(conf: cfg.ConfigOpts) -> None:
    for name in conf:
        value = conf[name]
        if isinstance(value, cfg.ConfigOpts.GroupAttr):
            for option in value:
                getattr(value, option)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
