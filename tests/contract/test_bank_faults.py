"""What banks make of a bad line: a proxy between each and a real server resets, hangs, cuts and lies."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from protectd.plugin.banks import rest
from protectd.plugin.banks.azure import AzureBank
from protectd.plugin.banks.rest import RestBank
from protectd.plugin.banks.s3 import S3Bank
from protectd.plugin.banks.swift import SwiftBank
from protectd.plugin.banks.webdav import WebdavBank
from protectd.plugin.base import BankObjectNotFound, BankPlugin, BankRefused, BankUnavailable
from protectd.plugin.wrappers.options import wrapped
from tests.fakes.bad_line import BadLine, Harm, bad_line
from tests.fakes.programs import free_ports

SERVERS: dict[str, tuple[type[BankPlugin], str, str]] = {
    "azure": (AzureBank, "azurite", "endpoint"),
    "rest": (RestBank, "rest_server", "url"),
    "s3": (S3Bank, "seaweedfs", "url"),
    "swift": (SwiftBank, "swift", "auth_url"),
    "webdav": (WebdavBank, "webdav_server", "url"),
}
"""Plug-in, fixture of its server, and the option that has the server's address."""

KEY = "data/ab/abcd"
CONTENT = bytes(range(256)) * 400
TIMEOUT_S = 20.0
BRIEF_S = 0.5

Call = Callable[[BankPlugin], object]
CALLS: dict[str, tuple[Call, object]] = {
    "put": (lambda bank: bank.put("index/aa", b"new"), None),
    "get": (lambda bank: bank.get(KEY), CONTENT),
    "get-part": (lambda bank: bank.get(KEY, 100, 5000), CONTENT[100:5100]),
    "read_into": (lambda bank: into(bank, len(CONTENT) - 7), CONTENT[7:]),
    "size": (lambda bank: bank.size(KEY), len(CONTENT)),
    "list": (lambda bank: [each.key for each in bank.list("data")], [KEY]),
    "delete": (lambda bank: bank.delete("locks/aa"), None),
}
READS = [name for name in CALLS if name.startswith(("get", "read_into"))]


def into(bank: BankPlugin, length: int) -> bytes:
    buffer = bytearray(length)
    read = bank.read_into(KEY, memoryview(buffer), 7)
    return bytes(buffer[:read])


class Setting:
    """A bank behind a bad line, with an object in it."""

    def __init__(self, plugin: type[BankPlugin], options: dict[str, str], line: BadLine) -> None:
        self.line = line
        place = f"faults/{uuid.uuid4().hex}"
        self.once = plugin.from_options(options).section(place)
        self.hasty = plugin.from_options({**options, "timeout_s": str(BRIEF_S)}).section(place)
        self.bank = wrapped(self.once, {"retries": "3", "retry_base_s": "0.01", "retry_cap_s": "0.02"})
        self.bank.prepare()
        self.bank.put(KEY, CONTENT)


@pytest.fixture(params=sorted(SERVERS))
def setting(request: pytest.FixtureRequest) -> Iterator[Setting]:
    plugin, server, address = SERVERS[request.param]
    options = request.getfixturevalue(server)
    scheme, _, rest = options[address].rpartition("http://")
    with bad_line(f"http://{rest}") as line:
        path = rest.partition("/")[2]
        changed = {address: f"{scheme}{line.url}/{path}", "timeout_s": str(TIMEOUT_S)}
        yield Setting(plugin, {**options, **changed}, line)


