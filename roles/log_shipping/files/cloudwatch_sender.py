"""Send the journal of this host to a log group of CloudWatch Logs, each line at least once.

The journal is read in its order from the line after the last one that was sent. While AWS cannot be
reached nothing is read, so the journal keeps the lines and this program only one batch.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
"""

from __future__ import annotations

import json
import logging
import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Limits of PutLogEvents; the size counts 26 bytes for each event beside its text.
MOST_BYTES = 1_048_576
MOST_EVENTS = 10_000
OVERHEAD = 26
MOST_MILLISECONDS = 24 * 3600 * 1000
# The smallest limit of one event that AWS has had.
LONGEST_EVENT = 256 * 1024 - OVERHEAD
# In seconds: how long a batch waits for the next line, how long for all of its lines, and the most
# between two attempts to send it.
PATIENCE = 1.0
LONGEST_WAIT = 5.0
LONGEST_PAUSE = 60.0

logger = logging.getLogger("cloudwatch_sender")


@dataclass
class Batch:
    """Events that one call can send.

    Attributes
    ----------
    events
        As PutLogEvents takes them.
    cursor
        The journal's place of the last line among them.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    size: int = 0
    cursor: str = ""

    def fits(self, event: dict[str, Any]) -> bool:
        """Say whether another event can be in the same call."""
        times = [one["timestamp"] for one in (*self.events[:1], *self.events[-1:], event)]
        return not self.events or (
            len(self.events) < MOST_EVENTS
            and self.size + size_of(event) <= MOST_BYTES
            # The clock of a host can be set back.
            and max(times) - min(times) < MOST_MILLISECONDS
            and event["timestamp"] >= self.events[-1]["timestamp"]
        )

    def add(self, event: dict[str, Any], cursor: str) -> None:
        """Add an event that fits."""
        self.events.append(event)
        self.size += size_of(event)
        self.cursor = cursor


def size_of(event: dict[str, Any]) -> int:
    """Return the bytes that count against the limit."""
    return len(event["message"].encode()) + OVERHEAD


def events_of(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of a line of the journal; a long line is divided.

    A line that is a JSON object stays one, so that queries find its fields.
    """
    message = entry.get("MESSAGE") or ""
    if isinstance(message, list):
        # What is not UTF-8 comes as bytes, a field that is there twice as texts.
        is_bytes = all(isinstance(one, int) for one in message)
        message = (
            bytes(message).decode(errors="replace") if is_bytes else "\n".join(map(str, message))
        )
    content: dict[str, Any] = {"program": entry.get("SYSLOG_IDENTIFIER", "unknown")}
    try:
        found = json.loads(message)
    except ValueError:
        found = None
    content |= found if isinstance(found, dict) else {"message": message}
    text = json.dumps(content)
    timestamp = int(entry["__REALTIME_TIMESTAMP"]) // 1000
    # The text is ASCII, so characters are bytes.
    return [
        {"timestamp": timestamp, "message": text[start : start + LONGEST_EVENT]}
        for start in range(0, len(text), LONGEST_EVENT)
    ]


@dataclass
class Sender:
    """Sends batches to one stream, and remembers the place in the journal.

    Attributes
    ----------
    connect
        Returns a client of CloudWatch Logs.
    state
        The file that has the cursor of the last line that was sent.
    """

    connect: Callable[[], Any]
    group: str
    stream: str
    state: Path
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        """Connect at the first batch."""
        self._client: Any = None

    def cursor(self) -> str:
        """Return the place after which the journal is read; empty at the first start."""
        return self.state.read_text() if self.state.exists() else ""

    def send(self, batch: Batch) -> None:
        """Send a batch, however long that takes, and remember its place."""
        pause = 1.0
        while batch.events:
            try:
                self._put(batch.events)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "InvalidParameterException":
                    self._divide(batch, error)
                    break
                logger.warning("CloudWatch Logs takes no lines: %s", error)
            except BotoCoreError as error:
                logger.warning("CloudWatch Logs takes no lines: %s", error)
            else:
                break
            self.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        if batch.cursor:
            self._remember(batch.cursor)

    def _put(self, events: list[dict[str, Any]]) -> None:
        if self._client is None:
            client = self.connect()
            with suppress(client.exceptions.ResourceAlreadyExistsException):
                client.create_log_stream(logGroupName=self.group, logStreamName=self.stream)
            self._client = client
        answer = self._client.put_log_events(
            logGroupName=self.group, logStreamName=self.stream, logEvents=events
        )
        if rejected := answer.get("rejectedLogEventsInfo"):
            # Older than 14 days or than the group keeps them, or more than two hours ahead.
            logger.error("CloudWatch Logs has left lines out by their time: %s", rejected)

    def _divide(self, batch: Batch, error: ClientError) -> None:
        """Send the halves of a batch that is not valid; leave an event out that is not."""
        if len(batch.events) == 1:
            logger.error("CloudWatch Logs does not take a line: %s", error)
            return
        middle = len(batch.events) // 2
        for half in (batch.events[:middle], batch.events[middle:]):
            self.send(Batch(half))

    def _remember(self, cursor: str) -> None:
        new = self.state.with_suffix(".new")
        with new.open("w") as file:
            file.write(cursor)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.state)


def follow(command: list[str], cursor: str) -> Iterator[dict[str, Any] | None]:
    """Yield the lines of the journal after a place; None when there is none for a while.

    Raises
    ------
    ChildProcessError
        If journalctl ends.
    """
    after = [f"--after-cursor={cursor}"] if cursor else []
    with subprocess.Popen([*command, *after], stdout=subprocess.PIPE, bufsize=0) as journal:
        output: Any = journal.stdout
        rest = b""
        while True:
            if not select.select([output], [], [], PATIENCE)[0]:
                yield None
                continue
            piece = os.read(output.fileno(), 1 << 16)
            if not piece:
                raise ChildProcessError(f"journalctl ended with status {journal.wait()}")
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield json.loads(line)


def run(sender: Sender, command: list[str]) -> None:
    """Send the journal until journalctl ends.

    Raises
    ------
    ChildProcessError
        If journalctl ends.
    """
    batch = Batch()
    due = time.monotonic() + LONGEST_WAIT
    for entry in follow(command, sender.cursor()):
        if entry is None or time.monotonic() > due:
            sender.send(batch)
            batch = Batch()
            due = time.monotonic() + LONGEST_WAIT
        if entry is None:
            continue
        # The place is that of a whole line: an event of a divided line has the place before it.
        cursor = batch.cursor
        events = events_of(entry)
        for number, event in enumerate(events, 1):
            if not batch.fits(event):
                sender.send(batch)
                batch = Batch()
            batch.add(event, entry["__CURSOR"] if number == len(events) else cursor)


JOURNALCTL = ["journalctl", "--output=json", "--follow", "--no-tail", "--all", "--no-pager"]


def main() -> None:
    """Send the journal of this host."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    group, stream = sys.argv[1:]
    state = Path(os.environ["STATE_DIRECTORY"]) / "cursor"

    def connect() -> Any:
        return boto3.client(
            "logs", config=Config(connect_timeout=10, read_timeout=30, retries={"max_attempts": 1})
        )

    try:
        run(Sender(connect, group, stream, state), JOURNALCTL)
    except ChildProcessError as error:
        # The unit starts this again.
        sys.exit(str(error))


if __name__ == "__main__":
    main()
