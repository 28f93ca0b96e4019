"""Start, stop and look at a protectd in the background: what `bin/protectd.sh` does beside installing."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from protectd.cmd import state
from protectd.cmd.door import guarded
from protectd.common.errors import Conflict
from protectd.conf.default import xdg_state_directory

LOG = "protectd.log"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0


class NotStarted(Conflict):
    code = "control.not_started"
    message = "protectd did not start; the end of {log} says why:\n{tail}"


class NotStopped(Conflict):
    code = "control.not_stopped"
    message = "process {pid} still runs {seconds:.0f} s after it was asked to end"


def start(directory: Path, options: list[str]) -> int:
    """Run protectd detached; returns when it serves. One that runs already is left alone."""
    pid = state.holder(directory)
    if pid is not None:
        print(f"protectd is already running (process {pid}) at {_endpoint(directory)}")
        return 0
    state.prepare(directory)
    process = _launch(directory, options)
    if not _wait_until_serving(directory, process):
        process.terminate()
        raise NotStarted(log=directory / LOG, tail=_tail(directory / LOG))
    print(f"protectd runs (process {process.pid}) at {_endpoint(directory)}")
    print(f"The token is in {directory / state.CREDENTIALS}, the log in {directory / LOG}.")
    return 0


def stop(directory: Path) -> int:
    """End the daemon of this directory and wait until it is gone. None running is no error."""
    pid = state.holder(directory)
    if pid is None:
        print("protectd is not running")
        return 0
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while state.holder(directory) is not None:
        if time.monotonic() > deadline:
            raise NotStopped(pid=pid, seconds=STOP_TIMEOUT_S)
        time.sleep(0.05)
    print("protectd has stopped")
    return 0


def status(directory: Path) -> int:
    """0 when it runs and serves, 3 when it does not run, 4 when it runs but does not answer."""
    pid = state.holder(directory)
    if pid is None:
        print("protectd is not running")
        return 3
    endpoint = _endpoint(directory)
    if not _healthy(endpoint):
        print(f"protectd runs (process {pid}) but does not answer at {endpoint}")
        return 4
    print(f"protectd runs (process {pid}) at {endpoint}")
    return 0


def debug(directory: Path, options: list[str]) -> int:
    """Become protectd, in the foreground."""
    sys.stdout.flush()
    os.execv(sys.executable, _command(directory, options))


def _command(directory: Path, options: list[str]) -> list[str]:
    return [sys.executable, "-m", "protectd.cmd.standalone", "--state-dir", str(directory), *options]


def _launch(directory: Path, options: list[str]) -> subprocess.Popen[bytes]:
    with open(directory / LOG, "ab") as log:
        return subprocess.Popen(
            _command(directory, options),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait_until_serving(directory: Path, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        if state.holder(directory) == process.pid and _healthy(_endpoint(directory)):
            return True
        time.sleep(0.1)
    return False


def _endpoint(directory: Path) -> str:
    return str(state.read_credentials(directory).get("endpoint", "an unknown address"))


def _healthy(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint}/healthcheck", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def _tail(path: Path, lines: int = 10) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def main() -> int:
    parser = argparse.ArgumentParser(prog="protectd.sh", allow_abbrev=False)
    parser.add_argument("command", choices=["start", "stop", "status", "debug"])
    parser.add_argument("--state-dir", default=os.environ.get("PROTECTD_STATE_DIR") or xdg_state_directory())
    args, options = parser.parse_known_args()
    directory = Path(args.state_dir).absolute()
    if args.command == "start":
        return start(directory, options)
    if args.command == "debug":
        return debug(directory, options)
    if options:
        parser.error(f"{args.command} takes no {options[0]}")
    return stop(directory) if args.command == "stop" else status(directory)


if __name__ == "__main__":
    sys.exit(guarded("protectd.sh", main))
