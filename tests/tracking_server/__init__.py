"""MLflow's tracking server on loopback: as role mlflow runs it, and as MLflow comes.

The settings are written by the role's own templates; what is missing here is the unit's sandbox
and the proxy, which the Molecule scenarios test on a host.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import functools
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml
from ansible_collections.mlflow_ec2.aws.plugins.action.python_zipapp import write_zipapp

from tests.conftest import ROOT
from tests.tracking_server import schema
from tests.tracking_server.settings import write_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Cluster

ADMIN = "admin"
ADMIN_PASSWORD = "test-Admin-of-the-server"
DATABASE_USER = "mlflow_server"
DATABASE_PASSWORD = "test-Server-of-the-rows"
WEBHOOK_KEY = "a2V5IG9mIHRoZSB3ZWJob29rcy4uLi4uLi4uLi4uLi4="
GATEWAY_PASSPHRASE = "passphrase-of-the-gateway-0123456789"
VERSION = yaml.safe_load((ROOT / "roles/mlflow/defaults/main.yml").read_text())["mlflow_version"]
VERSIONS = sorted(path.stem for path in (ROOT / "requirements/server").glob("*.txt"))
# For parametrize: `make test` runs the default release, `make test-full` the others as well.
EACH_VERSION = [pytest.param(one, marks=[pytest.mark.slow] * (one != VERSION)) for one in VERSIONS]
# As role mlflow_database makes it: it changes rows, and no tables.
ROLE = f"""
DO $$ BEGIN
    IF to_regrole('{DATABASE_USER}') IS NULL THEN
        CREATE ROLE {DATABASE_USER} LOGIN PASSWORD '{DATABASE_PASSWORD}';
    END IF;
END $$;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {DATABASE_USER};
GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA public TO {DATABASE_USER};
ALTER DEFAULT PRIVILEGES IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {DATABASE_USER};
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, USAGE ON SEQUENCES TO {DATABASE_USER};
"""
# What the role adds to a stock installation.
ADDED = ("flask-wtf", "httptools", "uvloop")
PROGRAM = ROOT / "server"
SECONDS_TO_START = 120.0
# `make test-full` runs the tests once with MLflow's own code in all places but the required ones.
HAS_OPTIONAL_PATCHES = os.environ.get("OPTIONAL_PATCHES") != "off"
of_optional_patches = pytest.mark.skipif(
    not HAS_OPTIONAL_PATCHES, reason="what it tests is done by an optional patch"
)


@dataclass(frozen=True)
class Server:
    """A tracking server that answers.

    Attributes
    ----------
    url
        Where it listens.
    process
        The process that started the others.
    host
        The program that runs it, if it is the role's.
    """

    url: str
    process: subprocess.Popen[bytes]
    authorization: str | None = None
    host: Host | None = None

    def session(self, authorization: str | None = None) -> requests.Session:
        """Return a client that keeps its connection, by default in the administrator's name."""
        session = requests.Session()
        header = authorization or self.authorization
        if header:
            session.headers["Authorization"] = header
        return session

    def processes(self) -> list[int]:
        """Return the ids of the server's processes, its own first."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    children.setdefault(parent, []).append(int(entry.name))
        found = [self.process.pid]
        for pid in found:
            found += children.get(pid, [])
        return found

    def pss(self) -> int:
        """Return the memory of all its processes in bytes; what they share counts once."""
        total = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total * 1024


def basic(username: str, password: str) -> str:
    """Return the header that logs a user in."""
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"


def environment(*, stock: bool = False, version: str = VERSION) -> Path:
    """Return the Python of an environment with the server's lock; the first time takes a minute.

    Parameters
    ----------
    stock
        Without what the role adds to MLflow.
    version
        MLflow's version.
    """
    lock = ROOT / f"requirements/server/{version}.txt"
    return locked_environment(lock, without=ADDED if stock else ())


def locked_environment(lock: Path, without: tuple[str, ...] = ()) -> Path:
    """Return the Python of an environment with a lock, but without some of its packages."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    suffix = "-stock" if without else ""
    directory = ROOT / ".cache" / f"{lock.parent.name.rstrip('s')}-{digest}{suffix}"
    directory.parent.mkdir(exist_ok=True)
    # Suites that run side by side want the same ones.
    with directory.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not (directory / "complete").exists():
            _make_environment(directory, lock, without)
    return directory / "bin/python"


