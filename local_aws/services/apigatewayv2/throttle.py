"""Token buckets: how many requests a route lets through."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass


@dataclass
class _Bucket:
    tokens: float
    filled: float


class Throttle:
    """The buckets of every route, by any key."""

    def __init__(self) -> None:
        """Begin with full buckets."""
        self._buckets: dict[object, _Bucket] = {}
        self._lock = threading.Lock()

    def allows(self, key: object, rate: float, burst: int) -> bool:
        """Take a token, if there is one; `rate` is in tokens per second, `burst` the most."""
        now = time.monotonic()
        with self._lock:
            bucket = self._buckets.setdefault(key, _Bucket(burst, now))
            bucket.tokens = min(burst, bucket.tokens + (now - bucket.filled) * rate)
            bucket.filled = now
            if bucket.tokens < 1:
                return False
            bucket.tokens -= 1
            return True
