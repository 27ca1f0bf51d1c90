"""A pool of worker processes, behind joblib: on this machine, or those of a Dask cluster.

1. `open_pool` starts the pool.
2. `WorkerPool.each` calls a function in the workers, and yields each result as it arrives.
3. `WorkerPool.interrupt` asks all workers to stop as soon as they have ended their runs.
"""

from __future__ import annotations

import os
import signal
import tempfile
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky.process_executor import BrokenProcessPool

from football import dask_cluster
from football.worker import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")


class WorkerLostError(Exception):
    """A worker process died, and the result of its task is lost."""


class WorkerPool:
    """Runs functions in worker processes, and forwards stop requests to them."""

    def __init__(self, jobs: int, stop: Stop, client: Any = None) -> None:
        self.jobs = jobs
        self.stop = stop
        self._client = client

    @property
    def size(self) -> int:
        """The number of worker processes."""
        if self._client is not None:
            return len(self._client.nthreads())
        return self.jobs if self.jobs > 0 else max(1, cpu_count() + 1 + self.jobs)

    def each(self, function: Callable[..., T], arguments: Iterable[tuple[Any, ...]]) -> Iterator[T]:
        """Call a function once per tuple of arguments; yield the results as they arrive.

        Raises
        ------
        WorkerLostError
            If a worker process died.
        """
        parallel = Parallel(
            n_jobs=self.jobs,
            batch_size=1,
            pre_dispatch="all",
            return_as="generator_unordered",
        )
        calls = [delayed(function)(*each) for each in arguments]
        # Workers inherit that SIGINT is ignored, so Ctrl-C does not kill them: `interrupt` forwards
        # it.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            results = parallel(calls)
        finally:
            signal.signal(signal.SIGINT, before)
        try:
            yield from results
        except BrokenProcessPool as error:
            raise WorkerLostError(str(error).splitlines()[0]) from error
        except Exception as error:
            # Dask's class, by its name: the package may be missing.
            if type(error).__name__ == "KilledWorker":
                raise WorkerLostError(str(error)) from error
            raise

    def once(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Call a function once, in a worker."""
        [result] = self.each(_call, [(function, arguments, options)])
        return result

    def interrupt(self) -> None:
        """Ask all workers to stop as soon as they have ended their runs."""
        if self._client is not None:
            dask_cluster.set_event(self._client, self.stop.event)
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
def open_pool(
    jobs: int, scheduler: str | None = None, security: dict[str, str] | None = None
) -> Iterator[WorkerPool]:
    """Start a pool of worker processes.

    Parameters
    ----------
    jobs
        Number of processes on this machine; -1 is as many as it has processors.
    scheduler
        Address of a Dask scheduler, whose workers are used instead.
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
            yield WorkerPool(jobs, Stop(directory=directory))
            return
        client = stack.enter_context(dask_cluster.connect(scheduler, security))
        stack.enter_context(parallel_config(backend="dask", client=client))
        yield WorkerPool(-1, Stop(event=f"football-stop-{uuid.uuid4().hex}"), client)