def _make_environment(directory: Path, lock: Path, without: tuple[str, ...]) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    uv = Path(sys.executable).parent / "uv"
    python = f"--python={directory / 'bin/python'}"
    _run(uv, "venv", "--quiet", "--no-project", f"--python={sys.executable}", directory)
    _run(uv, "pip", "sync", "--quiet", "--require-hashes", python, lock)
    if without:
        _run(uv, "pip", "uninstall", "--quiet", python, *without)
    (directory / "complete").touch()


@dataclass(frozen=True)
class Host:
    """The program that runs MLflow, and the files that it reads.

    Attributes
    ----------
    command
        The program, without its subcommand.
    settings
        Its environment.
    owner, password
        Who owns the database's tables.
    """

    command: list[str]
    settings: dict[str, str]
    owner: str
    password: str

    def plan(self) -> dict[str, Any]:
        """Return what the database lacks."""
        plan: dict[str, Any] = json.loads(
            _run(*self.command, "plan", f"--admin={ADMIN}", env=self.settings)
        )
        return plan

    def run(self, *arguments: str, text: str = "") -> str:
        """Run one of the program's commands with a text as input; return what it printed."""
        return _run(*self.command, *arguments, env=self.settings, text=text)

    def apply(self, *options: str) -> dict[str, Any]:
        """Give the database what it lacks; return what that was."""
        said = _run(
            *(*self.command, "apply", f"--admin={ADMIN}", f"--owner={self.owner}", *options),
            env=self.settings,
            text=self.password,
        )
        plan: dict[str, Any] = json.loads(said)
        return plan


def installed(
    cluster: Cluster,
    database: str,
    directory: Path,
    environ: dict[str, str] | None = None,
    version: str = VERSION,
    **variables: Any,
) -> Host:
    """Write what role mlflow writes; the parameters are those of `deployed_server`."""
    settings = _settings(cluster, database, directory, free_port(), variables)
    program = directory / "host" / "mlflow_host.pyz"
    program.parent.mkdir()
    write_zipapp(PROGRAM, program)
    command = [str(environment(version=version)), str(program)]
    program.with_name("schema.json").write_text(_heads(version))
    owner = cluster.connect(database).get_dsn_parameters()["user"]
    return Host(command, settings | (environ or {}), owner, cluster.password)


@functools.cache
def _heads(version: str) -> str:
    """Return the schema revisions of a release, which the program takes seconds to find."""
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory, "mlflow_host.pyz")
        write_zipapp(PROGRAM, program)
        _run(environment(version=version), program, "heads")
        return program.with_name("schema.json").read_text()


@contextmanager
def deployed_server(
    cluster: Cluster,
    database: str,
    directory: Path,
    environ: dict[str, str] | None = None,
    version: str = VERSION,
    **variables: Any,
) -> Iterator[Server]:
    """Run the server as role mlflow does, on a database that may be empty; stop it.

    Parameters
    ----------
    cluster, database
        Where MLflow keeps its data.
    directory
        An empty folder for settings, artifacts and the log.
    environ
        Further variables of its environment, e.g. the address of AWS.
    version
        The version of MLflow, one that has a lock.
    variables
        Variables of the role.
    """
    host = installed(cluster, database, directory, environ, version, **variables)
    is_new = schema.is_empty(cluster, database)
    is_loaded = is_new and schema.load(cluster, database, version)
    host.apply()
    if is_new and not is_loaded:
        schema.save(cluster, database, version)
    workers = str(variables.get("mlflow_workers", 2))
    with _running(
        [*host.command, "serve", "--workers", workers], host.settings, directory / "log"
    ) as process:
        url = f"http://127.0.0.1:{host.settings['MLFLOW_PORT']}"
        server = Server(url, process, basic(ADMIN, ADMIN_PASSWORD), host)
        wait(server)
        yield server


