"""Requests of a run that are sent while the program computes.

1. `Requests.send` hands a request to a few threads; the program goes on.
2. `Requests.wait` returns when the server has acknowledged all of them, and raises the error of one
   that failed.
3. Leaving the `with` block after an error or Ctrl-C begins no more requests, and waits for those
   that were begun. So nothing reaches a run after its end.

A run is FINISHED only after `wait`, so no value that the server has not acknowledged is missed.
MLflow's own asynchronous logging sends metrics, parameters and tags only, in daemon threads, and
gives up their queue at the end of the program.
"""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Self, TypeVar

from football import interruption
from football.errors import BadInputError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

AT_ONCE = "FOOTBALL_REQUESTS_AT_ONCE"
_STANDARD_AT_ONCE = 4
_MOST_AT_ONCE = 64
# How often a thread that gets no signals looks whether it is to stop.
_LOOK_SECONDS = 0.5

T = TypeVar("T")


def requests_at_once(environment: Mapping[str, str]) -> int:
    """Return how many requests of a run are sent at the same time.

    Raises
    ------
    BadInputError
        If FOOTBALL_REQUESTS_AT_ONCE is not a number of requests.
    """
    text = environment.get(AT_ONCE, "") or str(_STANDARD_AT_ONCE)
    number = int(text) if text.isascii() and text.isdigit() and len(text) < len("1000") else 0
    if not 1 <= number <= _MOST_AT_ONCE:
        raise BadInputError(
            f"{AT_ONCE}: {shown(text)} is not a valid number of requests: it must be from 1 to "
            f"{_MOST_AT_ONCE}. Write a number such as {_STANDARD_AT_ONCE}"
        )
    return number


class Requests:
    """The requests of a run.

    Parameters
    ----------
    at_once
        How many are sent at the same time; the others wait, in the order in which they came.
    """

    def __init__(self, at_once: int) -> None:
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="request")
        self._sent: list[Future[Any]] = []

    def __enter__(self) -> Self:
        """Return the object."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Begin no more requests, and wait for those that were begun."""
        # The request that ends the run comes next, so Ctrl-C must not break this off.
        with interruption.deferred():
            self._pool.shutdown(cancel_futures=True)

    def send(self, request: Callable[..., T], *arguments: Any) -> Future[T]:
        """Call a function in the background that returns when its request is acknowledged."""
        future = self._pool.submit(request, *arguments)
        self._sent.append(future)
        return future

    def wait(self) -> None:
        """Wait until all requests so far are acknowledged.

        Raises
        ------
        Exception
            The error of the first one that failed, as its function has raised it.
        KeyboardInterrupt
            If an interruption was requested.
        """
        pending: set[Future[Any]] = set(self._sent)
        while pending:
            interruption.check()
            done, pending = wait(pending, timeout=_LOOK_SECONDS, return_when=FIRST_EXCEPTION)
            for future in (one for one in self._sent if one in done):
                future.result()
        self._sent.clear()
        interruption.check()