def only(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("setting", names, indirect=True)


@pytest.mark.parametrize("harm", [503, 500, 429, Harm.RESET, Harm.RESET_AFTER], ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_fails_is_tried_again(setting: Setting, name: str, harm: Harm | int) -> None:
    call, expected = CALLS[name]
    setting.line.fail(harm, 2)
    assert call(setting.bank) == expected
    assert len(setting.line.seen) >= 3
    assert setting.once.get(KEY) == CONTENT


@pytest.mark.parametrize("name", CALLS)
def test_a_server_that_never_works_is_unavailable(setting: Setting, name: str) -> None:
    setting.line.fail(502, 1000)
    with pytest.raises(BankUnavailable) as caught:
        CALLS[name][0](setting.bank)
    assert "502" in str(caught.value)
    assert 4 <= len(setting.line.seen) <= 12


@pytest.mark.parametrize("status", [400, 403, 507, 501])
@pytest.mark.parametrize("name", CALLS)
def test_a_no_is_final_and_not_asked_again(setting: Setting, name: str, status: int) -> None:
    setting.line.fail(status, 1000)
    with pytest.raises(BankRefused) as caught:
        CALLS[name][0](setting.bank)
    if status not in (403, 400):  # these have codes of their own in some protocols
        assert str(status) in str(caught.value)
    assert len(setting.line.seen) <= 6  # making what is above, and cleaning up after it, with WebDAV


@pytest.mark.parametrize("name", CALLS)
def test_credentials_that_are_not_taken_are_a_no(setting: Setting, name: str) -> None:
    setting.line.fail(401, 1000)
    with pytest.raises(BankRefused):
        CALLS[name][0](setting.bank)


@pytest.mark.parametrize("name", READS)
def test_half_an_object_is_never_taken_for_the_whole(setting: Setting, name: str) -> None:
    setting.line.fail(Harm.HALF, 2, "GET")
    assert CALLS[name][0](setting.bank) == CALLS[name][1]
    setting.line.fail(Harm.HALF, 1000, "GET")
    with pytest.raises(BankUnavailable):
        CALLS[name][0](setting.bank)


@pytest.mark.parametrize("name", ["get-part", "read_into"])
def test_an_answer_that_lies_about_its_length_is_found_out_where_a_part_was_asked_for(
    setting: Setting, name: str
) -> None:
    setting.line.fail(Harm.SHORT, 1, "GET")
    with pytest.raises(BankUnavailable):
        CALLS[name][0](setting.once)


@pytest.mark.parametrize("harm", [Harm.HALF, Harm.SHORT])
def test_half_a_listing_is_no_listing(setting: Setting, harm: Harm) -> None:
    for number in range(8):
        setting.bank.put(f"index/{number:02}", b"x")
    listing = "PROPFIND" if isinstance(setting.once, WebdavBank) else "GET"
    setting.line.fail(harm, 1, listing)
    with pytest.raises(BankUnavailable):
        list(setting.once.list("index"))
    setting.line.fail(harm, 2, listing)
    assert len(list(setting.bank.list("index"))) == 8


@pytest.mark.parametrize("name", ["get", "size", "list"])
def test_a_server_that_says_nothing_is_given_up_by_the_bank_itself(setting: Setting, name: str) -> None:
    setting.line.fail(Harm.HANG, 1000)
    with pytest.raises(BankUnavailable) as caught:
        CALLS[name][0](setting.hasty)
    assert "no answer in time" in str(caught.value)


@pytest.mark.parametrize("name", ["put", "delete"])
def test_a_server_that_says_nothing_is_given_up(setting: Setting, name: str) -> None:
    setting.line.fail(Harm.HANG, 1000)
    with pytest.raises(BankUnavailable) as caught:
        CALLS[name][0](wrapped(setting.once, {"retries": "0", "timeout_s": str(BRIEF_S)}))
    assert "no answer in" in str(caught.value)


def nowhere() -> str:
    """`host:port` where nobody listens."""
    return f"127.0.0.1:{free_ports(1)[0]}"


@pytest.mark.parametrize(
    "bank",
    [
        RestBank.from_options({"url": f"rest:http://{nowhere()}/"}),
        S3Bank.from_options(
            {"url": f"s3:http://{nowhere()}/bank", "access_key_id": "x", "secret_access_key": "x"}
        ),
    ],
    ids=["rest", "s3"],
)
def test_a_server_that_is_away_is_unavailable(bank: BankPlugin) -> None:
    with pytest.raises(BankUnavailable) as caught:
        bank.get("config")
    assert "refused" in str(caught.value)


def test_an_object_that_a_stale_listing_lacks_can_be_read(setting: Setting) -> None:
    listed = [each.key for each in setting.once.list("data")]
    setting.line.fail(Harm.STALE, 1000, "GET", "PROPFIND")
    setting.once.put("data/ab/abff", b"newer")
    assert [each.key for each in setting.once.list("data")] == listed
    assert setting.once.size("data/ab/abff") == 5


# --- REST ---


@only("rest")
def test_a_server_that_replaces_nothing_takes_the_same_again(setting: Setting) -> None:
    """As rest-server does when the answer to the first try was lost."""
    setting.line.fail(403, 1000, "POST")
    setting.bank.put(KEY, CONTENT)
    with pytest.raises(BankRefused):
        setting.bank.put(KEY, CONTENT[1:])
    with pytest.raises(BankRefused):
        setting.bank.put("index/aa", b"x")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'["aa", "bb"]', [("aa", None), ("bb", None)]),  # the first version of the protocol
        (b'[{"name": "aa", "size": 3}]', [("aa", 3)]),
        (b"[]", []),
        (b"null", []),
    ],
)
def test_a_rest_listing_in_either_version(raw: bytes, expected: list[tuple[str, int | None]]) -> None:
    assert rest.entries(raw, "data") == expected


