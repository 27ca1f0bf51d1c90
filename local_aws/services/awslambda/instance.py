"""One container with one function in it, answering one event at a time."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local_aws.errors import LocalAwsError
from local_aws.services.awslambda.logs import Log, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from local_aws.machine.podman import Podman

LENGTHS = struct.Struct(">II")
CONNECT_SECONDS = 30.0
INIT_SECONDS = 10.0
CHUNK = 1 << 18
# Lambda's own user and group.
USER = "993:990"


@dataclass(frozen=True)
class Outcome:
    """What an invocation came to.

    Attributes
    ----------
    payload
        JSON: the handler's result, or the description of the error.
    error
        None, or ``Unhandled`` as the API's FunctionError.
    log_tail
        The last 4 KiB of the invocation's log.
    """

    payload: bytes
    error: str | None
    log_tail: str


class EndedError(Exception):
    """The function's process has ended."""


class TimedOutError(Exception):
    """The function took longer than it may."""


@dataclass
class Instance:
    """A container with its sockets.

    Attributes
    ----------
    name
        Of the container.
    folder
        Of its socket, on this machine.
    release
        Gives back what the instance had beside the container.
    memory_mb
        What the function may use and REPORT says.
    """

    podman: Podman
    name: str
    folder: Path
    release: Callable[[], None]
    memory_mb: int
    log: Log

    _control: socket.socket | None = None
    _printed: socket.socket | None = None
    _buffer: bytearray = field(default_factory=bytearray)
    _init_seconds: float | None = None

    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the container with podman's `arguments` and wait until the handler is loaded.

        A handler that cannot be loaded is not an error here: each event gets its failure.
        """
        self.folder.mkdir(parents=True)
        with _listen(self.folder) as listener:
            self.podman.run("run", "--detach", f"--name={self.name}", *arguments)
            self._accept(listener)
        self._send(dict(environment), b"")
        began = time.monotonic()
        try:
            self._receive(began + INIT_SECONDS)
        except (EndedError, TimedOutError):
            # As on AWS, the next invocation reports it.
            return
        self._init_seconds = time.monotonic() - began

    def invoke(self, event: bytes, request_id: str, arn: str, timeout: float) -> Outcome:
        """Hand one event to the function; that its process ends is an outcome, too."""
        version = "$LATEST" if arn.count(":") == 6 else arn.rpartition(":")[2]  # noqa: PLR2004
        self.log.add(f"START RequestId: {request_id} Version: {version}")
        init_seconds, self._init_seconds = self._init_seconds, None
        began = time.monotonic()
        header: dict[str, Any] = {"peak_mb": 0}
        status: str | None = None
        try:
            self._send({"request_id": request_id, "arn": arn, "seconds": timeout}, event)
            header, payload = self._receive(began + timeout)
        except TimedOutError:
            header, status = {"failed": True, "peak_mb": 0}, "timeout"
            text = f"Task timed out after {timeout:.2f} seconds"
            payload = _error("Sandbox.Timedout", f"RequestId: {request_id} Error: {text}")
            self.close()
            self.log.add(f"{_now()} {request_id} {text}\n")
        except (EndedError, OSError):
            header, status = {"failed": True, "peak_mb": 0}, "error"
            how = self._ending()
            payload = _error("Runtime.ExitError", f"RequestId: {request_id} Error: {how}")
            self.close()
            self.log.add(f"RequestId: {request_id} Error: {how}")
        seconds = time.monotonic() - began
        report = Report(
            request_id=request_id,
            seconds=min(seconds, timeout),
            init_seconds=init_seconds,
            memory_mb=self.memory_mb,
            peak_mb=header["peak_mb"],
            status=status,
        )
        tail = self.log.finish([f"END RequestId: {request_id}", report.line()])
        return Outcome(payload, "Unhandled" if header["failed"] else None, tail)

    @property
    def alive(self) -> bool:
        """Whether it can take another event."""
        return self._control is not None

    def close(self) -> None:
        """Hang up; the container is to be removed."""
        for connection in (self._control, self._printed):
            if connection is not None:
                connection.close()
        self._control = self._printed = None

    def forget(self) -> None:
        """Remove the files on this machine's disk; the container must be gone."""
        shutil.rmtree(self.folder)
        self.release()

    def _accept(self, listener: socket.socket) -> None:
        listener.settimeout(CONNECT_SECONDS)
        try:
            while self._control is None or self._printed is None:
                connection, _ = listener.accept()
                connection.settimeout(CONNECT_SECONDS)
                if connection.recv(1) == b"C":
                    self._control = connection
                else:
                    self._printed = connection
        except TimeoutError:
            log = self.podman.run("logs", self.name, check=False)
            raise LocalAwsError(
                f"{self.name} did not start: {(log.stdout + log.stderr).strip()}"
            ) from None
        self._control.settimeout(None)
        self._printed.setblocking(False)  # noqa: FBT003 - the signature is the library's

    def _send(self, header: Mapping[str, Any], payload: bytes) -> None:
        if self._control is None:
            raise EndedError
        text = json.dumps(header).encode()
        self._control.sendall(LENGTHS.pack(len(text), len(payload)) + text)
        self._control.sendall(payload)

    def _receive(self, deadline: float) -> tuple[dict[str, Any], bytes]:
        """Return the next frame, reading what is printed meanwhile."""
        if self._control is None or self._printed is None:
            raise EndedError
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._printed, selectors.EVENT_READ)
            while (frame := _frame(self._buffer)) is None:
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    raise TimedOutError
                for key, _ in ready:
                    if key.fileobj is self._printed:
                        if not self._read_printed():
                            selector.unregister(self._printed)
                        continue
                    chunk = self._control.recv(CHUNK)
                    if not chunk:
                        self._read_printed()
                        raise EndedError
                    self._buffer += chunk
        # What was printed before the result was sent has arrived before it.
        self._read_printed()
        return frame

    def _read_printed(self) -> bool:
        """Read all there is; say whether more may come."""
        if self._printed is None:
            return False
        while True:
            try:
                chunk = self._printed.recv(CHUNK)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not chunk:
                return False
            self.log.feed(chunk)

    def _ending(self) -> str:
        """Return how the process ended, in Lambda's words."""
        code = self.podman.run("wait", self.name, check=False).stdout.strip()
        killed = 137
        if code == str(killed):
            return "Runtime exited with error: signal: killed"
        if code == "0":
            return "Runtime exited without providing a reason"
        return f"Runtime exited with error: exit status {code}"


def _listen(folder: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # The folder's own path may be longer than a socket's address can be.
        listener.bind(f"/proc/self/fd/{descriptor}/socket")
    finally:
        os.close(descriptor)
    (folder / "socket").chmod(0o666)
    listener.listen(2)
    return listener


def _frame(buffer: bytearray) -> tuple[dict[str, Any], bytes] | None:
    """Take a frame off the front of `buffer`, if it is there in full."""
    if len(buffer) < LENGTHS.size:
        return None
    header, payload = LENGTHS.unpack_from(buffer)
    end = LENGTHS.size + header + payload
    if len(buffer) < end:
        return None
    text = bytes(buffer[LENGTHS.size : LENGTHS.size + header])
    content = bytes(buffer[LENGTHS.size + header : end])
    del buffer[:end]
    return json.loads(text), content


def _error(kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()


def _now() -> str:
    seconds, rest = divmod(time.time_ns() // 1_000_000, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:03d}Z"
