"""Providers as their files describe them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from jsonschema import Draft202012Validator

from protectd.common.errors import ConfigurationError, InvalidField
from protectd.domain import copies
from protectd.domain.providers import (
    ProtectableNotFound,
    ProviderNotFound,
    Providers,
    load_protectables,
    load_providers,
)
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.plugin.banks.memory import MemoryBank
from protectd.plugin.banks.urls import plugin_of
from protectd.plugin.base import Access, BankPlugin, PathNotAllowed, ProtectionPlugin, Resource
from protectd.plugin.loader import BANKS, PROTECTABLES, PROTECTIONS, Loader
from protectd.plugin.protectables.directory import DirectoryProtectable
from protectd.plugin.protections.directory import DirectoryProtection
from protectd.plugin.wrappers.options import PROPERTIES

SHIPPED = Path(__file__).parents[2] / "etc/protectd/providers.d"
ID = "6659007d-6f66-4a0f-9cb4-17d6aded0bb9"
OTHER = "b766f37c-d011-4026-8228-28730d734a3f"

GOOD = f"""\
[provider]
id = {ID}
name = default
description = all in one place
bank = filesystem
plugin = directory

[filesystem]
path = $state_dir/bank

[allowed_roots]
p1 = /srv/one:/srv/two/
* = /srv/shared
"""

LOADER = Loader({BANKS: ["filesystem", "memory"], PROTECTIONS: ["directory"], PROTECTABLES: ["directory"]})


def load(directory: Path, loader: Loader = LOADER) -> Providers:
    return load_providers(directory, {"state_dir": "/var/lib/protectd"}, loader, ["/var/lib/protectd"])


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "one.conf", mode: int = 0o600) -> Path:
        path = tmp_path / name
        path.write_text(dedent(text))
        path.chmod(mode)
        return tmp_path

    return write


def refusal(directory: Path, loader: Loader = LOADER) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(directory, loader)
    return str(caught.value)


# --- files that are right ---


def test_a_file_makes_a_provider(write: Write) -> None:
    (provider,) = load(write(GOOD))
    assert (provider.id, provider.name, provider.description) == (ID, "default", "all in one place")
    assert isinstance(provider.bank, FilesystemBank)
    assert provider.bank.root == Path("/var/lib/protectd/bank")
    assert isinstance(provider.protections["directory"], DirectoryProtection)


def test_the_shipped_directory_is_right() -> None:
    providers = load(SHIPPED)
    assert providers.by_name_or_id("default") is providers.get(ID)


def test_a_provider_is_found_by_any_spelling_of_its_id_and_by_name(write: Write) -> None:
    providers = load(write(GOOD.replace(ID, ID.upper())))
    for spelling in (ID, ID.upper(), ID.replace("-", "")):
        assert providers.get(spelling).id == ID
    assert providers.by_name_or_id("default").id == ID
    for text in (OTHER, "default", ""):
        with pytest.raises(ProviderNotFound):
            providers.get(text)


def test_providers_come_in_the_order_of_their_ids(write: Write) -> None:
    write(GOOD.replace(ID, OTHER).replace("default", "other"), "a.conf")
    providers = load(write(GOOD, "b.conf"))
    assert [provider.id for provider in providers.all()] == sorted([ID, OTHER])
    assert len(providers) == 2


def test_a_provider_that_is_not_enabled_is_left_out_with_its_plugins(write: Write) -> None:
    text = GOOD.replace("bank = filesystem", "bank = tape\nenabled = no")
    assert load(write(text)).all() == []


def test_other_files_of_the_directory_are_not_read(write: Write) -> None:
    write("nonsense", "README")
    write("nonsense", "one.conf~")
    assert len(load(write(GOOD))) == 1


def test_a_provider_without_a_section_for_its_bank_gives_it_no_options(write: Write) -> None:
    text = f"[provider]\nid = {ID}\nname = m\nbank = memory\nplugin = directory\n"
    assert isinstance(load(write(text)).get(ID).bank, MemoryBank)


@pytest.mark.parametrize("value", ["directory", "directory,", " directory ,", "\n  directory"])
def test_plugins_are_listed_in_any_form(write: Write, value: str) -> None:
    providers = load(write(GOOD.replace("plugin = directory", f"plugin = {value}")))
    assert list(providers.get(ID).protections) == ["directory"]


def test_a_dollar_sign_is_written_twice(write: Write) -> None:
    (provider,) = load(write(GOOD.replace("$state_dir/bank", "/banks/a$$b")))
    assert isinstance(provider.bank, FilesystemBank)
    assert provider.bank.root == Path("/banks/a$b")


# --- files that are wrong ---


@pytest.mark.parametrize(
    ("change", "where", "reason"),
    [
        (("[provider]", "[supplier]"), "[provider]", "missing"),
        (("name = default", ""), "[provider]", "name is missing"),
        ((f"id = {ID}", ""), "[provider]", "id is missing"),
        (("bank = filesystem", "bank ="), "[provider]", "bank is missing"),
        (("plugin = directory", ""), "[provider]", "plugin is missing"),
        ((ID, "default"), "[provider]", "id must be a UUID"),
        (("name = default", "name = a\nname = b"), "[provider]", "name is given 2 times"),
        (("name = default", "name = default\ncolor = red"), "[provider]", "color is no option"),
        (("name = default", "name = default\nenabled = perhaps"), "[provider]", "enabled must be"),
        (("bank = filesystem", "bank = tape"), "[provider]", "'tape' of protectd.banks"),
        (("plugin = directory", "plugin = volume"), "[provider]", "'volume' of protectd.protections"),
        (("plugin = directory", "plugin = directory, directory"), "[provider]", "two plug-ins protect"),
        (("path = $state_dir/bank", ""), "[filesystem]", "path: is required"),
        (("path = $state_dir/bank", "path = /b\ncolor = red"), "[filesystem]", "color: is not a known"),
        (("$state_dir", "$home"), "[filesystem]", "$home"),
        (("$state_dir", "$"), "[filesystem]", "'$'"),
        (("$state_dir/bank", "bank"), "[filesystem]", "absolute"),
        (("/srv/one", "srv"), "[allowed_roots]", "p1: must be an absolute path"),
        (("/srv/one", "/srv/../etc"), "[allowed_roots]", "'..'"),
        (("[provider]", "name = x\n[provider]"), "line 2", "before the first section"),
        (("name = default", "name"), "line 3", "assignment"),
        (("bank = filesystem", "bank = filesystem\nurl = /srv"), "[provider]", "two names for one bank"),
        (("bank = filesystem", "url = bank"), "[provider]", "absolute path or have a scheme"),
        (("bank = filesystem", "url = /srv\nurl = /srv"), "[provider]", "url is given 2 times"),
        (("bank = filesystem", "url = tape://x"), "[provider]", "'tape' of protectd.banks"),
        (("bank = filesystem", "url = /srv"), "[filesystem]", "a url in its place"),
        (("path = $state_dir/bank", "path = /b\nretries = x"), "[filesystem]", "retries"),
    ],
)
def test_a_wrong_file_is_named_with_the_place_and_the_reason(
    write: Write, change: tuple[str, str], where: str, reason: str
) -> None:
    said = refusal(write(GOOD.replace(*change, 1)))
    assert where in said
    assert reason in said
    assert "one.conf" in said


def test_a_file_that_is_not_text_is_named(write: Write, tmp_path: Path) -> None:
    write(GOOD)
    (tmp_path / "one.conf").write_bytes(b"[provider]\nname = \xff\n")
    assert "one.conf: is not UTF-8" in refusal(tmp_path)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    assert "nowhere" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize("same", ["id", "name"])
def test_two_providers_may_not_share_an_id_or_a_name(write: Write, same: str) -> None:
    write(GOOD)
    other = GOOD.replace("default", "other") if same == "id" else GOOD.replace(ID, OTHER)
    assert "is used 2 times" in refusal(write(other, "two.conf"))


def test_copies_go_to_the_provider_that_the_file_names(write: Write) -> None:
    write(GOOD.replace("plugin =", f"copy_target = {OTHER.upper()}\nplugin ="))
    providers = load(write(GOOD.replace(ID, OTHER).replace("default", "other"), "two.conf"))
    assert providers.get(ID).copy_target == OTHER
    assert providers.get(OTHER).copy_target is None


@pytest.mark.parametrize(
    ("target", "reason"),
    [("elsewhere", "must be the UUID of a provider"), (OTHER, f"copy_target {OTHER} is no enabled provider")],
)
def test_copies_do_not_go_to_where_nothing_is(write: Write, target: str, reason: str) -> None:
    write(GOOD.replace("plugin =", f"copy_target = {target}\nplugin ="))
    other = GOOD.replace(ID, OTHER).replace("default", "other").replace("plugin =", "enabled = no\nplugin =")
    assert reason in refusal(write(other, "two.conf"))


def test_a_request_says_where_copies_go_then_the_file_then_they_stay(write: Write) -> None:
    write(GOOD.replace("plugin =", f"copy_target = {OTHER}\nplugin ="))
    providers = load(write(GOOD.replace(ID, OTHER).replace("default", "other"), "two.conf"))
    default, other = providers.get(ID), providers.get(OTHER)
    assert copies.target_of(providers, default, {}, "p") is other
    assert copies.target_of(providers, default, {"copy": {}}, "p") is other
    assert copies.target_of(providers, other, {}, "p") is other
    assert copies.target_of(providers, other, {"copy": {"provider_id": ID.upper()}}, "p") is default


class TapeBank(MemoryBank):
    options_schema = {
        "type": "object",
        "properties": {
            "robot": {"type": "string", "writeOnly": True},
            "password": {"type": "string"},
            "password_file": {"type": "string"},
        },
    }


class TapeLoader(Loader):
    def load(self, namespace: str, name: str) -> type[BankPlugin | ProtectionPlugin]:
        return TapeBank if name == "tape" else super().load(namespace, name)


TAPE = f"[provider]\nid = {ID}\nname = t\nbank = tape\nplugin = directory\n[tape]\n"


@pytest.mark.parametrize("option", ["robot", "password"])
def test_a_credential_in_a_file_that_everyone_may_read_is_refused(write: Write, option: str) -> None:
    loader = TapeLoader({PROTECTIONS: ["directory"]})
    directory = write(f"{TAPE}{option} = s3cr3t\n", mode=0o644)
    said = refusal(directory, loader)
    assert f"{option} is a credential" in said
    assert "s3cr3t" not in said
    write(f"{TAPE}{option} = s3cr3t\n", mode=0o640)
    assert len(load(directory, loader)) == 1


def test_the_name_of_a_file_with_a_credential_may_be_read_by_everyone(write: Write) -> None:
    directory = write(f"{TAPE}password_file = /etc/protectd/tape\n", mode=0o644)
    assert len(load(directory, TapeLoader({PROTECTIONS: ["directory"]}))) == 1


def test_a_line_that_cannot_be_read_is_not_shown(write: Write) -> None:
    assert "s3cr3t" not in refusal(write(f"{TAPE}password s3cr3t\n"))


def test_a_url_chooses_the_bank(write: Write) -> None:
    text = GOOD.replace("bank = filesystem", "url = file://$state_dir/other").replace(
        "path = $state_dir/bank", ""
    )
    (provider,) = load(write(text))
    assert isinstance(provider.bank, FilesystemBank)
    assert provider.bank.local_paths() == ("/var/lib/protectd/other",)


def _commented() -> tuple[list[str], dict[str, str], str]:
    """What the shipped file has as comments: URLs, sections by name, and options that every bank has."""
    text = (SHIPPED / "default.conf").read_text()
    lines = [line[1:] for line in text.splitlines() if re.match(r"#\S", line)]
    urls = [line.removeprefix("url = ") for line in lines if line.startswith("url = ")]
    rest, mark, common = "\n".join(lines[len(urls) :]).partition("retries = ")
    parts = re.split(r"^\[(\w+)\]$", rest, flags=re.M)[1:]
    return urls, dict(zip(parts[::2], parts[1::2], strict=True)), mark + common


@pytest.mark.parametrize("url", ["file:///srv/bank", *_commented()[0]])
def test_what_the_shipped_file_has_as_comments_is_true(write: Write, url: str) -> None:
    _, sections, common = _commented()
    name = plugin_of(url)
    assert sections.keys() == {"s3", "swift", "azure", "gcs", "webdav", "rest"}
    assert len(common.splitlines()) == len(PROPERTIES)
    text = f"[provider]\nid = {ID}\nname = t\nurl = {url}\nplugin = directory\n"
    loader = Loader({BANKS: [name], PROTECTIONS: ["directory"]})
    (provider,) = load(write(f"{text}[{name}]\n{sections.get(name, '')}\n{common}"), loader)
    assert provider.bank.remote is (name != "filesystem")


S3 = f"""
[provider]
id = {ID}
name = t
url = s3://bucket/prefix
plugin = directory
[s3]
access_key_id_file = KEY
secret_access_key_file = KEY
"""


def test_a_file_of_credentials_that_everyone_may_read_is_refused(write: Write, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("s3cr3t")
    key.chmod(0o644)
    loader = Loader({BANKS: ["s3"], PROTECTIONS: ["directory"]})
    directory = write(S3.replace("KEY", str(key)))
    said = refusal(directory, loader)
    assert "section [s3]" in said
    assert f"{key}: everyone may read it" in said
    assert "s3cr3t" not in said
    key.chmod(0o640)
    assert len(load(directory, loader)) == 1
    key.unlink()  # only hosts that reach the bank have it
    (provider,) = load(directory, loader)
    assert provider.vault_bank("p1").location == f"s3:https://s3.amazonaws.com/bucket/prefix/{ID}/p1"


def test_a_key_in_a_file_that_everyone_may_read_is_refused(write: Write) -> None:
    loader = Loader({BANKS: ["s3"], PROTECTIONS: ["directory"]})
    text = S3.replace("secret_access_key_file = KEY", "secret_access_key = s3cr3t").replace("KEY", "/none")
    said = refusal(write(text, mode=0o644), loader)
    assert "secret_access_key is a credential" in said
    assert "s3cr3t" not in said


def test_the_name_of_a_secret_may_be_read_by_everyone(write: Write) -> None:
    loader = Loader({BANKS: ["s3"], PROTECTIONS: ["directory"]})
    named = f"secret:{OTHER}"
    text = S3.replace("_file = KEY", f" = {named}")
    directory = write(text, mode=0o644)
    asked: list[str] = []

    def opened(secret_id: str) -> str:
        asked.append(secret_id)
        return "s3cr3t"

    (provider,) = load_providers(directory, {}, loader, (), opened)
    assert asked == [], "nothing is asked for before it is used"
    found = provider.bank.restic_environment()
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]) == ("s3cr3t", "s3cr3t")
    assert asked == [OTHER, OTHER]
    assert "no key manager" in refusal(directory, loader)
    said = refusal(write(S3.replace("_file = KEY", " = secret:s3cr3t"), mode=0o644), loader)
    assert "is a credential" in said and "s3cr3t" not in said


# --- what a provider grants ---


def test_a_member_may_touch_the_roots_of_its_project_and_of_every_project(write: Write) -> None:
    provider = load(write(GOOD)).get(ID)
    forbidden = ("/var/lib/protectd", "/var/lib/protectd/bank")
    assert provider.access("p1", False) == Access(("/srv/one", "/srv/two", "/srv/shared"), forbidden)
    assert provider.access("p2", False) == Access(("/srv/shared",), forbidden)
    assert provider.access("p2", True) == Access(None, forbidden)


def test_a_member_may_touch_nothing_by_default(write: Write) -> None:
    provider = load(write(GOOD.partition("[allowed_roots]")[0])).get(ID)
    assert provider.access("p1", False).roots == ()


def test_the_bank_of_one_provider_is_nobodys_through_another(write: Write) -> None:
    write(GOOD.replace("$state_dir/bank", "/banks/one"))
    providers = load(write(GOOD.replace(ID, OTHER).replace("default", "other"), "two.conf"))
    for provider in providers:
        assert {"/banks/one", "/var/lib/protectd/bank"} <= set(provider.access("p", True).forbidden)


def test_each_project_has_a_place_of_its_own_in_the_bank(write: Write) -> None:
    provider = load(write(GOOD)).get(ID)
    assert provider.vault_bank("p1").location == f"/var/lib/protectd/bank/{ID}/p1"


def test_the_services_own_places_are_forbidden_by_every_name(write: Write, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "link").symlink_to("state")
    named = [str(tmp_path / "link"), str(tmp_path / "state" / ".." / "conf")]
    provider = load_providers(write(GOOD), {"state_dir": "/s"}, LOADER, named).get(ID)
    expected = {str(tmp_path / name) for name in ("link", "state", "conf")}
    assert expected <= set(provider.access("p", True).forbidden)


@pytest.mark.parametrize("project_id", ["", ".", "..", "a/b", "../p1", "a b", "p\0", "ä"])
def test_a_project_that_names_no_place_of_its_own_gets_none(write: Write, project_id: str) -> None:
    with pytest.raises(InvalidField):
        load(write(GOOD)).get(ID).vault_bank(project_id)


def test_a_provider_tells_the_schemas_of_all_its_plugins(write: Write) -> None:
    schemas = load(write(GOOD)).get(ID).extended_info_schema()
    assert sorted(schemas) == ["options_schema", "restore_schema", "saved_info_schema", "verify_schema"]
    for kind in schemas.values():
        assert list(kind) == ["directory"]
        Draft202012Validator.check_schema(kind["directory"])
        assert kind["directory"]["additionalProperties"] is False


# --- protectables ---


def test_protectables_are_known_by_their_types() -> None:
    protectables = load_protectables(["directory"], LOADER)
    assert protectables.types() == ["directory"]
    assert "directory" in protectables
    assert isinstance(protectables.get("directory"), DirectoryProtectable)
    with pytest.raises(ProtectableNotFound) as caught:
        protectables.get("volume")
    assert caught.value.status == 404


def test_a_protectable_that_is_not_allowed_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        load_protectables(["directory"], Loader({}))


def test_a_protectable_named_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        load_protectables(["directory", "directory"], LOADER)


def test_directories_make_a_flat_graph() -> None:
    resources = [Resource(name, "directory", name, {"path": f"/{name}"}) for name in "ab"]
    graph = load_protectables(["directory"], LOADER).graph(resources)
    assert list(graph.children_first()) == resources


# --- the parameters of directories ---


@pytest.mark.parametrize(
    ("kind", "values", "fits"),
    [
        ("options_schema", {}, True),
        ("options_schema", {"excludes": ["cache", "/srv/one/tmp"]}, True),
        ("options_schema", {"excludes": "cache:tmp"}, True),
        ("options_schema", {"excludes": ["../x"]}, False),
        ("options_schema", {"excludes": ["a\n/../x"]}, False),
        ("options_schema", {"excludes": "a:.."}, False),
        ("options_schema", {"excludes": [""]}, False),
        ("options_schema", {"excludes": 7}, False),
        ("restore_schema", {"path": "/new", "overwrite": True}, True),
        ("restore_schema", {"overwrite": "true"}, True),
        ("restore_schema", {"path": ""}, False),
        ("restore_schema", {"path": None}, False),
        ("restore_schema", {"overwrite": "perhaps"}, False),
        ("restore_schema", {"overwrite": 1}, False),
        ("restore_schema", {"color": "red"}, False),
        ("verify_schema", {}, True),
        ("verify_schema", {"depth": 1}, False),
        ("saved_info_schema", {"path": "/srv/one"}, True),
        ("saved_info_schema", {}, False),
    ],
)
def test_what_may_be_said_of_directories(write: Write, kind: str, values: object, fits: bool) -> None:
    schema = load(write(GOOD)).get(ID).extended_info_schema()[kind]["directory"]
    assert Draft202012Validator(schema).is_valid(values) is fits


def test_a_target_that_can_never_be_used_is_refused_in_the_request(write: Write) -> None:
    provider = load(write(GOOD)).get(ID)
    plugin = provider.protections["directory"]
    plugin.check_restore_parameters({}, provider.access("p1", False))
    plugin.check_restore_parameters({"path": "/srv/one/x"}, provider.access("p1", False))
    plugin.check_restore_parameters({"path": "/anywhere"}, provider.access("p1", True))
    for path in ("/", "/var/lib/protectd/bank"):
        with pytest.raises(PathNotAllowed):
            plugin.check_restore_parameters({"path": path}, provider.access("p1", True))
    with pytest.raises(PathNotAllowed):
        plugin.check_restore_parameters({"path": "/etc"}, provider.access("p1", False))
    with pytest.raises(InvalidField) as caught:
        plugin.check_restore_parameters({"path": "relative"}, provider.access("p1", True))
    assert caught.value.facts["field"] == "path"
