"""Runs a function inside its container, on a bare Python and with nothing but the standard library.

It is started twice. The first time it fetches the environment through the socket, so that no
variable is ever in a process list or a file, and starts itself again with it; the second time
it imports the handler and answers one event after the other, as AWS's runtime does.

A frame, in either direction, is two lengths in bytes (32 bits, big-endian), a JSON header and a
payload. What the function prints goes to a socket of its own.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import resource
import socket
import struct
import sys
import time
import traceback
from decimal import Decimal
from typing import Any, NoReturn

SOCKET = "/var/rapid/socket"
LENGTHS = struct.Struct(">II")
RESPONSE_BYTES = 6291556
CONTROL_VARIABLE = "_LOCAL_AWS_CONTROL"


class FunctionError(Exception):
    """An error of the runtime's own, with the type that AWS gives it."""

    def __init__(self, kind: str, message: str) -> None:
        """Keep type and message."""
        super().__init__(message)
        self.kind = kind


class Channel:
    """Frames over a socket."""

    def __init__(self, connection: socket.socket) -> None:
        """Take the connection over."""
        self._connection = connection
        self._file = connection.makefile("rb")

    def receive(self) -> tuple[dict[str, Any], bytes] | None:
        """Return the next frame; None when the other side has hung up."""
        lengths = self._file.read(LENGTHS.size)
        if len(lengths) < LENGTHS.size:
            return None
        header, payload = LENGTHS.unpack(lengths)
        return json.loads(self._file.read(header)), self._file.read(payload)

    def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        """Send a frame."""
        text = json.dumps(header).encode()
        self._connection.sendall(LENGTHS.pack(len(text), len(payload)) + text)
        self._connection.sendall(payload)


class Context:
    """What a handler is given beside the event."""

    def __init__(self, header: dict[str, Any]) -> None:
        """Read the facts of one invocation."""
        self.aws_request_id: str = header["request_id"]
        self.invoked_function_arn: str = header["arn"]
        self.client_context = header.get("client_context")
        self.identity = None
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self._deadline = time.monotonic() + header["seconds"]

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the invocation is ended."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))


class RequestId(logging.Filter):
    """Puts the request's id into every record."""

    current = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the id; let everything pass."""
        record.aws_request_id = self.current
        return True


def fetch_environment() -> NoReturn:
    """Connect, take over what is printed, and start again with the function's environment."""
    control = connect(b"C")
    log = connect(b"L")
    found = Channel(control).receive()
    if found is None:
        sys.exit(1)
    for descriptor in (1, 2):
        os.dup2(log.fileno(), descriptor)
    os.set_inheritable(control.fileno(), True)  # noqa: FBT003 - the signature is the library's
    environment = found[0] | {CONTROL_VARIABLE: str(control.fileno())}
    os.execve(  # noqa: S606 - no shell is wanted
        sys.executable, [sys.executable, "-S", "-u", __file__], environment
    )


