"""One id leads from the proxy to the server, PostgreSQL and the audit trail."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.postgres import running_cluster
from tests.tracking_server import basic, deployed_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Proxy

pytestmark = pytest.mark.slow

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def logged(proxy: Proxy, request: str) -> dict[str, Any]:
    """Return the line of the proxy's log that has this id, once it is there."""
    deadline = time.monotonic() + 10
    while True:
        text = proxy.run("journalctl", "--unit=caddy", "--output=cat", "--no-pager").stdout
        found = [json.loads(line) for line in text.splitlines() if request in line]
        if found or time.monotonic() > deadline:
            [line] = found
            return line
        time.sleep(0.1)


@pytest.mark.parametrize("sent", [{}, {"X-Request-Id": "0" * 8 + "-of-a-client"}])
def test_id_is_the_proxys_in_answer_upstream_and_log(proxy: Proxy, sent: dict[str, str]) -> None:
    answer = proxy.ask("/x?secret=1", **sent)
    request = answer.headers["X-Request-Id"]

    assert UUID.fullmatch(request)
    assert answer.json()["fields"]["X-Request-Id"] == request
    line = logged(proxy, request)
    assert line["request_id"] == request
    assert "uuid" not in line
    assert (line["status"], line["request"]["uri"]) == (200, "/x?")


def test_errors_of_the_proxy_have_an_id(proxy: Proxy) -> None:
    answer = proxy.ask("/-/metrics/host")

    assert answer.status_code == 401
    assert logged(proxy, answer.headers["X-Request-Id"])["status"] == 401


def test_id_that_the_upstream_answers_does_not_count(proxy: Proxy) -> None:
    answer = proxy.ask("/x?X-Request-Id=of-the-upstream")

    assert UUID.fullmatch(answer.headers["X-Request-Id"])


@contextlib.contextmanager
def relayed(address: str, port: int) -> Iterator[int]:
    """Pass connections to another address on to a port of loopback; yield the port there."""
    loop = asyncio.new_event_loop()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while piece := await source.read(65536):
                sink.write(piece)
                await sink.drain()
            sink.close()

        with contextlib.suppress(OSError):
            await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))

    server = loop.run_until_complete(asyncio.start_server(pass_on, address, 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def test_id_leads_through_all_logs(proxy: Proxy, tmp_path: Path) -> None:
    [gateway] = re.findall(r"default via (\S+)", proxy.run("ip", "route").stdout)
    url = f"https://127.0.0.1:{proxy.port}"
    with running_cluster(log_min_duration_statement=0) as cluster:
        cluster.execute("CREATE DATABASE followed")
        with (
            deployed_server(
                cluster, "followed", tmp_path, mlflow_workers=1, mlflow_public_urls=[url]
            ) as server,
            relayed(gateway, int(server.url.rpartition(":")[2])) as port,
        ):
            recap, output = proxy.play(tls_proxy_upstream=f"{gateway}:{port}")
            assert recap["failed"] == 0, output
            try:
                answer = requests.post(
                    f"{url}/api/2.0/mlflow/experiments/create",
                    json={"name": "followed"},
                    headers={"Authorization": server.authorization or basic("", "")},
                    verify=str(proxy.authority),
                    timeout=60,
                )
                assert answer.ok, answer.text
                request = answer.headers["X-Request-Id"]
                assert logged(proxy, request)["status"] == 200
            finally:
                proxy.play()
        # The server has ended, so its files are complete.
        statements = (cluster.directory / "log").read_text()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    [access] = [line for line in lines if line.get("request_id") == request]
    trail = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    [record] = [line for line in trail if line["request_id"] == request]

    assert access["path"] == "/api/2.0/mlflow/experiments/create"
    assert record["objects"]["name"] == "followed"
    # The address of the client, and not of the proxy.
    assert record["client"] == access["client"] == gateway
    assert re.search(rf"INSERT INTO experiments .*/\*request_id='{request}'\*/", statements)