@contextmanager
def stock_server(  # noqa: PLR0913  as those of `deployed_server`
    cluster: Cluster,
    database: str,
    directory: Path,
    environ: dict[str, str] | None = None,
    *,
    port: int = 0,
    artifacts: str = "",
) -> Iterator[Server]:
    """Run `mlflow server` with nothing but its database and its artifacts named; stop it."""
    port = port or free_port()
    python = environment(stock=True)
    command = [
        *(str(python.parent / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", cluster.url(database)),
        *("--artifacts-destination", artifacts or str(directory / "stock-artifacts")),
        # Workers that import MLflow for more than 5 s would be killed, on a busy machine all.
        *("--uvicorn-opts", f"--timeout-worker-healthcheck {SECONDS_TO_START:.0f}"),
    ]
    settings = os.environ | {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        **(environ or {}),
    }
    with _running(command, settings, directory / "stock-log") as process:
        server = Server(f"http://127.0.0.1:{port}", process)
        wait(server)
        yield server


@contextmanager
def unpatched_server(
    cluster: Cluster,
    database: str,
    directory: Path,
    environ: dict[str, str] | None = None,
    version: str = VERSION,
    **variables: Any,
) -> Iterator[Server]:
    """Run `mlflow server` with the role's packages and settings, and none of its programs; stop it.

    The parameters are those of `deployed_server`.
    """
    port = free_port()
    settings = _settings(cluster, database, directory, port, variables)
    python = environment(version=version)
    settings |= {
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "session-key-of-the-tests-0123456789",
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        **(environ or {}),
    }
    # It makes its own tables; the role's database user is not allowed to.
    (directory / "basic_auth.ini").write_text(
        (directory / "basic_auth.ini")
        .read_text()
        .replace(settings["MLFLOW_BACKEND_STORE_URI"].replace("%", "%%"), cluster.url(database))
        # Older versions read it from here only.
        .replace("admin_password =\n", f"admin_password = {ADMIN_PASSWORD}\n")
    )
    settings["MLFLOW_BACKEND_STORE_URI"] = cluster.url(database)
    command = [
        *(str(python.parent / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--app-name", "basic-auth", "--workers", "1"),
    ]
    with _running(command, settings, directory / "log") as process:
        server = Server(f"http://127.0.0.1:{port}", process, basic(ADMIN, ADMIN_PASSWORD))
        wait(server)
        yield server


def wait(server: Server, seconds: float = SECONDS_TO_START) -> None:
    """Wait until it answers a question that needs the database."""
    deadline = time.monotonic() + seconds
    session = server.session()
    while True:
        with contextlib.suppress(requests.RequestException):
            answer = session.post(
                f"{server.url}/api/2.0/mlflow/experiments/search",
                json={"max_results": 1},
                timeout=10,
            )
            if answer.ok:
                return
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise TimeoutError(f"The tracking server gives no answer: {server.process.args!r}")
        time.sleep(0.1)


def free_port() -> int:
    """Return a port of loopback on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def _settings(
    cluster: Cluster, database: str, directory: Path, port: int, variables: dict[str, Any]
) -> dict[str, str]:
    """Write the role's files; return the server's environment."""
    cluster.execute(ROLE, database)
    wanted = {
        "mlflow_config_dir": str(directory),
        "mlflow_log_dir": str(directory),
        "mlflow_port": port,
        "mlflow_database_host": "127.0.0.1",
        "mlflow_database_port": cluster.port,
        "mlflow_database_name": database,
        "mlflow_database_server_user": DATABASE_USER,
        "mlflow_database_server_password": DATABASE_PASSWORD,
        "mlflow_database_ca_path": str(cluster.ca_file),
        "mlflow_artifacts_destination": str(directory / "artifacts"),
        "mlflow_admin_username": ADMIN,
        "mlflow_admin_password": ADMIN_PASSWORD,
        "mlflow_secret_key": "session-key-of-the-tests-0123456789",
        "mlflow_webhook_keys": [WEBHOOK_KEY],
        "mlflow_gateway_passphrases": [GATEWAY_PASSPHRASE],
        "mlflow_public_urls": [f"http://127.0.0.1:{port}"],
        **({} if HAS_OPTIONAL_PATCHES else {"mlflow_patches": []}),
        **variables,
    }
    written = write_settings(directory, wanted)
    return {"PATH": os.environ["PATH"], "HOME": str(directory), **written}


def _run(*command: str | Path, env: dict[str, str] | None = None, text: str = "") -> str:
    """Run a program; return what it printed, which is part of the error."""
    done = subprocess.run(
        [str(word) for word in command],
        check=False,
        cwd=ROOT,
        env=env,
        input=text,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout


@contextmanager
def _running(
    command: list[str], environ: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program with children of its own; end them all."""
    with (
        log.open("wb") as file,
        subprocess.Popen(
            command, stdout=file, stderr=file, env=environ, start_new_session=True
        ) as process,
    ):
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
