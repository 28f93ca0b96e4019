"""Options: what is read, what is refused, and that the sample says what is there."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from protectd.cmd import arguments
from protectd.common.errors import ConfigurationError
from protectd.conf import GROUPS, new_config
from protectd.conf.default import xdg_state_directory
from protectd.conf.places import shipped
from protectd.conf.sample import sample


def parsed(*argv: str) -> argparse.Namespace:
    parser = arguments.parser("test", "A test.")
    arguments.add_state_dir(parser)
    return parser.parse_args(argv)


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_every_option_has_a_default_and_says_what_it_is_for() -> None:
    conf = new_config()
    for module in GROUPS:
        group = getattr(module, "GROUP", None)
        for option in module.OPTS:
            assert len(str(option.help).split()) >= 4, option.name
            value = conf[option.name] if group is None else conf[group.name][option.name]
            assert value is not None, option.name


def test_everything_lies_in_the_state_directory_by_default(tmp_path: Path) -> None:
    conf = arguments.settings(parsed("--state-dir", str(tmp_path)))
    assert conf.database.connection == f"sqlite:///{tmp_path}/protectd.db"
    assert conf.secrets.master_key_file == f"{tmp_path}/master.key"


def test_the_command_line_wins_over_files_and_later_files_over_earlier_ones(tmp_path: Path) -> None:
    one = write(tmp_path / "one.conf", "[DEFAULT]\nstate_dir = /from/file\n[api]\nworkers = 3\nthreads = 4\n")
    two = write(tmp_path / "two.conf", "[api]\nworkers = 5\n")
    conf = arguments.settings(parsed("--config-file", one, "--config-file", two, "--state-dir", "/from/line"))
    assert (conf.state_dir, conf.api.workers, conf.api.threads) == ("/from/line", 5, 4)


def test_a_directory_of_files_is_read_after_the_files(tmp_path: Path) -> None:
    one = write(tmp_path / "one.conf", "[api]\nworkers = 3\n")
    (tmp_path / "more").mkdir()
    write(tmp_path / "more" / "10-more.conf", "[api]\nworkers = 7\n")
    conf = arguments.settings(parsed("--config-file", one, "--config-dir", str(tmp_path / "more")))
    assert conf.api.workers == 7


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[api]\nworkers = 0\n", "workers"),
        ("[api]\nbind_port = 70000\n", "bind_port"),
        ("[DEFAULT]\nauth_strategy = guess\n", "auth_strategy"),
        ("[dispatch]\nmode = carrier-pigeon\n", "mode"),
        ("this is no option\n", "bad.conf"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once_and_named(tmp_path: Path, text: str, told: str) -> None:
    file = write(tmp_path / "bad.conf", text)
    with pytest.raises(ConfigurationError) as caught:
        arguments.settings(parsed("--config-file", file))
    assert told in str(caught.value)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match="/nowhere/x.conf"):
        arguments.settings(parsed("--config-file", "/nowhere/x.conf"))


def test_the_state_directory_is_xdg_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere/state")
    assert xdg_state_directory() == "/somewhere/state/protectd"
    monkeypatch.setenv("XDG_STATE_HOME", "relative is ignored")
    assert xdg_state_directory() == str(Path.home() / ".local/state/protectd")


def test_two_configurations_know_nothing_of_each_other() -> None:
    one, two = new_config(), new_config()
    one.set_override("workers", 9, group="api")
    assert two.api.workers != 9


def test_the_sample_is_what_the_options_say() -> None:
    """Write it anew with `protectd-manage config sample > etc/protectd/protectd.conf`."""
    assert shipped("protectd.conf").read_text() == sample()


def test_each_thread_of_the_api_has_a_connection_that_stays_open() -> None:
    conf = new_config()
    assert conf.database.pool_size >= conf.api.threads


def test_the_sample_changes_nothing(tmp_path: Path) -> None:
    plain = arguments.settings(parsed("--state-dir", str(tmp_path)))
    sampled = arguments.settings(
        parsed("--state-dir", str(tmp_path), "--config-file", str(shipped("protectd.conf")))
    )
    assert plain.api.items() == sampled.api.items()


def test_the_sample_with_every_default_taken_in_is_a_good_file(tmp_path: Path) -> None:
    lines = [
        line[1:] if line.startswith("#") and " = " in line and not line.startswith("# ") else line
        for line in sample().splitlines()
    ]
    text = "\n".join(line for line in lines if "<" not in line)
    arguments.settings(parsed("--config-file", write(tmp_path / "all.conf", text), "--state-dir", "/x"))