def connect(purpose: bytes) -> socket.socket:
    """Connect and say what for."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(SOCKET)
    connection.sendall(purpose)
    return connection


def serve(channel: Channel) -> None:
    """Load the handler, then answer events until the other side hangs up."""
    root = logging.getLogger()
    output = logging.StreamHandler(sys.stdout)
    formatter = logging.Formatter(
        "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s",
        "%Y-%m-%dT%H:%M:%S",
    )
    formatter.converter = time.gmtime
    output.setFormatter(formatter)
    request_id = RequestId()
    output.addFilter(request_id)
    root.addHandler(output)
    failure = None
    try:
        handler = load(os.environ["_HANDLER"])
    except Exception as error:  # noqa: BLE001 - whatever the function's code raises
        failure = describe(error)
        report(failure)
    channel.send({"ready": failure is None})
    while (frame := channel.receive()) is not None:
        header, event = frame
        if failure is not None:
            answer(channel, failure | {"requestId": header["request_id"]}, failed=True)
            continue
        context = Context(header)
        request_id.current = context.aws_request_id
        try:
            payload = encode(handler(json.loads(event), context))
        except Exception as error:  # noqa: BLE001 - whatever the function's code raises
            described = describe(error)
            report(described)
            answer(channel, described | {"requestId": context.aws_request_id}, failed=True)
        else:
            send_result(channel, payload, failed=False)


def load(name: str) -> Any:
    """Import the handler `name`, such as ``package/module.function``."""
    module_name, dot, function = name.rpartition(".")
    if not dot:
        raise FunctionError("Runtime.MalformedHandlerName", f"Bad handler '{name}'")
    module_name = module_name.replace("/", ".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise FunctionError(
            "Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}"
        ) from error
    except SyntaxError as error:
        raise FunctionError(
            "Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}"
        ) from error
    try:
        return getattr(module, function)
    except AttributeError:
        raise FunctionError(
            "Runtime.HandlerNotFound", f"Handler '{function}' missing on module '{module_name}'"
        ) from None


def encode(result: Any) -> bytes:
    """Return a handler's result as JSON."""
    try:
        return json.dumps(result, ensure_ascii=False, default=decimal).encode()
    except (TypeError, ValueError) as error:
        raise FunctionError(
            "Runtime.MarshalError", f"Unable to marshal response: {error}"
        ) from error


def decimal(value: object) -> float:
    """Encode what json cannot, as AWS's runtime does."""
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def describe(error: Exception) -> dict[str, Any]:
    """Return an error in the words of AWS's runtime."""
    if isinstance(error, FunctionError):
        return {"errorMessage": str(error), "errorType": error.kind, "stackTrace": []}
    # The first frame is ours.
    frames = traceback.format_list(traceback.extract_tb(error.__traceback__)[1:])
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "stackTrace": frames,
    }


def report(described: dict[str, Any]) -> None:
    """Print an error as one entry of the log."""
    text = f"[ERROR] {described['errorType']}: {described['errorMessage']}"
    if described["stackTrace"]:
        text += "\nTraceback (most recent call last):\n" + "".join(described["stackTrace"])
    # A carriage return does not begin another entry.
    print(text.rstrip("\n").replace("\n", "\r"), flush=True)


def answer(channel: Channel, document: dict[str, Any], *, failed: bool) -> None:
    """Send a document as the result."""
    send_result(channel, json.dumps(document, ensure_ascii=False).encode(), failed=failed)


def send_result(channel: Channel, payload: bytes, *, failed: bool) -> None:
    """Send a result, unless it is larger than AWS takes."""
    if len(payload) > RESPONSE_BYTES:
        text = (
            f"Response payload size exceeded maximum allowed payload size ({RESPONSE_BYTES} bytes)."
        )
        payload = json.dumps(
            {"errorMessage": text, "errorType": "Function.ResponseSizeTooLarge"}
        ).encode()
        failed = True
    sys.stdout.flush()
    sys.stderr.flush()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    channel.send({"failed": failed, "peak_mb": peak}, payload)


def main() -> None:
    """Be the first start or the second."""
    number = os.environ.pop(CONTROL_VARIABLE, None)
    if number is None:
        fetch_environment()
    # In place of this file's own folder, and without Debian's packages: what the zip and the
    # layers lack, the function lacks.
    extra = [path for path in os.environ.get("PYTHONPATH", "").split(":") if path]
    standard = [path for path in sys.path[1:] if path not in extra]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    sys.path[:] = [
        os.environ["LAMBDA_TASK_ROOT"],
        *extra,
        f"/opt/python/lib/{version}/site-packages",
        "/opt/python",
        *standard,
    ]
    os.chdir(os.environ["LAMBDA_TASK_ROOT"])
    control = socket.socket(fileno=int(number))
    control.set_inheritable(False)
    serve(Channel(control))


if __name__ == "__main__":
    main()
