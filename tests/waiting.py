"""Waiting for what takes a while."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def eventually(check: Callable[[], bool], seconds: float = 60, pause: float = 1) -> bool:
    """Return whether a condition becomes true in so many seconds, with a pause between looks."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
