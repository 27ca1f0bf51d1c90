"""One real PostgreSQL in a container, set up as RDS sets it up.

The data folder of an instance holds ``data`` (PostgreSQL's own), ``config`` (written again at each
start), ``log``, and ``archive`` with the write-ahead log since its first backup. While an instance
is restored to a point in time, ``restore`` has the archive of its source. The server's superuser
`rdsadmin` has no password: it comes in through the socket inside the container only, for which one
must be root of this machine.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_aws import certificates
from local_aws.errors import LocalAwsError
from local_aws.machine import networks
from local_aws.machine.podman import bind, csv_field
from local_aws.machine.postgresql import programs
from local_aws.services.rds import parameters, scripts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from local_aws.machine.podman import Podman

READY_SECONDS = 120.0
POLL_SECONDS = 0.05
LOOK_SECONDS = 2.0
SCRAM_ITERATIONS = 4096
_UNFINISHED = ".part"

_FIXED = """\
listen_addresses = '*'
port = {port}
ssl = on
ssl_cert_file = '/rds/config/server.crt'
ssl_key_file = '/run/postgresql/server.key'
hba_file = '/rds/config/pg_hba.conf'
ident_file = '/rds/config/pg_ident.conf'
unix_socket_directories = '/run/postgresql'
password_encryption = 'scram-sha-256'
logging_collector = off
log_destination = 'stderr'
archive_mode = on
archive_command = '{archive_command}'
"""

# A segment that is being copied has another name, so that nobody takes it for a whole one.
_ARCHIVE = f"cp %p /rds/archive/%f{_UNFINISHED} && mv /rds/archive/%f{_UNFINISHED} /rds/archive/%f"
_DISCARD = "/bin/true"

# A standby would have to have as many connections as the source; nobody connects to this one.
_RECOVERY = """\
restore_command = 'cp /rds/restore/%f %p'
recovery_target_time = '{until:%Y-%m-%d %H:%M:%S.%f%z}'
recovery_target_action = 'promote'
hot_standby = off
"""

# Recovery stops at the first commit after its target, so there is one after each restorable time.
_SWITCH = """\
BEGIN; SELECT pg_current_xact_id() \\g /dev/null
COMMIT;
SELECT pg_walfile_name(pg_switch_wal());
"""

_IDENT = "rds postgres rdsadmin\n"

# As on RDS: the master is not a superuser, but may do most of what one may.
_ROLES = """\
CREATE ROLE rds_superuser NOLOGIN;
CREATE ROLE rds_replication NOLOGIN;
CREATE ROLE rds_password NOLOGIN;
CREATE ROLE rds_iam NOLOGIN;
GRANT pg_monitor, pg_signal_backend, pg_checkpoint, pg_maintain, rds_replication, rds_password
  TO rds_superuser WITH ADMIN OPTION;
