"""Loading the paste file: what is wrong in it is told by file and section."""

from __future__ import annotations

import configparser
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from paste.deploy import loadapp, loadfilter

from protectd.api.runtime import GLOBAL_KEY
from protectd.common.errors import ConfigurationError, ProtectdError


def load_pipeline(file: Path, name: str, runtime: str) -> Any:
    """The WSGI application of section `name` (a pipeline, composite or app) of `file`.

    :param runtime: the name that it was published by; needed only while this runs.
    :raises ConfigurationError: the file or a section cannot be used.
    """
    pipeline = _pipeline(file, name)
    uri, conf = f"config:{quote(str(file))}", {GLOBAL_KEY: runtime}
    for section in pipeline[:-1]:
        _attempt(file, f"filter:{section}", partial(loadfilter, uri, name=section, global_conf=conf))
    return _attempt(file, f"pipeline:{name}", lambda: loadapp(uri, name, global_conf=conf))


def _pipeline(file: Path, name: str) -> list[str]:
    """The names in a pipeline; empty when the section is of another kind."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        with file.open(encoding="utf-8") as text:
            parser.read_file(text)
    except OSError as error:
        raise ConfigurationError(where=f"paste file {file}", reason=error.strerror) from error
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ConfigurationError(where=f"paste file {file}", reason=_told(error)) from error
    return parser.get(f"pipeline:{name}", "pipeline", fallback="").split()


def _attempt(file: Path, section: str, load: Callable[[], Any]) -> Any:
    """The door of loading: a filter may be anybody's code."""
    where = f"paste file {file}, section [{section}]"
    try:
        return load()
    except ProtectdError as error:
        raise ConfigurationError(where=where, reason=str(error)) from error
    except Exception as error:
        raise ConfigurationError(where=where, reason=_told(error)) from error


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
