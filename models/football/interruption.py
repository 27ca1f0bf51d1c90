"""Ctrl-C at the moments when it does no harm.

1. SIGINT and SIGTERM raise KeyboardInterrupt at once, also in the middle of training.
2. While a request is sent that creates or ends a run, the interruption is *deferred*: breaking the
   request off could leave a run that nobody knows of. It is raised at the next `check`.
3. An interruption that a callback has swallowed is raised again, until `acknowledge` is called.
4. A second Ctrl-C does not break off the cleanup after the first.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_REPEAT_SECONDS = 0.5


@dataclass
class _State:
    interrupted: bool = False
    acknowledged: bool = False
    stop_requested: Callable[[], bool] = lambda: False


class _Deferred(threading.local):
    # How many `deferred` blocks the thread is in.
    count = 0


_state = _State()
_deferred = _Deferred()


@contextmanager
def listening(stop_requested: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Listen to SIGINT and SIGTERM.

    Parameters
    ----------
    stop_requested
        Returns whether another process requests a stop; `check` calls it. Outside the main thread,
        which gets no signals, it is the only way to stop.
    """
    _state.interrupted, _state.acknowledged = False, False
    _state.stop_requested = stop_requested
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, _interrupt)
    signal.signal(signal.SIGALRM, _repeat)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            # A worker process must not die of a Ctrl-C between two tasks.
            idle = signal.SIG_IGN if handler is signal.default_int_handler else handler
            signal.signal(number, idle)


def acknowledge() -> None:
    """Stop raising the interruption: it has been handled."""
    _state.acknowledged = True


def is_requested() -> bool:
    """Return whether an interruption was requested."""
    return _state.interrupted or _state.stop_requested()


def check() -> None:
    """Raise KeyboardInterrupt if an interruption was requested and is not deferred."""
    if not _deferred.count and is_requested():
        _state.interrupted = True
        raise KeyboardInterrupt


@contextmanager
def deferred() -> Iterator[None]:
    """Defer an interruption to the next check after this block."""
    _deferred.count += 1
    try:
        yield
    finally:
        _deferred.count -= 1


def _interrupt(number: int, frame: object) -> None:
    """Interrupt once: a second Ctrl-C must not break off the cleanup."""
    first, _state.interrupted = not _state.interrupted, True
    if first:
        # An exception that is raised in a callback, such as the garbage collector's, is lost.
        signal.setitimer(signal.ITIMER_REAL, _REPEAT_SECONDS, _REPEAT_SECONDS)
        _repeat(number, frame)


def _repeat(_number: int, _frame: object) -> None:
    """Raise the interruption until it is acknowledged."""
    if _state.interrupted and not _state.acknowledged and not _deferred.count:
        raise KeyboardInterrupt
