"""Where a bank is, as a URL: the one place that knows how they are written.

======================================== ============================
URL                                      bank
======================================== ============================
`/srv/bank`, `file:///srv/bank`          `filesystem`
`memory:`                                `memory`
`s3://bucket/prefix`                     `s3`
`s3:https://host:port/bucket/prefix`     `s3`, as restic writes it
`swift://container/prefix`               `swift`
`azure://container/prefix`               `azure`
`gs://bucket/prefix`                     `gcs`
`webdav:https://host/path/`              `webdav`
`rest:https://host/path/`                `rest`, as restic writes it
======================================== ============================

Any other scheme is the name of a plug-in. A URL shows up in logs and listings, so it holds no credential.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from protectd.common.errors import ConfigurationError

_PLUGINS = {"file": "filesystem", "gs": "gcs"}
"""Plug-ins that are not named like their scheme."""

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):")
_SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]+")
_PLAIN = re.compile(r"[!-~]+")


class Place(NamedTuple):
    """A bucket or container of a server, and the place in it: segments joined by `/`, "" for all of it."""

    server: str
    """`http://host:port` or `https://...`; "" for the service's own."""
    bucket: str
    prefix: str


def plugin_of(url: str) -> str:
    """Name of the bank plug-in that a URL asks for.

    :raises ConfigurationError: it is no URL of a bank.
    """
    if url.startswith("/"):
        return "filesystem"
    found = _SCHEME.match(url)
    if found is None:
        raise _wrong("must be an absolute path or have a scheme, such as s3://bucket/prefix")
    return _PLUGINS.get(found[1], found[1])


def path_of(url: str) -> str:
    """The path that a `file:` URL, or a path that stands for itself, names."""
    if url.startswith("/"):
        return url
    parts = _parts(url, "file")
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise _wrong("must be file:///absolute/path")
    return parts.path


def place_of(url: str, scheme: str) -> Place:
    """`scheme://bucket/prefix` or `scheme:https://host/bucket/prefix`.

    :raises ConfigurationError: it is neither, or holds a credential.
    """
    if url.startswith(f"{scheme}://"):
        parts = _parts(url, scheme)
        return Place("", *_bucket(f"{parts.netloc}{parts.path}"))
    parts = _server_parts(url, scheme)
    return Place(f"{parts.scheme}://{parts.netloc}", *_bucket(parts.path))


def base_of(url: str, scheme: str) -> str:
    """The `https://host/path/` of `scheme:https://host/path`; it ends with `/`.

    :raises ConfigurationError: it is not, or holds a credential.
    """
    parts = _server_parts(url, scheme)
    segments = [each for each in parts.path.split("/") if each]
    if any(each in (".", "..") for each in segments):
        raise _wrong("must not have '.' or '..' in its path")
    return "/".join([f"{parts.scheme}://{parts.netloc}", *segments, ""])


def server_of(url: str) -> str:
    """An `endpoint` option: http or https, a host, perhaps a path; without a `/` at its end.

    :raises ConfigurationError: it is something else, or holds a credential.
    """
    return base_of(f"server:{url}", "server").rstrip("/")


def _bucket(path: str) -> tuple[str, str]:
    segments = [each for each in path.split("/") if each]
    if not segments:
        raise _wrong("must name a bucket")
    if not all(_SEGMENT.fullmatch(each) for each in segments):
        raise _wrong("must have only letters, digits, '.', '_', '-' and '/' in its bucket and prefix")
    return segments[0], "/".join(segments[1:])


def _server_parts(url: str, scheme: str) -> SplitResult:
    parts = _parts(url.removeprefix(f"{scheme}:"), "") if url.startswith(f"{scheme}:") else urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _wrong(f"must be {scheme}:https://host/path")
    return parts


def _parts(url: str, scheme: str) -> SplitResult:
    """The URL taken apart; what an error says never shows it, for it may hold a password."""
    try:
        parts = urlsplit(url)
        known = (parts.port or 0) >= 0
    except ValueError:
        raise _wrong("is not well-formed") from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise _wrong("must not hold a user, a password, '?' or '#'; credentials have options of their own")
    if not known or not _PLAIN.fullmatch(url) or (scheme and parts.scheme != scheme):
        raise _wrong("is not well-formed")
    return parts


def _wrong(reason: str) -> ConfigurationError:
    return ConfigurationError(where="url", reason=reason)
