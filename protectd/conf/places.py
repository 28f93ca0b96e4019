"""Where the files lie that are shipped beside the code: `etc/` of a checkout or `share/` of a wheel."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import protectd


def shipped(name: str) -> Path:
    """A shipped configuration file or directory, such as `providers.d`.

    :raises FileNotFoundError: the installation is incomplete; says where it was looked for.
    """
    tried = [place / name for place in _places()]
    for path in tried:
        if path.exists():
            return path
    raise FileNotFoundError(f"{name} is in none of {', '.join(str(path.parent) for path in tried)}")


def _places() -> list[Path]:
    """A checkout first, then the data directory of this Python, then the one beside an unpacked wheel."""
    package = Path(protectd.__file__).resolve().parent
    data = Path(sysconfig.get_path("data"))
    return [
        package.parent / "etc" / "protectd",
        data / "share" / "protectd" / "etc",
        Path(sys.prefix) / "share" / "protectd" / "etc",
        package.parent / "share" / "protectd" / "etc",
    ]
