"""Writes each call to AWS with its answer to the file that AWS_TRANSCRIPT names, a line each.

botocore registers its built-in handlers with each new session, so what is added to them sees every
call of every client: of modules, lookups and scripts, ours and those of collections.
"""

from __future__ import annotations

import errno
import json
import os
import time
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore import handlers

from aws_transcript.placeholders import Placeholders
from aws_transcript.scrubbing import Scrubber

if TYPE_CHECKING:
    from botocore.model import OperationModel

VARIABLE = "AWS_TRANSCRIPT"
FORMAT = 1
# The file with the digests of what was replaced is beside the transcript.
PLACEHOLDERS_SUFFIX = ".placeholders"
CREDENTIALS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
# In the context that botocore keeps for each call.
_CALL = "aws_transcript"
_OK = 300
_recorder: Recorder | None = None


class Recorder:
    """Appends calls, and what a playbook does, to a transcript."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @cached_property
    def _scrubber(self) -> Scrubber:
        # Programs that call nothing leave no files.
        scrubber = Scrubber(Placeholders(Path(f"{self.file}{PLACEHOLDERS_SUFFIX}")))
        for name in CREDENTIALS:
            if value := os.environ.get(name):
                scrubber.learn(value)
        return scrubber

    def begin(
        self, params: dict[str, Any], model: OperationModel, context: dict[str, Any], **_: Any
    ) -> None:
        """Take the parameters as the caller gave them."""
        context[_CALL] = {
            "format": FORMAT,
            "time": _now(),
            "service": model.service_model.service_name,
            "operation": model.name,
            "region": context.get("client_region"),
            "parameters": self._scrubber.clean(params, model.input_shape),
            "retries": [],
            "seconds": time.monotonic(),
        }

    def learn_credentials(self, request_signer: Any, context: dict[str, Any], **_: Any) -> None:
        """Replace the keys that sign the call, wherever they occur."""
        credentials = getattr(request_signer, "_credentials", None)
        call = context.get(_CALL)
        if credentials is None or call is None:
            return
        frozen = credentials.get_frozen_credentials()
        for secret in filter(None, (frozen.secret_key, frozen.token)):
            name = self._scrubber.learn(secret)
            # The parameters were taken before the keys were known.
            parameters = json.dumps(call["parameters"])
            call["parameters"] = json.loads(parameters.replace(secret, name))

    def attempt(
        self,
        context: dict[str, Any],
        parsed_response: dict[str, Any] | None,
        exception: Exception | None,
        **_: Any,
    ) -> None:
        """Take the outcome of an attempt: botocore makes another one after some errors."""
        if call := context.get(_CALL):
            code = (parsed_response or {}).get("Error", {}).get("Code", "")
            call["retries"].append(type(exception).__name__ if exception else code)

    def end(
        self,
        http_response: Any,
        parsed: dict[str, Any],
        model: OperationModel,
        context: dict[str, Any],
        **_: Any,
    ) -> None:
        """Write the call with its answer or error."""
        call = context.pop(_CALL, None)
        if call is None:
            return
        self._finish(call, http_response.status_code)
        answer = {name: part for name, part in parsed.items() if name != "ResponseMetadata"}
        if http_response.status_code >= _OK:
            error = answer.get("Error", {})
            call["error"] = {
                "code": str(error.get("Code", "")),
                "message": self._scrubber.text(str(error.get("Message", ""))),
            }
        else:
            call["answer"] = self._scrubber.clean(answer, model.output_shape)
        self._write(call)

    def fail(self, exception: Exception, context: dict[str, Any], **_: Any) -> None:
        """Write a call that got no answer."""
        call = context.pop(_CALL, None)
        if call is None:
            return
        self._finish(call, None)
        message = self._scrubber.text(str(exception))
        call["error"] = {"code": type(exception).__name__, "message": message}
        self._write(call)

    def event(self, name: str, /, **members: str | int) -> None:
        """Write what the run does between its calls, such as the task that begins."""
        texts = {
            key: self._scrubber.text(value) if isinstance(value, str) else value
            for key, value in members.items()
        }
        self._write({"format": FORMAT, "time": _now(), "event": name, **texts})

    def _finish(self, call: dict[str, Any], status: int | None) -> None:
        call["seconds"] = round(time.monotonic() - call["seconds"], 3)
        call["status"] = status
        # The last attempt is the one that is answered.
        call["retries"] = call["retries"][:-1]

    def _write(self, entry: dict[str, Any]) -> None:
        self._append(json.dumps(entry, ensure_ascii=False) + "\n")

    def _append(self, text: str) -> None:
        # One write each, so that the lines of several processes do not mix.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self.file, flags, 0o600)
        try:
            data = text.encode("utf-8", "backslashreplace")
            while data:
                data = data[os.write(descriptor, data) :]
        finally:
            os.close(descriptor)


def current() -> Recorder | None:
    """Return the recorder of this process."""
    return _recorder


def start() -> None:
    """Record the calls of this process and of those that it starts.

    Raises
    ------
    OSError
        If the transcript cannot be written.
    """
    global _recorder  # noqa: PLW0603  one for the process, as botocore's handlers are
    # Processes that are started elsewhere write to the same file.
    file = Path(os.environ[VARIABLE]).absolute()
    os.environ[VARIABLE] = str(file)
    _check_writable(file)
    _recorder = Recorder(file)
    handlers.BUILTIN_HANDLERS += registrations(_recorder)


def registrations(recorder: Recorder) -> list[tuple[Any, ...]]:
    """Return the events of botocore with what takes them."""
    return [
        # Before botocore changes the parameters.
        ("before-parameter-build", recorder.begin, handlers.REGISTER_FIRST),
        ("before-call", recorder.learn_credentials, handlers.REGISTER_FIRST),
        ("response-received", recorder.attempt),
        ("after-call", recorder.end, handlers.REGISTER_LAST),
        ("after-call-error", recorder.fail),
    ]


def _check_writable(file: Path) -> None:
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not file.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
