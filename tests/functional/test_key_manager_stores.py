"""Several secret stores at one time: shown, chosen by projects, each read for what it has sealed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from openstack import exceptions

from protectd.common.errors import ConfigurationError
from protectd.common.ids import new_id
from protectd.conf import new_config
from protectd.conf import secrets as options
from protectd.domain.secret_stores import SecretStores
from protectd.model.unit_of_work import Database
from tests.fakes.daemons import Standalone
from tests.fakes.daemons import running as daemons
from tests.fakes.databases import chosen_kind, empty_database
from tests.fakes.security_modules import LIBRARY, PIN, configure, make_token, need_library
from tests.fakes.service import Client, Service, running
from tests.functional.test_commands import run
from tests.functional.test_key_manager_orders import order, path_of
from tests.functional.test_key_manager_secrets import keep, payload, text, upload
from tests.functional.test_openstacksdk import connection

pytest_plugins = ["tests.fakes.databases"]

TWO = """
[secrets]
store = crypto
stores = crypto,second
[secret_store:second]
plugin = crypto
master_key_file = {file}
"""


@pytest.fixture(scope="module")
def key_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("keys")
    return place / "first.key", place / "second.key"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with empty_database(chosen_kind(), tmp_path_factory.mktemp("database")) as url:
        yield url


@contextmanager
def configured(place: Path, url: str, key_files: tuple[Path, Path], more: str) -> Iterator[Service]:
    first, second = key_files
    text = more.format(file=second)
    with running(place, mode="direct", database=url, master_key=first, more=text) as service:
        yield service


@pytest.fixture(scope="module")
def two(
    url: str, key_files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with configured(tmp_path_factory.mktemp("two"), url, key_files, TWO) as service:
        yield service


@pytest.fixture(scope="module")
def one(
    two: Service, url: str, key_files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """The same installation, from whose configuration the second store was taken out."""
    with configured(tmp_path_factory.mktemp("one"), url, key_files, "") as service:
        yield service


def names(client: Client) -> dict[str, str]:
    """Paths of stores by their names."""
    listed = client.get("/v1/secret-stores")["secret_stores"]
    return {each["name"]: path_of(each["secret_store_ref"]) for each in listed}


def prefer(service: Service, client: Client, name: str, verb: str = "POST") -> int:
    admin = service.client(client.project_id, "admin")
    return int(admin.call(verb, f"{names(admin)[name]}/preferred").status_int)


def store_of(service: Service, path: str) -> str:
    with service.parts.database.read() as uow:
        return str(uow.secrets.get(path.rpartition("/")[2]).store)


# --- what is shown and chosen ---


@pytest.mark.parametrize("slash", ["", "/"])
def test_stores_are_shown(two: Service, slash: str) -> None:
    reader = two.client(role="reader")
    answer = reader.get(f"/v1/secret-stores{slash}")
    assert list(answer) == ["secret_stores"]
    first, second = answer["secret_stores"]
    assert set(first) == {
        *("created", "updated", "status", "name", "secret_store_plugin", "crypto_plugin"),
        *("global_default", "secret_store_ref"),
    }
    assert (first["name"], first["global_default"], first["status"]) == ("crypto", True, "ACTIVE")
    assert (second["name"], second["global_default"]) == ("second", False)
    assert {first["secret_store_plugin"], second["secret_store_plugin"]} == {"crypto"}
    assert "Z" not in first["created"] and first["created"] == first["updated"]
    for each in (first, second):
        assert reader.get(path_of(each["secret_store_ref"]) + slash) == each
    assert reader.get(f"/v1/secret-stores/global-default{slash}") == first


def test_what_is_not_there_is_404(two: Service) -> None:
    admin = two.client(role="admin")
    unknown = f"/v1/secret-stores/{new_id()}"
    for verb, path in (
        ("GET", unknown),
        ("POST", f"{unknown}/preferred"),
        ("DELETE", f"{unknown}/preferred"),
    ):
        assert admin.refused(verb, path, 404)["error"] == "secret_store.not_found"
    assert admin.refused("GET", "/v1/secret-stores/preferred", 404)["error"] == "secret_store.none_preferred"
    answer = admin.call("GET", f"{names(admin)['second']}/preferred")
    assert (answer.status_int, answer.headers["Allow"]) == (405, "DELETE, OPTIONS, POST")


@pytest.mark.parametrize("below", ["nothing", "nothing/", "Preferred", "nothing/at/all"])
def test_what_is_not_there_below_a_store_is_405_and_below_none_404(
    two: Service, service: Service, below: str
) -> None:
    """As in the contract, with an Allow of what is left, and as every other answer of the key manager."""
    admin, store = two.client(role="admin"), names(two.client())["second"]
    for verb in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        answer = admin.call(verb, f"{store}/{below}")
        assert (answer.status_int, answer.headers["Allow"]) == (405, "OPTIONS")
        assert answer.json["title"] == "Method Not Allowed" and answer.json["code"] == 405
        assert answer.headers["OpenStack-API-Version"].startswith("key-manager")
        fault = admin.refused(verb, f"/v1/secret-stores/{new_id()}/{below}", 404)
        assert fault["error"] == "secret_store.not_found"
        missing = service.client().refused(verb, f"{store}/{below}", 404)
        assert missing["error"] == "secret_store.not_enabled"
    assert admin.call("OPTIONS", f"{store}/{below}").status_int == 204
    assert two.client(role="nobody").refused("GET", f"{store}/{below}", 403)["error"] == "forbidden"
    assert admin.refused("GET", f"{store}/preferred/{below}", 404)["error"] == "path.not_found"


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_project_chooses_and_takes_it_back(two: Service, slash: str) -> None:
    admin, preferred = two.client(role="admin"), "/v1/secret-stores/preferred"
    stores = names(admin)
    for name in ("second", "second", "crypto", "second"):
        answer = admin.call("POST", f"{stores[name]}/preferred{slash}")
        assert (answer.status_int, answer.body) == (204, b"")
        assert admin.get(f"{preferred}{slash}")["name"] == name
    two.client().refused("GET", preferred, 404)
    assert admin.call("DELETE", f"{stores['crypto']}/preferred{slash}").status_int == 204
    admin.refused("GET", preferred, 404)
    fault = admin.refused("DELETE", f"{stores['crypto']}/preferred", 404)
    assert fault["error"] == "secret_store.none_preferred"


def test_who_may_do_what(two: Service) -> None:
    nobody, store = two.client(role="nobody"), names(two.client())["second"]
    for path in ("", "/global-default", "/preferred", f"/{store.rpartition('/')[2]}"):
        assert nobody.refused("GET", f"/v1/secret-stores{path}", 403)["error"] == "forbidden"
    for verb in ("POST", "DELETE"):
        assert two.client().refused(verb, f"{store}/preferred", 403)["error"] == "forbidden"


def test_where_there_is_one_store_there_is_nothing_to_choose(service: Service) -> None:
    admin = service.client(role="admin")
    for path in ("", "/global-default", "/preferred", f"/{new_id()}"):
        assert admin.refused("GET", f"/v1/secret-stores{path}", 404)["error"] == "secret_store.not_enabled"
    fault = admin.refused("POST", f"/v1/secret-stores/{new_id()}/preferred", 404)
    assert fault["error"] == "secret_store.not_enabled"


def test_a_store_is_called_the_same_by_every_process(any_database: Database) -> None:
    plugins = {"crypto": "crypto", "module": "pkcs11"}
    seen = [SecretStores(any_database, plugins, "crypto").all() for _ in range(2)]
    more = SecretStores(any_database, {"new": "crypto"} | plugins, "new").all()
    assert seen[0] == seen[1]
    assert [each.name for each in more] == ["new", "crypto", "module"]
    assert [each.id for each in more[1:]] == [each.id for each in seen[0]]
    assert [each.is_default for each in more] == [True, False, False]


# --- sealed and read ---


def test_each_secret_is_sealed_by_the_one_that_was_chosen_then(two: Service) -> None:
    user = two.client()
    before, later = text(user, "before"), keep(user, name="in two steps")
    assert prefer(two, user, "second") == 204
    after = text(user, "after")
    upload(user, later, b"later", Content_Type="text/plain")
    made = path_of(order(user)["secret_ref"])
    assert prefer(two, user, "second", "DELETE") == 204
    last = text(user, "last")
    stores = [store_of(two, path) for path in (before, later, after, made, last)]
    assert stores == ["crypto", "second", "second", "second", "crypto"]
    for path, told in ((before, b"before"), (later, b"later"), (after, b"after"), (last, b"last")):
        assert payload(user, path).body == told
    assert len(payload(user, made).body) == 32
    assert store_of(two, text(two.client(), "another project's")) == "crypto"


def test_a_store_that_was_taken_out_is_told_of(two: Service, one: Service) -> None:
    """What is known of its secrets is known, they can be deleted, and nothing is sealed elsewhere instead."""
    user = two.client()
    stays = text(user, "stays")
    assert prefer(two, user, "second") == 204
    lost, goes = text(user, "is lost"), text(user, "goes")
    asked = Client(one.app, user.token, user.project_id)
    fault = asked.refused("GET", f"{lost}/payload", 503)
    assert fault["error"] == "secret.store_not_configured" and "second" in fault["message"]
    assert asked.get(lost)["content_types"] == {"default": "text/plain"}
    assert payload(asked, stays).body == b"stays"
    assert asked.call("DELETE", goes).status_int == 204
    assert asked.get("/v1/secrets")["total"] == 2
    assert payload(user, lost).body == b"is lost"


@pytest.fixture
def other(two: Service, url: str, key_files: tuple[Path, Path], tmp_path: Path) -> Iterator[Service]:
    """The same installation with another second store."""
    with configured(tmp_path, url, key_files, TWO.replace("second", "third")) as service:
        yield service


def test_a_choice_that_is_lost_seals_nowhere_else(two: Service, other: Service) -> None:
    user = two.client()
    assert prefer(two, user, "second") == 204
    asked = Client(other.app, user.token, user.project_id)
    body = {"payload": "x", "payload_content_type": "text/plain"}
    for verb, path, wanted in (("POST", "/v1/secrets", body), ("GET", "/v1/secret-stores/preferred", None)):
        assert asked.refused(verb, path, 503, wanted)["error"] == "secret.store_not_configured"
    assert asked.get("/v1/secrets")["total"] == 0
    assert prefer(other, asked, "third", "DELETE") == 204
    assert payload(asked, text(asked, "again")).body == b"again"


def test_one_store_costs_no_question(two: Service, service: Service) -> None:
    counts = []
    for each in (service, two):
        user = each.client()
        text(user, "the first key of the project is made")
        with each.counted_statements() as seen:
            text(user, "x")
        counts.append(sum("preferred_stores" in statement for statement in seen))
    assert counts == [0, 1]


# --- configuration ---


@pytest.mark.parametrize(
    ("stores", "told"), [("second", "crypto is not among them"), ("crypto,a b", "is no name of a store")]
)
def test_stores_that_make_no_sense_are_refused(tmp_path: Path, stores: str, told: str) -> None:
    file = tmp_path / "protectd.conf"
    file.write_text(f"[secrets]\nstores = {stores}\n")
    with pytest.raises(ConfigurationError, match=told):
        options.names(new_config([file]))


def test_a_store_has_its_own_options_and_the_rest_of_all(tmp_path: Path) -> None:
    file = tmp_path / "protectd.conf"
    file.write_text(TWO.format(file="/second.key") + "[secrets]\npkcs11_token = all\n")
    conf = new_config([file])
    assert options.names(conf) == ["crypto", "second"]
    found = options.of(conf, "second")
    assert (found.plugin, found.options["master_key_file"]) == ("crypto", "/second.key")
    assert found.options["pkcs11_token"] == "all"
    assert options.of(conf, "crypto").options["master_key_file"].endswith("/master.key")


# --- a file and a module ---


@pytest.fixture
def token(tmp_path: Path) -> dict[str, str]:
    """Environment in which SoftHSM2 has a token."""
    need_library()
    (tmp_path / "pin").write_text(PIN)
    (tmp_path / "pin").chmod(0o600)
    environment = configure(tmp_path)
    make_token("tests", environment)
    return environment


MODULE = """
[secrets]
stores = crypto,pkcs11
pkcs11_library = {library}
pkcs11_token = tests
pkcs11_pin_file = {pin}
"""


def test_a_file_and_a_module_at_one_time(tmp_path: Path, token: dict[str, str]) -> None:
    conf, state = tmp_path / "protectd.conf", tmp_path / "state"
    conf.write_text(MODULE.format(library=LIBRARY, pin=tmp_path / "pin"))
    conf.chmod(0o600)
    daemon = Standalone(state, "--config-file", str(conf))
    daemon.environment |= token
    place = ("--state-dir", state, "--config-file", conf)
    with daemons(daemon):
        daemon.wait()
        assert run("manage", *place, "key", "rotate", "--store", "pkcs11", **token).returncode == 0
        told = daemon.credentials()
        user, headers = connection(told["endpoint"], told["token"]), {"X-Auth-Token": told["token"]}
        stores = {each.name: each for each in user.secret_stores()}
        assert user.get_global_default_secret_store().id == stores["crypto"].secret_store_id
        with pytest.raises(exceptions.NotFoundException):
            user.get_preferred_secret_store()
        made = [user.create_secret(payload="in a file", payload_content_type="text/plain")]
        answer = requests.post(f"{stores['pkcs11'].secret_store_ref}/preferred", headers=headers, timeout=60)
        assert answer.status_code == 204
        assert user.get_preferred_secret_store().id == stores["pkcs11"].secret_store_id
        made.append(user.create_secret(payload="in a module", payload_content_type="text/plain"))
        assert [user.get_secret(each.secret_id).payload for each in made] == ["in a file", "in a module"]
    status = run("manage", *place, "key", "status", "--store", "pkcs11", **token)
    assert [each["project_keys"] for each in json.loads(status.stdout)] == [1]
