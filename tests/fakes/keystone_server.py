"""A real Keystone on loopback, with users, projects and tokens for tests.

It lives in a virtual environment of its own, since it needs other versions of what protectd needs:
`$PROTECTD_TEST_KEYSTONE`, which tox makes. Without one the tests are skipped, except in CI.
"""

from __future__ import annotations

import getpass
import grp
import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keystoneauth1 import session
from keystoneauth1.identity import v3

from tests.fakes.programs import free_ports, listens, running
from tests.fakes.servers import missing

PLACE = Path(__file__).parents[2] / ".tox/keystone"
REGION = "here"
PASSWORD = "correct-horse-battery"
DOMAIN = "default"

CONFIG = """
[DEFAULT]
log_file = {directory}/keystone.log
debug = false
[database]
connection = sqlite:///{directory}/keystone.db
[fernet_tokens]
key_repository = {directory}/keys
[fernet_receipts]
key_repository = {directory}/keys
[credential]
key_repository = {directory}/keys
[identity]
password_hash_rounds = 4
[cache]
enabled = true
backend = oslo_cache.dict
[token]
expiration = {expiration_s}
"""

SERVE = """
import os
import sys
from werkzeug.serving import run_simple
port = int(sys.argv.pop())
from keystone.wsgi.api import application
run_simple("127.0.0.1", port, application, threaded=True)
"""

Scope = dict[str, Any]


def need_keystone() -> Path:
    """Directory of the programs of Keystone's virtual environment."""
    found = Path(os.environ.get("PROTECTD_TEST_KEYSTONE") or PLACE) / "bin"
    if not (found / "keystone-manage").exists():
        missing(f"there is no Keystone in {found.parent}: `tox run -e keystone` installs it")
    return found


@dataclass(frozen=True)
class Person:
    """Someone who signs in with `PASSWORD`."""

    id: str
    name: str

    def sign_in(self, url: str, **scope: Any) -> v3.Password:
        """:param scope: such as `project_id`, `domain_id` or `system_scope`; nothing: unscoped."""
        return v3.Password(url, user_id=self.id, password=PASSWORD, unscoped=not scope, **scope)


