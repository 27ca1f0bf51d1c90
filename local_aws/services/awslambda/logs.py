"""What functions print, in CloudWatch's words."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from moto.core.utils import unix_time_millis

if TYPE_CHECKING:
    from collections.abc import Callable

TAIL_BYTES = 4096


@dataclass
class Log:
    """The log stream of one instance of a function.

    Attributes
    ----------
    backend
        moto's CloudWatch Logs.
    may_write
        Whether the function's role allows the log; lines are lost otherwise, as on AWS.
    """

    backend: Any
    group: str
    stream: str
    may_write: Callable[[str, str], bool]
    _partial: bytes = b""
    _events: list[dict[str, Any]] = field(default_factory=list)

    def feed(self, printed: bytes) -> None:
        """Take what the function printed; each line becomes an event."""
        *lines, self._partial = (self._partial + printed).split(b"\n")
        for line in lines:
            self.add(line.decode(errors="replace"))

    def add(self, message: str) -> None:
        """Add one event."""
        self._events.append({"timestamp": int(unix_time_millis()), "message": f"{message}\n"})

    def finish(self, lines: list[str]) -> str:
        """End what was printed, add `lines`, store it all; return its last 4 KiB."""
        if self._partial:
            self.feed(b"\n")
        for line in lines:
            self.add(line)
        events, self._events = self._events, []
        self._store(events)
        text = "".join(event["message"] for event in events).encode()
        return text[-TAIL_BYTES:].decode(errors="ignore")

    def _store(self, events: list[dict[str, Any]]) -> None:
        if self.group not in self.backend.groups:
            if not self.may_write("logs:CreateLogGroup", self.group):
                return
            self.backend.ensure_log_group(self.group)
        if self.stream not in self.backend.groups[self.group].streams:
            if not self.may_write("logs:CreateLogStream", self.group):
                return
            self.backend.create_log_stream(self.group, self.stream)
        if self.may_write("logs:PutLogEvents", f"{self.group}:log-stream:{self.stream}"):
            self.backend.put_log_events(self.group, self.stream, events)


@dataclass(frozen=True)
class Report:
    """The figures of one invocation; times in seconds, memory in MB."""

    request_id: str
    seconds: float
    init_seconds: float | None
    memory_mb: int
    peak_mb: int
    status: str | None = None

    def line(self) -> str:
        """Return the line with which Lambda closes an invocation."""
        milliseconds = self.seconds * 1000
        billed = milliseconds + (self.init_seconds or 0.0) * 1000
        parts = [
            f"REPORT RequestId: {self.request_id}",
            f"Duration: {milliseconds:.2f} ms",
            f"Billed Duration: {math.ceil(billed)} ms",
            f"Memory Size: {self.memory_mb} MB",
            f"Max Memory Used: {min(self.peak_mb, self.memory_mb)} MB",
        ]
        if self.init_seconds is not None:
            parts.append(f"Init Duration: {self.init_seconds * 1000:.2f} ms")
        if self.status is not None:
            parts.append(f"Status: {self.status}")
        return "\t".join([*parts, ""])
