"""The sender to CloudWatch Logs: limits of calls, order, and nothing lost while AWS is away."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GROUP, STREAM = "/mlflow/demo/host", "host"
FILE = ROOT / "roles/log_shipping/files/cloudwatch_sender.py"
SPEC = importlib.util.spec_from_file_location("cloudwatch_sender", FILE)
assert SPEC
assert SPEC.loader
sender = importlib.util.module_from_spec(SPEC)
sys.modules["cloudwatch_sender"] = sender
SPEC.loader.exec_module(sender)

# Prints lines as journalctl does, from the one after the cursor, and then waits.
JOURNAL = """
import json, sys, time
after = [a.partition("=")[2] for a in sys.argv if a.startswith("--after-cursor=")]
start = int(after[0]) + 1 if after else 0
for number in range(start, int(sys.argv[1])):
    entry = {"__CURSOR": str(number), "__REALTIME_TIMESTAMP": str(int(time.time() * 1e6)),
             "SYSLOG_IDENTIFIER": "mlflow", "MESSAGE": json.dumps({"number": number})}
    print(json.dumps(entry))
sys.stdout.flush()
time.sleep(float(sys.argv[2]))
"""


def entry(message: Any, number: int = 1, when: float | None = None) -> dict[str, Any]:
    """Return a line of the journal."""
    return {
        "__CURSOR": str(number),
        "__REALTIME_TIMESTAMP": str(int((when or time.time()) * 1e6)),
        "SYSLOG_IDENTIFIER": "mlflow",
        "MESSAGE": message,
    }


def client(port: int) -> Any:
    return boto3.client(
        "logs",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 1}, connect_timeout=2, read_timeout=10),
    )


@pytest.fixture
def aws() -> Iterator[ThreadedMotoServer]:
    """CloudWatch Logs with the group, as a server that can be stopped."""
    server = ThreadedMotoServer(port=0)
    server.start()
    logs = client(server.get_host_and_port()[1])
    logs.create_log_group(logGroupName=GROUP)
    yield server
    logs = client(server.get_host_and_port()[1])
    logs.delete_log_group(logGroupName=GROUP)
    server.stop()


def received(port: int) -> list[dict[str, Any]]:
    """Return the texts of all events, in their order."""
    pages = client(port).get_paginator("filter_log_events").paginate(logGroupName=GROUP)
    return [json.loads(event["message"]) for page in pages for event in page["events"]]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("plain", {"message": "plain"}),
        ('{"a": 1}', {"a": 1}),
        ("[1]", {"message": "[1]"}),
        (None, {"message": ""}),
        (list("é\n".encode()), {"message": "é\n"}),
        ([255, 254], {"message": "\ufffd\ufffd"}),
        (["a", "b"], {"message": "a\nb"}),
    ],
)
def test_events_hold_a_line_as_json(message: Any, expected: dict[str, Any]) -> None:
    [event] = sender.events_of(entry(message, when=1.5))

    assert event["timestamp"] == 1500
    assert json.loads(event["message"]) == {"program": "mlflow", **expected}


def test_events_divide_a_long_line() -> None:
    events = sender.events_of(entry("x" * 600_000))

    assert len(events) == 3
    assert all(sender.size_of(event) <= 256 * 1024 for event in events)
    text = "".join(event["message"] for event in events)
    assert json.loads(text)["message"] == "x" * 600_000


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 250_000), st.integers(-(10**6), 10**8)), min_size=1, max_size=60
    )
)
def test_batches_keep_the_limits_of_a_call(lines: list[tuple[int, int]]) -> None:
    batch, batches = sender.Batch(), []
    for size, offset in lines:
        event = {"timestamp": 10**12 + offset, "message": "x" * size}
        if not batch.fits(event):
            batches.append(batch)
            batch = sender.Batch()
        batch.add(event, "1")
    batches.append(batch)

    assert sum(len(one.events) for one in batches) == len(lines)
    for one in batches:
        times = [event["timestamp"] for event in one.events]
        assert times == sorted(times)
        assert times[-1] - times[0] < 24 * 3600 * 1000
        assert sum(map(sender.size_of, one.events)) <= 1_048_576
        assert 0 < len(one.events) <= 10_000


def test_batch_takes_ten_thousand_events() -> None:
    batch = sender.Batch()
    event = {"timestamp": 1, "message": "x"}
    while batch.fits(event):
        batch.add(event, "1")

    assert len(batch.events) == 10_000


def run(port: Callable[[], int], state: Path, count: int, sleep: Callable[[float], None]) -> None:
    """Send `count` lines. The substitute for journalctl exits after the last one."""
    command = [sys.executable, "-c", JOURNAL, str(count), "2"]
    one = sender.Sender(lambda: client(port()), GROUP, STREAM, state, sleep)
    with pytest.raises(ChildProcessError):
        sender.run(one, command)


def test_outage_of_aws_loses_no_line_and_keeps_the_order(
    aws: ThreadedMotoServer, tmp_path: Path
) -> None:
    port = aws.get_host_and_port()[1]
    ports = iter([1, 1])
    pauses: list[float] = []
    state = tmp_path / "cursor"

    # The first two connections lead to a port on which nothing listens.
    run(lambda: next(ports, port), state, 25_000, pauses.append)

    assert [event["number"] for event in received(port)] == list(range(25_000))
    assert pauses == [1.0, 2.0]
    assert state.read_text() == "24999"


def test_restart_goes_on_after_the_last_line_that_was_sent(
    aws: ThreadedMotoServer, tmp_path: Path
) -> None:
    port = aws.get_host_and_port()[1]
    for count in (10, 30):
        run(lambda: port, tmp_path / "cursor", count, time.sleep)

    assert [event["number"] for event in received(port)] == list(range(30))


def test_group_that_does_not_exist_is_waited_for(aws: ThreadedMotoServer, tmp_path: Path) -> None:
    port = aws.get_host_and_port()[1]
    client(port).delete_log_group(logGroupName=GROUP)

    def create(_: float) -> None:
        client(port).create_log_group(logGroupName=GROUP)

    run(lambda: port, tmp_path / "cursor", 5, create)

    assert [event["number"] for event in received(port)] == list(range(5))


class Picky:
    """A client that takes no event with a word in it, as AWS takes no invalid one."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.exceptions = client(1).exceptions

    def create_log_stream(self, **_: str) -> None:
        """Do nothing."""

    def put_log_events(self, **call: Any) -> dict[str, Any]:
        """Take a call with valid events only."""
        if any("bad" in event["message"] for event in call["logEvents"]):
            raise self.exceptions.InvalidParameterException(
                {"Error": {"Code": "InvalidParameterException"}}, "PutLogEvents"
            )
        self.taken += [event["message"] for event in call["logEvents"]]
        return {}


def test_event_that_is_not_valid_is_left_out_alone(tmp_path: Path) -> None:
    picky = Picky()
    one = sender.Sender(lambda: picky, GROUP, STREAM, tmp_path / "cursor", pytest.fail)
    batch = sender.Batch()
    for number in range(9):
        text = "bad" if number == 4 else str(number)
        batch.add({"timestamp": number, "message": text}, str(number))
    one.send(batch)

    assert picky.taken == ["0", "1", "2", "3", "5", "6", "7", "8"]
    assert one.cursor() == "8"
