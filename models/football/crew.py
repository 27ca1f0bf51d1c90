"""The processes that work, behind joblib: on this machine, or those of a Dask cluster."""

from __future__ import annotations

import os
import signal
import tempfile
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky.process_executor import BrokenProcessPool

from football.errors import BadInputError
from football.worker import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")

_CONNECT_SECONDS = 15


class CrewLostError(Exception):
    """A process that worked is gone, and with it what it was at."""


class Crew:
    """Calls functions elsewhere, and passes on that all is to stop."""

    def __init__(self, jobs: int, stop: Stop, client: Any = None) -> None:
        self.jobs = jobs
        self.stop = stop
        self._client = client

    @property
    def size(self) -> int:
        """How many processes work at once."""
        if self._client is not None:
            return len(self._client.nthreads())
        return self.jobs if self.jobs > 0 else max(1, cpu_count() + 1 + self.jobs)

    def each(self, function: Callable[..., T], arguments: Iterable[tuple[Any, ...]]) -> Iterator[T]:
        """Call a function with each of these; yield what it gives as it comes.

        Raises
        ------
        CrewLostError
            If a process ended without an answer.
        """
        parallel = Parallel(
            n_jobs=self.jobs,
            batch_size=1,
            pre_dispatch="all",
            return_as="generator_unordered",
        )
        calls = [delayed(function)(*each) for each in arguments]
        # Ctrl-C is for this process to pass on: who inherits that it is ignored does not die of it.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            results = parallel(calls)
        finally:
            signal.signal(signal.SIGINT, before)
        try:
            yield from results
        except BrokenProcessPool as error:
            raise CrewLostError(str(error).splitlines()[0]) from error
        except Exception as error:
            if type(error).__name__ == "KilledWorker":
                raise CrewLostError(str(error)) from error
            raise

    def once(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Call a function once."""
        [result] = self.each(_call, [(function, arguments, options)])
        return result

    def interrupt(self) -> None:
        """Have all that work stop as soon as they have ended their runs."""
        if self._client is not None:
            from distributed import Event  # noqa: PLC0415 -- not everyone has a cluster

            Event(self.stop.event, client=self._client).set()
            return
        directory = Path(self.stop.directory)
        (directory / "stop").touch()
        for path in directory.glob("*.pid"):
            try:
                os.kill(int(path.stem), signal.SIGINT)
            except ProcessLookupError:
                path.unlink()


def _call(function: Callable[..., T], arguments: tuple[Any, ...], options: dict[str, Any]) -> T:
    return function(*arguments, **options)


@contextmanager
def gather(
    jobs: int, scheduler: str | None = None, security: dict[str, str] | None = None
) -> Iterator[Crew]:
    """Gather the processes.

    Parameters
    ----------
    jobs
        How many at once on this machine; -1 is as many as it has processors.
    scheduler
        The address of a Dask scheduler, whose workers are taken instead.
    security
        Paths of `ca`, `cert` and `key`, for a scheduler behind tls://.

    Raises
    ------
    BadInputError
        If the cluster cannot be reached, or has no worker.
    """
    with ExitStack() as stack:
        if scheduler is None:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="football-"))
            stack.enter_context(parallel_config(backend="loky"))
            yield Crew(jobs, Stop(directory=directory))
            return
        client = stack.enter_context(_connect(scheduler, security))
        stack.enter_context(parallel_config(backend="dask", client=client))
        yield Crew(-1, Stop(event=f"football-stop-{uuid.uuid4().hex}"), client)


@contextmanager
def _connect(scheduler: str, security: dict[str, str] | None) -> Iterator[Any]:
    """Connect to a scheduler, and bring its workers this package."""
    if urlsplit(scheduler).scheme not in {"tcp", "tls"} or not urlsplit(scheduler).port:
        raise BadInputError(
            f"--scheduler is {scheduler!r}: give an address such as tcp://127.0.0.1:8786, or "
            "tls://… with --tls-ca, --tls-cert and --tls-key"
        )
    if scheduler.startswith("tls:") and not security:
        raise BadInputError("a scheduler behind tls:// needs --tls-ca, --tls-cert and --tls-key")
    try:
        from distributed import Client  # noqa: PLC0415 -- not everyone has a cluster
        from distributed.security import Security  # noqa: PLC0415 -- see above
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
        client = Client(scheduler, **options)
    except (OSError, ValueError) as error:
        raise BadInputError(
            f"{scheduler} cannot be reached ({error}): see that the scheduler runs there, and that "
            "its security group lets this machine in"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
        except TimeoutError:
            raise BadInputError(
                f"{scheduler} has no worker: start one (dask worker {scheduler})"
            ) from None
        with tempfile.TemporaryDirectory(prefix="football-") as directory:
            client.upload_file(str(_package(Path(directory))))
        yield client


def _package(directory: Path) -> Path:
    """Pack this package for machines that do not have it."""
    import zipfile  # noqa: PLC0415 -- not everyone has a cluster

    source = Path(__file__).parent
    path = directory / "football.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for module in sorted(source.glob("*.py")):
            archive.write(module, f"{source.name}/{module.name}")
    return path
