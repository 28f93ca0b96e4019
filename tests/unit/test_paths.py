"""Which places of a host a project may touch."""

from __future__ import annotations

from pathlib import Path

import pytest

from protectd.plugin.base import Access, InvalidResource, PathNotAllowed
from protectd.plugin.paths import (
    allow_source,
    allow_target,
    plain_path,
    resolve_source,
    resolve_target,
    within,
)

STATE = "/var/lib/protectd"
MEMBER = Access(roots=("/srv/a", "/home/"), forbidden=(STATE,))
ADMIN = Access(roots=None, forbidden=(STATE,))
NOBODY = Access()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("/", "/"), ("//", "/"), ("/a/", "/a"), ("//a///b/./c", "/a/b/c"), ("/a b\n", "/a b\n"), ("/ä", "/ä")]
    + [("/..a/b..", "/..a/b..")],
)
def test_a_path_is_brought_to_normal_form(text: str, expected: str) -> None:
    assert plain_path(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", ".", "a", "a/b", "..", "/..", "/a/..", "/a/../b", "/a\0", "\0", "~", "/" + "ä" * 128]
    + ["/a" * 2048, "/\udcff", None, 7, ["/a"], {"path": "/a"}],
)
def test_what_is_no_plain_absolute_path_is_refused(text: object) -> None:
    with pytest.raises(InvalidResource) as caught:
        plain_path(text, "resources.0.path")
    assert caught.value.facts["field"] == "resources.0.path"


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("/srv/a", "/srv/a", True),
        ("/srv/a/b", "/srv/a", True),
        ("/srv/ab", "/srv/a", False),
        ("/srv", "/srv/a", False),
        ("/anything", "/", True),
        ("/", "/", True),
        ("/", "/srv", False),
        ("/home/x", "/home/", True),
    ],
)
def test_a_place_is_below_another_segment_by_segment(path: str, root: str, expected: bool) -> None:
    assert within(path, root) is expected


@pytest.mark.parametrize("path", ["/srv/a", "/srv/a/deep/er", "/home/x"])
def test_a_member_may_use_what_lies_below_its_roots(path: str) -> None:
    allow_source(path, MEMBER)
    allow_target(path, MEMBER)


@pytest.mark.parametrize("path", ["/", "/srv", "/srv/ab", "/etc", STATE, f"{STATE}/bank"])
def test_a_member_may_use_nothing_else(path: str) -> None:
    for allow in (allow_source, allow_target):
        with pytest.raises(PathNotAllowed) as caught:
            allow(path, MEMBER, "where")
        assert (caught.value.status, caught.value.field) == (403, "where")


def test_without_roots_nothing_is_allowed() -> None:
    with pytest.raises(PathNotAllowed):
        allow_source("/srv/a", NOBODY)


@pytest.mark.parametrize("path", [STATE, f"{STATE}/bank/x"])
def test_the_services_own_places_are_nobodys(path: str) -> None:
    for allow in (allow_source, allow_target):
        with pytest.raises(PathNotAllowed):
            allow(path, ADMIN)


@pytest.mark.parametrize("path", ["/", "/var", "/var/lib"])
def test_what_holds_the_services_own_places_may_be_read_but_not_written(path: str) -> None:
    allow_source(path, ADMIN)
    with pytest.raises(PathNotAllowed):
        allow_target(path, ADMIN)


def test_a_neighbor_of_the_services_own_places_is_free() -> None:
    allow_target(f"{STATE}-data", ADMIN)


# --- resolved ---


@pytest.fixture
def host(tmp_path: Path) -> Path:
    for name in ("srv/a/data", "etc", "state/bank", "other"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def member(host: Path) -> Access:
    return Access(roots=(str(host / "srv/a"),), forbidden=(str(host / "state"),))


def admin(host: Path) -> Access:
    return Access(roots=None, forbidden=(str(host / "state"),))


def test_a_link_that_leads_outside_the_roots_is_refused_by_the_name_asked_for(host: Path) -> None:
    link = host / "srv/a/link"
    link.symlink_to(host / "etc")
    for resolve in (resolve_source, resolve_target):
        for path in (link, link / "below", link / "not/there"):
            with pytest.raises(PathNotAllowed) as caught:
                resolve(str(path), member(host))
            assert caught.value.facts == {"path": str(path)}


def test_a_link_inside_the_roots_is_followed(host: Path) -> None:
    (host / "srv/a/link").symlink_to("data")
    assert resolve_source(str(host / "srv/a/link"), member(host)).path == str(host / "srv/a/data")
    assert resolve_target(str(host / "srv/a/link/new"), member(host)) == str(host / "srv/a/data/new")


def test_a_root_may_itself_be_a_link(host: Path) -> None:
    (host / "home").symlink_to(host / "other")
    access = Access(roots=(str(host / "home"),))
    assert resolve_source(str(host / "home"), access).path == str(host / "other")


def test_a_dangling_link_decides_by_where_it_points(host: Path) -> None:
    (host / "srv/a/link").symlink_to(host / "etc/new")
    with pytest.raises(PathNotAllowed):
        resolve_target(str(host / "srv/a/link"), member(host))


def test_a_link_to_the_services_own_places_is_refused_for_an_administrator_too(host: Path) -> None:
    (host / "other/link").symlink_to(host / "state")
    for resolve in (resolve_source, resolve_target):
        with pytest.raises(PathNotAllowed):
            resolve(str(host / "other/link/bank"), admin(host))


def test_a_state_directory_named_by_a_link_is_found_where_it_is(host: Path) -> None:
    (host / "var").symlink_to(host / "state")
    access = Access(roots=None, forbidden=(str(host / "var"),))
    with pytest.raises(PathNotAllowed):
        resolve_source(str(host / "state/bank"), access)
    assert str(host / "state") in resolve_source(str(host), access).excludes


def test_forbidden_places_below_a_source_are_left_out_of_it(host: Path) -> None:
    source = resolve_source(str(host), admin(host))
    assert (source.path, source.excludes) == (str(host), (str(host / "state"),))
    assert resolve_source(str(host / "other"), admin(host)).excludes == ()


def test_a_target_above_a_forbidden_place_is_refused_when_only_a_link_says_so(host: Path) -> None:
    (host / "other/link").symlink_to(host)
    with pytest.raises(PathNotAllowed):
        resolve_target(str(host / "other/link"), admin(host))


def test_a_loop_of_links_leads_nowhere_else(host: Path) -> None:
    (host / "srv/a/loop").symlink_to("loop")
    assert resolve_target(str(host / "srv/a/loop"), member(host)) == str(host / "srv/a/loop")


def test_a_name_that_is_not_utf8_is_refused_where_a_link_leads_to_it(host: Path) -> None:
    name = b"\xff"
    (host / "srv/a" / name.decode("utf-8", "surrogateescape")).mkdir()
    (host / "srv/a/link").symlink_to(name.decode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidResource):
        resolve_source(str(host / "srv/a/link"), member(host))