@pytest.mark.parametrize(
    "raw", [b"", b"<html>", b'[{"name": "aa"}]', b'[{"name": "aa", "size"', b"[1]", b"1"]
)
def test_what_is_no_rest_listing_is_unavailable(raw: bytes) -> None:
    with pytest.raises(BankUnavailable):
        rest.entries(raw, "data")


# --- WebDAV ---


@only("webdav")
def test_an_upload_that_broke_leaves_nothing_that_shows(setting: Setting) -> None:
    setting.line.fail(Harm.RESET_AFTER, 1, "MOVE")
    with pytest.raises(BankUnavailable):
        setting.once.put("index/aa", b"moved, and nobody knows")
    setting.line.fail(Harm.RESET_AFTER, 1000, "PUT")
    with pytest.raises(BankUnavailable):
        setting.once.put("index/bb", b"under its other name")
    setting.line.fail(Harm.RESET, 0)
    assert [each.key for each in setting.once.list("index")] == ["index/aa"]


@only("webdav")
def test_a_collection_that_went_away_is_not_made_again_by_writing(setting: Setting) -> None:
    gone = WebdavBank.from_options({"url": f"webdav:{setting.line.url}/gone/"})
    gone._login = setting.once._login  # type: ignore[attr-defined]
    with pytest.raises((BankUnavailable, BankRefused)):
        gone.put("data/ab/abcd", b"x")
    with pytest.raises(BankObjectNotFound):
        gone.size("data")


# --- Swift ---


@only("swift")
def test_a_token_that_ran_out_is_renewed(setting: Setting) -> None:
    setting.line.fail(401, 1)
    assert setting.once.get(KEY) == CONTENT
    assert [path for _, path in setting.line.seen][1] == "/auth/v1.0"
    setting.line.fail(401, 1)
    setting.once.put("index/aa", b"x")
    assert setting.once.get("index/aa") == b"x"


@only("swift")
def test_what_came_later_than_a_newer_one_is_there_or_to_be_tried_again(setting: Setting) -> None:
    """Swift takes the newest of several and answers 202 to the others, whose bytes it has not kept."""
    setting.once.put("index/aa", b"same for all")
    setting.line.fail(202, 1, "PUT")
    setting.once.put("index/aa", b"same for all")
    setting.line.fail(202, 1, "PUT")
    with pytest.raises(BankUnavailable) as caught:
        setting.once.put("index/aa", b"another")
    assert "somebody else" in str(caught.value)
    assert setting.once.get("index/aa") == b"same for all"


@only("swift")
def test_what_changes_on_its_way_is_refused_by_the_server(setting: Setting) -> None:
    setting.line.fail(422, 1, "PUT")
    with pytest.raises(BankUnavailable) as caught:
        setting.once.put("index/aa", b"x")
    assert "changed on its way" in str(caught.value)
