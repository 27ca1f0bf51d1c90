"""Ctrl-C where it does no harm: between two requests, and in the midst of training.

A request that is broken off may have made a run that nobody knows of, and whoever ends a run must
not be interrupted at that.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_REMIND_SECONDS = 0.5


@dataclass
class _State:
    interrupted: bool = False
    caught: bool = False
    stopped: Callable[[], bool] = lambda: False


class _Held(threading.local):
    count = 0


_state = _State()
_held = _Held()


@contextmanager
def listening(stopped: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Listen to SIGINT and SIGTERM.

    Parameters
    ----------
    stopped
        Tells whether others want an end; asked by `check`. It is all there is in another thread
        than the main one, to which no signal comes.
    """
    _state.interrupted, _state.caught, _state.stopped = False, False, stopped
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, _interrupt)
    signal.signal(signal.SIGALRM, _remind)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            # Who works for another must not die of a Ctrl-C between two tasks.
            idle = signal.SIG_IGN if handler is signal.default_int_handler else handler
            signal.signal(number, idle)


def caught() -> None:
    """Say that the interruption has arrived; there will be no other."""
    _state.caught = True


def due() -> bool:
    """Return whether an end is wanted."""
    return _state.interrupted or _state.stopped()


def check() -> None:
    """Raise KeyboardInterrupt if it is due."""
    if not _held.count and due():
        _state.interrupted = True
        raise KeyboardInterrupt


@contextmanager
def held() -> Iterator[None]:
    """Put off any interruption to the next check."""
    _held.count += 1
    try:
        yield
    finally:
        _held.count -= 1


def _interrupt(_number: int, _frame: object) -> None:
    """Interrupt once: the second Ctrl-C must not break off what the first began."""
    first, _state.interrupted = not _state.interrupted, True
    if first:
        # What is raised in the midst of a callback, such as the garbage collector's, is lost.
        signal.setitimer(signal.ITIMER_REAL, _REMIND_SECONDS, _REMIND_SECONDS)
        _remind(_number, _frame)


def _remind(_number: int, _frame: object) -> None:
    """Interrupt, until it has arrived."""
    if _state.interrupted and not _state.caught and not _held.count:
        raise KeyboardInterrupt
