"""Local AWS as a service of this machine: start it, ask after it, stop it, leave nothing behind."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_aws import certificates, profile
from local_aws.errors import LocalAwsError
from local_aws.machine import images, ports
from local_aws.machine.podman import Podman, PodmanError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from local_aws.settings import Settings

START_SECONDS = 60.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.05
LOG_LINES = 15
# Kept by `stop`: with the same CA, exported environments and open shells stay good.
KEPT = {"ca.pem", "rds-ca.pem", "keys", "log", "lock", "containers.conf"}


@dataclass(frozen=True)
class Running:
    """The server process of a data folder."""

    pid: int
    port: int


def start(settings: Settings) -> bool:
    """Start the server and wait until it answers.

    Returns
    -------
    bool
        False when it was running already.
    """
    with _lock(settings):
        if found := running(settings):
            if found.port != settings.port:
                raise LocalAwsError(
                    f"Local AWS of {settings.data_dir} already runs, on port {found.port} and not "
                    f"{settings.port}: stop it first, or set LOCAL_AWS_PORT={found.port}."
                )
            _wait_until_healthy(settings, None)
            return False
        check_port(settings)
        _clean(settings)
        build_images(settings)
        certificates.endpoint_authority(settings).ensure()
        profile.write(settings)
        process = _spawn(settings)
        try:
            _wait_until_healthy(settings, process)
        except BaseException:
            # Also Ctrl-C: a server that nobody waited for must not stay.
            process.terminate()
            process.wait(STOP_SECONDS)
            _clean(settings)
            raise
        finally:
            _give_back(settings)
        return True


def stop(settings: Settings) -> bool:
    """Stop the server and remove everything that it made, a crashed one's leftovers included.

    Returns
    -------
    bool
        False when it was not running.
    """
    if not settings.data_dir.is_dir():
        return False
    with _lock(settings):
        found = running(settings)
        if found:
            _end(settings, found.pid)
        _clean(settings)
        _give_back(settings)
    return found is not None


def run(settings: Settings) -> None:
    """Be the server, in the foreground, until SIGTERM or SIGINT."""
    from local_aws import application, server  # noqa: PLC0415 - they import moto: seconds

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    asked_to_end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked_to_end.set())
    with _pid_file(settings):
        # conmon drops files into the working directory.
        os.chdir(settings.data_dir)
        application.prepare_environment(settings)
        app = application.Application(settings)
        https = server.create(settings, app)
        https.prepare()
        threading.Thread(target=https.serve, daemon=True).start()
        asked_to_end.wait()
        app.close()
        settings.pid_file.unlink(missing_ok=True)
        sys.stdout.flush()
        sys.stderr.flush()
        # Without waiting for requests in flight: an invocation may take minutes.
        os._exit(0)


def running(settings: Settings) -> Running | None:
    """Return the server process of this data folder, if one lives."""
    try:
        with settings.pid_file.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _read_pid(file.read())
    except FileNotFoundError:
        pass
    return None


def health(settings: Settings) -> dict[str, Any] | None:
    """Return what the server says of itself; None when it does not answer."""
    if not settings.ca_file.is_file():
        return None
    context = ssl.create_default_context(cafile=settings.ca_file)
    try:
        with urllib.request.urlopen(  # noqa: S310 - the URL is our own endpoint
            f"{settings.endpoint}/_local/health", timeout=5, context=context
        ) as answer:
            document: dict[str, Any] = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return None
    return document if document.get("data_dir") == str(settings.data_dir) else None


def check_port(settings: Settings) -> None:
    """Raise LocalAwsError when the port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", settings.port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise LocalAwsError(
                f"Port {settings.port} of 127.0.0.1 is taken: set LOCAL_AWS_PORT to a free one, "
                "for example LOCAL_AWS_PORT=5577."
            ) from error


def build_images(settings: Settings, releases: Iterable[int] = ()) -> list[str]:
    """Build the images of hosts and databases where they are missing; return their names.

    Hosts have the default release of Debian, and these releases besides.
    """
    podman = Podman(settings)
    return [
        images.host_image(settings, podman),
        images.database_image(settings, podman),
        *(images.host_image(settings, podman, release) for release in releases),
    ]


def _spawn(settings: Settings) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "LOCAL_AWS_DIR": str(settings.data_dir),
        "LOCAL_AWS_PORT": str(settings.port),
        "PYTHONUNBUFFERED": "1",
    }
    with settings.log_file.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "local_aws", "run"],
            cwd=Path(__file__).parent.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait_until_healthy(settings: Settings, process: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while health(settings) is None:
        if process is not None and process.poll() is not None:
            raise LocalAwsError(f"Local AWS did not start.\n{_end_of_log(settings)}")
        if time.monotonic() > deadline:
            raise LocalAwsError(
                f"Local AWS does not answer after {START_SECONDS:.0f} s: run "
                f"`python -m local_aws stop` and start it again.\n{_end_of_log(settings)}"
            )
        time.sleep(POLL_SECONDS)


def _end_of_log(settings: Settings) -> str:
    if not settings.log_file.is_file():
        return ""
    lines = settings.log_file.read_text(errors="replace").splitlines()[-LOG_LINES:]
    return "\n".join([f"The end of {settings.log_file}:", *lines])


def _end(settings: Settings, pid: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            if running(settings) is None:
                return
            time.sleep(POLL_SECONDS)
    raise LocalAwsError(f"The process {pid} of local AWS does not end.")


def _clean(settings: Settings) -> None:
    """Remove containers, networks, firewall rules and files; needs no server."""
    podman = Podman(settings)
    try:
        podman.remove_all()
    except PodmanError:
        # podman stumbles over a container that ends by itself meanwhile, once: the functions' do
        # so when their server is gone.
        podman.remove_all()
    ports.remove(settings)
    for path in settings.data_dir.iterdir():
        if path.name in KEPT:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextlib.contextmanager
def _lock(settings: Settings) -> Iterator[None]:
    """Let one start or stop of a data folder run at a time."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with (settings.data_dir / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _pid_file(settings: Settings) -> Iterator[None]:
    """Hold the pid file: its lock says that the server lives, whatever became of the pid."""
    with settings.pid_file.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalAwsError(f"Local AWS of {settings.data_dir} already runs.") from None
        file.truncate(0)
        file.write(f"{os.getpid()} {settings.port}\n")
        file.flush()
        yield


def _read_pid(text: str) -> Running | None:
    words = text.split()
    # Empty between the lock and the first byte.
    return Running(int(words[0]), int(words[1])) if len(words) == 2 else None  # noqa: PLR2004


def _give_back(settings: Settings) -> None:
    """Under sudo, let the caller own the data folder, so that the clone can be deleted."""
    if "SUDO_UID" not in os.environ:
        return
    owner = int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"])
    for path in (settings.data_dir, *settings.data_dir.iterdir(), *settings.keys_dir.glob("*")):
        if path.name in KEPT or path == settings.data_dir or path.parent == settings.keys_dir:
            os.chown(path, *owner)