@dataclass
class Keystone:
    """:ivar url: for signing in with version 3."""

    url: str
    directory: Path
    programs: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)
    roles: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        admin = v3.Password(
            self.url, username="admin", password=PASSWORD, user_domain_id=DOMAIN, system_scope="all"
        )
        self._admin = session.Session(auth=admin)

    def ask(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """As an administrator of the system. What was said."""
        answer = self._admin.request(self.url + path, method, json=body or None)
        return dict(answer.json()) if answer.content else {}

    def project(self) -> str:
        """Id of a new one."""
        made = self.ask("POST", "/projects", project={"name": self._name("project"), "domain_id": DOMAIN})
        return str(made["project"]["id"])

    def person(self, project_id: str = "", *roles: str) -> Person:
        """Someone new, with these roles in a project."""
        name = self._name("person")
        user = {"name": name, "password": PASSWORD, "domain_id": DOMAIN}
        person = Person(str(self.ask("POST", "/users", user=user)["user"]["id"]), name)
        for role in roles:
            self.grant(person, role, project_id)
        return person

    def grant(self, person: Person, role: str, project_id: str) -> None:
        self.ask("PUT", f"/projects/{project_id}/users/{person.id}/roles/{self.role(role)}")

    def take(self, person: Person, role: str, project_id: str) -> None:
        self.ask("DELETE", f"/projects/{project_id}/users/{person.id}/roles/{self.role(role)}")

    def grant_on_system(self, person: Person, role: str) -> None:
        self.ask("PUT", f"/system/users/{person.id}/roles/{self.role(role)}")

    def grant_on_domain(self, person: Person, role: str) -> None:
        self.ask("PUT", f"/domains/{DOMAIN}/users/{person.id}/roles/{self.role(role)}")

    def role(self, name: str) -> str:
        """Id of a role, which is made if there is none."""
        if name not in self.roles:
            found = self.ask("GET", f"/roles?name={name}")["roles"]
            made = found or [self.ask("POST", "/roles", role={"name": name})["role"]]
            self.roles[name] = str(made[0]["id"])
        return self.roles[name]

    def token(self, person: Person, url: str = "", **scope: Any) -> str:
        """:param url: of another process that serves the same Keystone."""
        auth = person.sign_in(url or self.url, **scope)
        return str(auth.get_token(session.Session()))

    def credential_token(self, person: Person, project_id: str, **fields: Any) -> str:
        """Of a new application credential of theirs."""
        own = session.Session(auth=person.sign_in(self.url, project_id=project_id))
        wanted = {"application_credential": {"name": self._name("credential"), **fields}}
        answer = own.post(f"{self.url}/users/{person.id}/application_credentials", json=wanted)
        made = answer.json()["application_credential"]
        auth = v3.ApplicationCredential(
            self.url, application_credential_id=made["id"], application_credential_secret=made["secret"]
        )
        return str(auth.get_token(session.Session()))

    def identity_id(self) -> str:
        """Of Keystone itself in the catalog."""
        return str(self.ask("GET", "/services?type=identity")["services"][0]["id"])

    def revoke(self, token: str) -> None:
        self._admin.delete(self.url + "/auth/tokens", headers={"X-Subject-Token": token})

    @contextmanager
    def offering(self, service_type: str, url: str, region: str) -> Iterator[None]:
        """Have a service in the catalog: there are clients that ask for a type only, in whatever region."""
        service = {"type": service_type, "name": self._name(service_type)}
        service_id = self.ask("POST", "/services", service=service)["service"]["id"]
        self.endpoint(service_id, url, region)
        try:
            yield
        finally:
            self.ask("DELETE", f"/services/{service_id}")

    def region(self) -> str:
        """Id of a new one."""
        made = self.ask("POST", "/regions", region={"id": self._name("region")})
        return str(made["region"]["id"])

    def endpoint(self, service_id: str, url: str, region: str) -> None:
        for interface in ("public", "internal"):
            endpoint = {"service_id": service_id, "interface": interface, "url": url, "region_id": region}
            self.ask("POST", "/endpoints", endpoint=endpoint)

    def serving_too(self, port: int, expiration_s: int = 3600) -> Any:
        """A context in which a further process serves the same Keystone on another port."""
        return _serving(self.programs, self.directory, port, expiration_s)

    def options(self, person: Person, **changed: str) -> str:
        """What a configuration of protectd says whose user is this person."""
        said = {
            "auth_type": "v3password",
            "auth_url": self.url,
            "username": person.name,
            "password": PASSWORD,
            "user_domain_id": DOMAIN,
            "system_scope": "all",
            "region_name": REGION,
            "www_authenticate_uri": self.url,
            **changed,
        }
        lines = "\n".join(f"{name} = {value}" for name, value in said.items() if value)
        return f"[keystone_authtoken]\n{lines}\n"

    def _name(self, kind: str) -> str:
        return f"{kind}-{next(self.numbers)}"


@contextmanager
def own_keystone(directory: Path) -> Iterator[Keystone]:
    """A fresh one, with the administrator that it needs and nobody else."""
    programs = need_keystone()
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/v3"
    (directory / "keys").mkdir()
    config = _config(directory, 3600)
    group = grp.getgrgid(os.getgid()).gr_name
    addresses = [f"--bootstrap-{kind}-url={url}" for kind in ("public", "internal")]
    for arguments in (
        ["db_sync"],
        ["fernet_setup", "--keystone-user", getpass.getuser(), "--keystone-group", group],
        ["bootstrap", "--bootstrap-password", PASSWORD, f"--bootstrap-region-id={REGION}", *addresses],
    ):
        command = [str(programs / "keystone-manage"), f"--config-file={config}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    with _serving(programs, directory, port, 3600):
        yield Keystone(url, directory, programs)


def _config(directory: Path, expiration_s: int) -> Path:
    file = directory / f"keystone-{expiration_s}.conf"
    file.write_text(CONFIG.format(directory=directory, expiration_s=expiration_s))
    return file


@contextmanager
def _serving(programs: Path, directory: Path, port: int, expiration_s: int) -> Iterator[None]:
    command = [str(programs / "python"), "-W", "ignore", "-c", SERVE, str(port)]
    environment = {
        "OS_KEYSTONE_CONFIG_DIR": str(directory),
        "OS_KEYSTONE_CONFIG_FILES": str(_config(directory, expiration_s)),
        "PYTHONPATH": "",
    }
    with running(command, directory / f"serving-{port}.log", listens(port), environment):
        yield
