"""The door of every command: an error leaves as one sentence and an exit code, never as a traceback."""

from __future__ import annotations

import logging
import os
import resource
import sys
from collections.abc import Callable

from protectd.common.errors import BadRequest, ProtectdError

LOG = logging.getLogger(__name__)


def guarded(prog: str, main: Callable[[], int]) -> int:
    """Run `main`; 0 for success, 1 for an error raised on purpose, 2 for wrong use.

    Neither this process nor one that it starts leaves its memory in a file when it dies: keys are in it.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    try:
        return main()
    except ProtectdError as error:
        LOG.debug("the command failed", exc_info=True)
        print(f"{prog}: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadRequest) else 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        LOG.debug("the command failed", exc_info=True)
        print(f"{prog}: {_sentence(error)}", file=sys.stderr)
        return 1


def _sentence(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)