CREATE ROLE {user} LOGIN CREATEDB CREATEROLE PASSWORD {verifier} VALID UNTIL 'infinity';
GRANT rds_superuser TO {user};
ALTER DATABASE postgres OWNER TO {user};
"""


@dataclass(frozen=True)
class Seed:
    """The data that an instance begins with.

    Attributes
    ----------
    data
        A copy of a data folder.
    archive
        The write-ahead log since that copy; None for the copy alone.
    until
        Up to which time, with a time zone, the archive is applied; commits at that time are.
    """

    data: Path
    archive: Path | None = None
    until: datetime | None = None


@dataclass
class Postgres:
    """A server in its container.

    Attributes
    ----------
    name
        Of the container.
    folder
        Everything of this instance, on this machine's disk.
    address, port
        Where it listens, inside the VPC's network.
    major
        The major version of its programs and its data.
    is_archiving
        Whether the write-ahead log is kept; it counts after `configure`.
    """

    podman: Podman
    image: str
    name: str
    folder: Path
    network: str
    address: str
    port: int
    major: int
    is_archiving: bool = False
    _recovery: str = ""

    def create(
        self,
        authority: certificates.Authority,
        values: Mapping[str, str],
        seed: Seed | None,
    ) -> None:
        """Make the container and wait until the server answers.

        Parameters
        ----------
        values
            The server's parameters.
        seed
            The data to begin with; without it, the server begins empty.
        """
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o755)
        if seed is not None:
            self._plant(seed)
        config = self.folder / "config"
        config.mkdir(mode=0o755)
        (config / "pg_ident.conf").write_text(_IDENT)
        (config / "start").write_text(scripts.START)
        (config / "upgrade").write_text(scripts.UPGRADE)
        self.configure(values)
        self._run(authority)
        shutil.rmtree(self.archive_of_source, ignore_errors=not self.archive_of_source.exists())

    def _plant(self, seed: Seed) -> None:
        shutil.copytree(seed.data, self.folder / "data", symlinks=True)
        if seed.archive is None or seed.until is None:
            return
        # Segments never change, so links are enough.
        shutil.copytree(
            seed.archive,
            self.archive_of_source,
            copy_function=os.link,
            ignore=shutil.ignore_patterns(f"*{_UNFINISHED}"),
        )
        (self.folder / "data" / "recovery.signal").touch()
        self._recovery = _RECOVERY.format(until=seed.until)

    @property
    def archive(self) -> Path:
        """The folder of the write-ahead log that is kept."""
        return self.folder / "archive"

    @property
    def archive_of_source(self) -> Path:
        """The same of the instance that this one is restored from, for as long as that takes."""
        return self.folder / "restore"

    def take_over(self, authority: certificates.Authority, seconds: float) -> None:
        """Kill the server; after so many seconds start another one with its data and address."""
        self.podman.run("rm", "--force", "--time=0", self.name)
        time.sleep(seconds)
        self._run(authority)

    def move(self, authority: certificates.Authority, name: str, address: str) -> None:
        """Shut the server down; start it again with its data under another name and address."""
        self.stop()
        self.podman.run("rm", self.name)
        self.name, self.address = name, address
        self._run(authority)

    def _run(self, authority: certificates.Authority) -> None:
        config = self.folder / "config"
        leaf = authority.issue([self.address])
        (config / "server.crt").write_bytes(leaf.certificate)
        certificates.write_private(config / "server.key", leaf.key)
        # What an earlier server left would look like an answer.
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        self.podman.run(
            "run",
            "--detach",
            f"--name={self.name}",
            f"--label={self.podman.label}",
            *networks.place(self.network, self.address),
            "--shm-size=1g",
            "--stop-signal=SIGINT",
            # RDS, too, starts a server again that has crashed.
            "--restart=on-failure:5",
            "--log-driver=k8s-file",
            "--log-opt=" + csv_field(f"path={self.folder / 'log'}"),
            bind(self.folder, "/rds"),
            self.image,
            *("/bin/sh", "/rds/config/start", programs(self.major)),
        )
        self._wait()

    def set_up(self, user: str, password: str, database: str | None) -> None:
        """Create the master user and, if named, the first database, which it owns."""
        self.sql(_ROLES.format(user=identifier(user), verifier=f"'{scram_verifier(password)}'"))
        if database is not None:
            self.sql(f"CREATE DATABASE {identifier(database)} OWNER {identifier(user)};")

    def set_password(self, user: str, password: str) -> None:
        """Give the user another password."""
        self.sql(f"ALTER ROLE {identifier(user)} PASSWORD '{scram_verifier(password)}';")

    def configure(self, values: Mapping[str, str]) -> None:
        """Write the configuration; it counts after `reload` or `restart`."""
        tls_only = parameters.truth(values.get("rds.force_ssl", "1"))
        config = self.folder / "config"
        (config / "postgresql.conf").write_text(
            parameters.render(values)
            + _FIXED.format(
                port=self.port, archive_command=_ARCHIVE if self.is_archiving else _DISCARD
            )
            + self._recovery
        )
        (config / "pg_hba.conf").write_text(
            "local all,replication rdsadmin peer map=rds\n"
            "host all rdsadmin all reject\n"
            f"{'hostssl' if tls_only else 'host'} all all all scram-sha-256\n"
        )

    def reload(self) -> None:
        """Let the dynamic parameters count."""
        self.sql("SELECT pg_reload_conf();")

    def stop(self) -> None:
        """Shut the server down; the container stays."""
        # Until then PostgreSQL would complain about settings that only a start can change.
        self._recovery = ""
        self.podman.run("stop", "--time=30", self.name)

    def start(self) -> None:
        """Start it again and wait until it answers."""
        # What a killed server leaves would look like an answer.
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        self.podman.run("start", self.name)
        self._wait()

    def upgrade(self, authority: certificates.Authority, major: int) -> None:
        """Bring the data of a stopped server to a later major version, and start that.

        Raises
        ------
        LocalAwsError
            When pg_upgrade does not; the data are as before, and nothing runs.
        """
        result = self.podman.run(
            "run",
            "--rm",
            f"--name={self.name}-upgrade",
            f"--label={self.podman.label}",
            "--network=none",
            "--shm-size=1g",
            bind(self.folder, "/rds"),
            self.image,
            *("/bin/sh", "/rds/config/upgrade", programs(self.major), programs(major)),
            check=False,
        )
        if result.returncode:
            said = "\n".join((result.stdout + result.stderr).splitlines()[-20:])
            raise LocalAwsError(f"pg_upgrade of {self.name} failed:\n{said}")
        self.major = major
        self.podman.run("rm", self.name)
        self._run(authority)

    def back_up(self, target: Path, *, running: bool) -> None:
        """Copy the data, in a state from which a server can start, to `target`."""
        if not running:
            shutil.copytree(self.folder / "data", target, symlinks=True)
            return
        scratch = self.folder / "backup"
        made = ("install", "-d", "-o", "postgres", "-m", "0700", "/rds/backup")
        self.podman.run("exec", self.name, *made)
        try:
            self.podman.run(
                "exec",
                "--user=postgres",
                self.name,
                f"{programs(self.major)}/pg_basebackup",
                "--host=/run/postgresql",
                "--pgdata=/rds/backup",
                "--checkpoint=fast",
                "--wal-method=stream",
                "--no-sync",
                f"--port={self.port}",
                "--username=rdsadmin",
            )
            scratch.rename(target)
        finally:
            if scratch.exists():
                shutil.rmtree(scratch)

    def archive_now(self) -> None:
        """Archive the write-ahead log up to now, and wait until that is done.

        Raises
        ------
        LocalAwsError
            When PostgreSQL has not archived it in `READY_SECONDS`.
        """
        segment = self.archive / self.sql(_SWITCH).strip()
        deadline = time.monotonic() + READY_SECONDS
        while not segment.exists():
            if time.monotonic() > deadline:
                raise LocalAwsError(f"PostgreSQL of {self.name} does not archive {segment.name}.")
            time.sleep(POLL_SECONDS)

    def forget_archive(self) -> None:
        """Remove the write-ahead log that was kept."""
        for segment in self.archive.iterdir():
            segment.unlink()

    def remove(self) -> None:
        """Remove the container and every byte of the instance."""
        self.podman.run("rm", "--force", "--time=0", "--ignore", self.name)
        shutil.rmtree(self.folder, ignore_errors=not self.folder.exists())

    def sql(self, statements: str, database: str = "postgres") -> str:
        """Run statements as rdsadmin; return what they print."""
        return self.podman.run(
            "exec",
            "--interactive",
            "--user=postgres",
            self.name,
            f"{programs(self.major)}/psql",
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set=ON_ERROR_STOP=1",
            "--host=/run/postgresql",
            f"--port={self.port}",
            "--username=rdsadmin",
            f"--dbname={database}",
            input=statements,
        ).stdout

    def _wait(self) -> None:
        began = looked = time.monotonic()
        pid_file = self.folder / "data" / "postmaster.pid"
        while not _says_ready(pid_file):
            now = time.monotonic()
            dead = False
            if now > looked + LOOK_SECONDS:
                looked = now
                dead = self._has_ended()
            if dead or now > began + READY_SECONDS:
                raise LocalAwsError(
                    f"PostgreSQL of {self.name} does not answer.\n{self._end_of_log()}"
                )
            time.sleep(POLL_SECONDS)

    def _has_ended(self) -> bool:
        state = self.podman.run("container", "inspect", "--format={{.State.Status}}", self.name)
        return state.stdout.strip() in {"exited", "stopped"}

    def _end_of_log(self) -> str:
        log = self.folder / "log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-10:] if log.exists() else [])


def identifier(name: str) -> str:
    """Return `name` quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def scram_verifier(password: str) -> str:
    """Return what PostgreSQL stores of a password, so that no statement carries the password."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def _says_ready(pid_file: Path) -> bool:
    """Ask as pg_ctl does: the file's eighth line is the state."""
    try:
        lines = pid_file.read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[7].strip() == "ready"  # noqa: PLR2004 - see above
