#!/bin/sh
# protectd from a bare checkout: needs Python >= 3.11 with its venv module, and nothing else.
set -eu

usage() {
    cat <<'END'
usage: bin/protectd.sh COMMAND [ARGUMENT...]

  install            make .venv in this checkout with everything installed
  try [DIRECTORY]    protect DIRECTORY (default: this checkout) with a protectd of its own, restore it
                     elsewhere, and compare
  test [ARGUMENT...] run the whole test suite through tox; arguments after -- go to pytest
  start [OPTION...]  run protectd in the background and wait until it serves; options are protectd's
  stop               end it, and wait until its port is free
  status             tell whether it runs, and where
  debug [OPTION...]  run protectd in the foreground and log every step
  run NAME [...]     run an installed command, such as protectd-manage

start, stop, status and debug use the state directory $PROTECTD_STATE_DIR, by default protectd below the
XDG state directory, unless they are given --state-dir DIR.
END
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
venv=$here/.venv

say() { printf '%s\n' "$*" >&2; }

die() {
    say "protectd.sh: $*"
    exit 1
}

python_works() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

python_has_venv() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

# The first Python that is new enough and can make virtual environments.
find_python() {
    found=
    for python in ${PROTECTD_PYTHON:-python3 python3.13 python3.12 python3.11}; do
        python_works "$python" || continue
        found=${found:-$python}
        if python_has_venv "$python"; then
            printf '%s\n' "$python"
            return
        fi
    done
    [ -n "$found" ] || die "Python 3.11 or newer is needed. On Debian 12: apt-get install python3 python3-venv"
    die "$found has no venv module. On Debian: apt-get install python3-venv"
}

# What is installed depends on these files; the stamp tells whether they changed since.
fingerprint() {
    cat "$here/setup.cfg" "$here/setup.py" "$here/pyproject.toml" "$here/protectd/vault/_sha256.c" | cksum
}

pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"
}

install() {
    stamp=$venv/.protectd-installed
    if [ -x "$venv/bin/protectd" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$(fingerprint)" ]; then
        return
    fi
    python=$(find_python)
    say "Installing into $venv ..."
    [ -x "$venv/bin/python" ] && python_works "$venv/bin/python" || "$python" -m venv --clear "$venv"
    (cd "$here" && pip install --editable '.[postgresql,mysql,redis]') ||
        die "the installation failed; what is missing is told above"
    fingerprint >"$stamp"
}

run_tests() {
    install
    [ -x "$venv/bin/tox" ] || pip install 'tox >= 4.11, < 5'
    cd "$here"
    exec "$venv/bin/tox" run "$@"
}

command=${1:-help}
[ $# -gt 0 ] && shift
case $command in
    install)
        install
        say "Installed. Run: $venv/bin/protectd"
        ;;
    try)
        install
        [ $# -gt 0 ] || set -- "$here"
        exec "$venv/bin/python" -m protectd.client.try_it "$@"
        ;;
    test) run_tests "$@" ;;
    start | stop | status)
        install
        exec "$venv/bin/python" -m protectd.cmd.control "$command" "$@"
        ;;
    debug)
        install
        exec "$venv/bin/python" -m protectd.cmd.control debug --debug "$@"
        ;;
    run)
        install
        [ $# -gt 0 ] || die "run what? Such as: run protectd-manage --help"
        name=$1
        shift
        [ -x "$venv/bin/$name" ] || die "there is no command $name"
        exec "$venv/bin/$name" "$@"
        ;;
    help | -h | --help) usage ;;
    *)
        usage >&2
        exit 2
        ;;
esac
