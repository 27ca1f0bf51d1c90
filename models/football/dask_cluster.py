"""A Dask cluster whose workers run experiments. The package `distributed` is optional.

1. Check the scheduler's address and the files for TLS.
2. Connect, and wait until a worker is there.
3. Upload this package to the workers.
"""

from __future__ import annotations

import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from football.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONNECT_SECONDS = 15


@contextmanager
def connect(scheduler: str, security: dict[str, str] | None) -> Iterator[Any]:
    """Connect to a scheduler, and upload this package to its workers.

    Raises
    ------
    BadInputError
        If the address is not valid, or the cluster cannot be reached or has no worker.
    """
    _check_address(scheduler, security)
    with _connect(scheduler, security) as client:
        _wait_for_worker(client, scheduler)
        with tempfile.TemporaryDirectory(prefix="football-") as directory:
            client.upload_file(str(_package(Path(directory))))
        yield client


def set_event(client: Any, name: str) -> None:
    """Set an event that workers look at."""
    from distributed import Event  # noqa: PLC0415 -- optional

    Event(name, client=client).set()


def _check_address(scheduler: str, security: dict[str, str] | None) -> None:
    parts = urlsplit(scheduler)
    if parts.scheme not in {"tcp", "tls"} or not parts.port:
        raise BadInputError(
            f"--scheduler is {scheduler!r}: give an address such as tcp://127.0.0.1:8786, or "
            "tls://… with --tls-ca, --tls-cert and --tls-key"
        )
    if parts.scheme == "tls" and not security:
        raise BadInputError("a scheduler behind tls:// needs --tls-ca, --tls-cert and --tls-key")


def _connect(scheduler: str, security: dict[str, str] | None) -> Any:
    try:
        from distributed import Client  # noqa: PLC0415 -- optional
        from distributed.security import Security  # noqa: PLC0415 -- optional
    except ImportError:
        raise BadInputError(
            "the package distributed is missing: install requirements/models.txt"
        ) from None
    options: dict[str, Any] = {"timeout": _CONNECT_SECONDS, "set_as_default": False}
    if security:
        options["security"] = Security(
            tls_ca_file=security["ca"],
            tls_client_cert=security["cert"],
            tls_client_key=security["key"],
            require_encryption=True,
        )
    try:
        return Client(scheduler, **options)
    except (OSError, ValueError) as error:
        raise BadInputError(
            f"{scheduler} cannot be reached ({error}): see that the scheduler runs there, and that "
            "its security group lets this machine in"
        ) from None


def _wait_for_worker(client: Any, scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
    except TimeoutError:
        raise BadInputError(
            f"{scheduler} has no worker: start one (dask worker {scheduler})"
        ) from None


def _package(directory: Path) -> Path:
    """Pack this package into a zip, for machines that do not have it."""
    source = Path(__file__).parent
    path = directory / "football.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for module in sorted(source.glob("*.py")):
            archive.write(module, f"{source.name}/{module.name}")
    return path
