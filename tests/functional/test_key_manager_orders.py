"""Orders through the key manager's contract, and the tasks that fulfil them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from protectd.common.ids import new_id
from protectd.domain.key_manager import generation
from protectd.domain.key_manager.generation import Wish
from tests.fakes.service import Client, Service, running

AES = {"algorithm": "aes", "bit_length": 256, "mode": "cbc"}


def order(client: Client, type: str = "key", **meta: Any) -> dict[str, Any]:
    """An order as it stands after it was made."""
    answer = client.call("POST", "/v1/orders/", {"type": type, "meta": meta or AES})
    assert answer.status_int == 202, answer
    assert answer.headers["Location"] == answer.json["order_ref"]
    return shown(client, answer.json["order_ref"])


def shown(client: Client, ref: str) -> dict[str, Any]:
    return dict(client.get(path_of(ref)))


def path_of(ref: str) -> str:
    return "/v1" + ref.partition("/v1")[2]


def payload(client: Client, ref: str) -> bytes:
    return bytes(client.call("GET", f"{path_of(ref)}/payload", Accept="application/octet-stream").body)


@pytest.fixture
def user(direct: Service) -> Client:
    return direct.client()


@pytest.mark.parametrize(
    ("algorithm", "bits", "mode"),
    [
        ("aes", 128, "cbc"),
        ("AES", 256, None),
        ("aes", 512, "xts"),
        ("3des", 192, ""),
        ("desede", 128, "cbc"),
        ("hmacsha256", 256, None),
    ],
)
def test_a_key_is_made(user: Client, algorithm: str, bits: int, mode: str | None) -> None:
    found = order(user, name="k", algorithm=algorithm, bit_length=bits, mode=mode)
    assert (found["status"], found["type"]) == ("ACTIVE", "key")
    assert set(found["meta"]) == {"name", "algorithm", "bit_length", "mode", "expiration"}
    secret = user.get(path_of(found["secret_ref"]))
    assert (secret["name"], secret["secret_type"], secret["bit_length"]) == ("k", "symmetric", bits)
    assert secret["content_types"] == {"default": "application/octet-stream"}
    assert len(payload(user, found["secret_ref"])) == bits // 8
    assert payload(user, found["secret_ref"]) != payload(user, order(user)["secret_ref"])


@pytest.mark.parametrize(("algorithm", "bits", "type"), [("rsa", 2048, "rsa"), ("ec", 384, "generic")])
@pytest.mark.parametrize("named", ["passphrase", "pass_phrase", None])
def test_a_pair_of_keys_is_made(
    user: Client, algorithm: str, bits: int, type: str, named: str | None
) -> None:
    guard = {} if named is None else {named: "correct horse"}
    found = order(user, "asymmetric", algorithm=algorithm, bit_length=bits, name="pair", **guard)
    assert found["status"] == "ACTIVE", found
    assert "correct horse" not in str(found)
    container = user.get(path_of(found["container_ref"]))
    assert (container["type"], container["name"]) == (type, "pair")
    refs = {each["name"]: each["secret_ref"] for each in container["secret_refs"]}
    assert set(refs) == {"private_key", "public_key"} | ({"private_key_passphrase"} if named else set())
    password = b"correct horse" if named else None
    private: Any = load_pem_private_key(payload(user, refs["private_key"]), password)
    public: Any = load_pem_public_key(payload(user, refs["public_key"]))
    assert private.public_key() == public and private.key_size == bits
    if named:
        assert payload(user, refs["private_key_passphrase"]) == b"correct horse"
        with pytest.raises(ValueError, match="(?i)decrypt|key data"):
            load_pem_private_key(payload(user, refs["private_key"]), b"wrong")


@pytest.mark.parametrize(
    ("type", "meta", "field"),
    [
        ("key", {"bit_length": 256}, "meta.algorithm"),
        ("key", {"algorithm": "aes"}, "meta.bit_length"),
        ("key", AES | {"bit_length": 136}, "meta.bit_length"),
        ("key", AES | {"bit_length": 0}, "meta.bit_length"),
        ("key", AES | {"algorithm": "rot13"}, "meta.algorithm"),
        ("key", AES | {"algorithm": "rsa", "bit_length": 2048}, "meta.algorithm"),
        ("key", AES | {"payload": "x"}, "meta.payload"),
        ("key", AES | {"passphrase": "x"}, "meta.passphrase"),
        ("key", AES | {"expiration": "2001-01-01T00:00:00"}, "meta.expiration"),
        ("key", AES | {"payload_content_type": "text/html"}, "meta.payload_content_type"),
        ("key", AES | {"name": "x" * 256}, "meta.name"),
        ("asymmetric", AES, "meta.algorithm"),
        ("asymmetric", {"algorithm": "rsa", "bit_length": 512}, "meta.bit_length"),
        ("asymmetric", {"algorithm": "ec", "bit_length": 224}, "meta.bit_length"),
        ("asymmetric", {"algorithm": "rsa", "bit_length": 2048, "passphrase": ""}, "meta.passphrase"),
        ("certificate", AES, "type"),
        ("key", [], "meta"),
    ],
)
def test_what_could_not_be_made_is_not_accepted(user: Client, type: str, meta: Any, field: str) -> None:
    assert user.refused("POST", "/v1/orders", 400, {"type": type, "meta": meta})["field"] == field
    assert user.get("/v1/orders")["total"] == 0


def test_an_order_waits_for_a_worker(service: Service) -> None:
    client = service.client()
    waiting = order(client, **AES)
    assert waiting["status"] == "PENDING"
    assert {"secret_ref", "container_ref", "error_reason"}.isdisjoint(waiting)
    assert client.get("/v1/secrets")["total"] == 0


def test_orders_are_listed_and_deleted_and_what_was_made_stays(user: Client, direct: Service) -> None:
    made = [order(user, **AES, name=f"order {number}") for number in range(12)]
    page = user.get("/v1/orders?limit=5&offset=5")
    assert [each["meta"]["name"] for each in page["orders"]] == [f"order {number}" for number in range(5, 10)]
    assert user.get("/v1/orders?meta=order+11")["total"] == 1
    path = path_of(made[0]["order_ref"])
    assert user.call("DELETE", path).status_int == 204
    user.refused("GET", path, 404)
    assert len(payload(user, made[0]["secret_ref"])) == 32
    stranger = direct.client()
    for verb in ("GET", "DELETE"):
        stranger.refused(verb, path_of(made[1]["order_ref"]), 404)
    user.refused("GET", f"/v1/orders/{new_id()}", 404)
    user.refused("PUT", "/v1/orders", 405, {})


def test_a_failed_order_says_why_and_leaves_nothing(
    direct: Service, user: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(wish: Wish) -> list[generation.Made]:
        raise RuntimeError("the generator has failed")

    monkeypatch.setattr("protectd.tasks.order.make", broken)
    found = order(user, "asymmetric", algorithm="rsa", bit_length=2048, passphrase="correct horse")
    assert (found["status"], found["error_status_code"]) == ("ERROR", "500")
    assert found["error_reason"] and "container_ref" not in found
    assert user.get("/v1/secrets")["total"] == user.get("/v1/containers")["total"] == 0
    assert own_secrets(direct, "passphrase") == []


def own_secrets(service: Service, secret_type: str) -> list[str]:
    with service.parts.database.read() as uow:
        own = service.parts.conf.secrets.service_project_id
        listed = uow.session.scalars(uow.secrets.listed(own, {"secret_type": secret_type}))
        return [each.id for each in listed if each.cipher_text]


def test_a_deleted_order_ends_without_a_key(service: Service) -> None:
    client = service.client()
    waiting = order(client, "asymmetric", algorithm="ec", bit_length=256, passphrase="x")
    assert len(own_secrets(service, "passphrase")) == 1
    assert client.call("DELETE", path_of(waiting["order_ref"])).status_int == 204
    assert own_secrets(service, "passphrase") == []


def test_a_passphrase_is_nowhere_in_the_clear(tmp_path: Path) -> None:
    marker = f"marker-{os.urandom(16).hex()}"
    with running(tmp_path) as service:
        order(service.client(), "asymmetric", algorithm="ec", bit_length=256, passphrase=marker)
        files = [file for file in tmp_path.rglob("*") if file.is_file()]
        assert [file for file in files if marker.encode() in file.read_bytes()] == []


@pytest.mark.parametrize("bits", generation.RSA_BITS)
def test_rsa_keys_have_their_size(bits: int) -> None:
    private, _ = generation.make(Wish("asymmetric", "RSA", bits))
    key: Any = load_pem_private_key(private.plain, None)
    assert isinstance(key, rsa.RSAPrivateKey) and key.key_size == bits


@pytest.mark.parametrize("bits", generation.CURVES)
def test_ec_keys_are_on_their_curve(bits: int) -> None:
    private, _ = generation.make(Wish("asymmetric", "EC", bits))
    key: Any = load_pem_private_key(private.plain, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size == bits


def test_what_is_made_is_not_shown_by_accident() -> None:
    wish = Wish("asymmetric", "ec", 256, passphrase="correct horse")
    assert "correct" not in repr(wish) + repr(generation.make(wish))
