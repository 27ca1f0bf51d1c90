"""A PostgreSQL with TLS on loopback, for what needs a real database and no deployment."""

from __future__ import annotations

import datetime as dt
import getpass
import ipaddress
import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "Owner-of-the-tables"
READER_PASSWORD = "Reader'of\\metrics"


@dataclass
class Cluster:
    """A PostgreSQL of the tests' own, on loopback."""

    directory: Path
    binaries: Path
    port: int
    password: str = PASSWORD

    @property
    def ca_file(self) -> Path:
        """What signs the server."""
        return self.directory / "ca.pem"

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs; they refuse to be root."""
        user = "postgres" if os.geteuid() == 0 else getpass.getuser()
        lead = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        subprocess.run(
            [*(lead if os.geteuid() == 0 else []), self.binaries / program, *arguments],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.run("pg_ctl", "-D", "data", "-l", "log", "--wait", "start")

    def stop(self) -> None:
        """Stop it, as a shutdown of RDS does: connections are ended."""
        self.run("pg_ctl", "-D", "data", "--mode=fast", "--wait", "stop")

    def url(self, database: str) -> str:
        """Return the address for MLflow's own store."""
        return (
            f"postgresql+psycopg2://mlflow:{PASSWORD}@127.0.0.1:{self.port}/{database}"
            f"?sslmode=verify-full&sslrootcert={self.ca_file}"
        )

    def connect(self, database: str = "postgres") -> Any:
        """Open a connection as the superuser, in which each statement counts at once."""
        connection = psycopg2.connect(
            host="127.0.0.1",
            port=self.port,
            user="mlflow",
            password=PASSWORD,
            dbname=database,
            sslmode="verify-full",
            sslrootcert=str(self.ca_file),
        )
        connection.autocommit = True
        return connection

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the superuser; return the rows, if it gives any."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def settings(self, database: str, **others: str) -> dict[str, str]:
        """Return the environment of a function that reads this database."""
        return {
            "DATABASE_HOST": "127.0.0.1",
            "DATABASE_PORT": str(self.port),
            "DATABASE_NAME": database,
            "DATABASE_USER": "mlflow_metrics",
            "DATABASE_PASSWORD": READER_PASSWORD,
            "DATABASE_SSLROOTCERT": str(self.ca_file),
            **others,
        }


@contextmanager
def running_cluster(**settings: str | int) -> Iterator[Cluster]:
    """Start a PostgreSQL that takes encrypted connections by password alone; stop and remove it.

    Parameters
    ----------
    settings
        Further lines of postgresql.conf.
    """
    # pytest's own directories are closed to other users, and the server may have to be one.
    with tempfile.TemporaryDirectory(prefix="postgresql-") as name:
        directory = Path(name)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        cluster = Cluster(directory, _binaries(), port)
        _certificates(directory)
        (directory / "password").write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in [directory, *directory.iterdir()]:
                shutil.chown(path, "postgres", "postgres")
        cluster.run(
            "initdb",
            *("-D", "data", "--username=mlflow", "--pwfile=password", "--encoding=UTF8"),
            *("--auth=scram-sha-256", "--locale=C.UTF-8", "--no-sync"),
        )
        lines = {
            **settings,
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "ssl": "on",
            "ssl_cert_file": directory / "server.crt",
            "ssl_key_file": directory / "server.key",
            "fsync": "off",
        }
        with (directory / "data/postgresql.conf").open("a") as file:
            file.writelines(f"{key} = '{value}'\n" for key, value in lines.items())
        (directory / "data/pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        cluster.start()
        try:
            password = READER_PASSWORD.replace("'", "''")
            cluster.execute(f"CREATE ROLE mlflow_metrics LOGIN PASSWORD '{password}'")
            yield cluster
        finally:
            cluster.stop()


def open_store(url: str) -> Any:
    """Open MLflow's own store, which makes its tables where they are missing."""
    untyped: Any = SqlAlchemyStore
    return untyped(url, "mlflow-artifacts:/")


def _binaries() -> Path:
    """Find PostgreSQL's programs, where Debian keeps them or in PATH."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3])
    )
    if found:
        return found[-1].parent
    elsewhere = shutil.which("pg_ctl")
    if elsewhere is None:
        raise FileNotFoundError("PostgreSQL is missing: make test installs it (package postgresql)")
    return Path(elsewhere).resolve().parent


def _certificates(directory: Path) -> None:
    """Make an authority and, signed by it, the server's certificate for 127.0.0.1."""
    now = dt.datetime.now(dt.UTC)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    server_key = ec.generate_private_key(ec.SECP256R1())
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of the tests")])
    server = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "PostgreSQL of the tests")])

    def certificate(subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        signed = builder.sign(authority_key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    (directory / "ca.pem").write_bytes(certificate(authority, authority_key, ca=True))
    (directory / "server.crt").write_bytes(certificate(server, server_key, ca=False))
    key = directory / "server.key"
    key.write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    key.chmod(0o600)
