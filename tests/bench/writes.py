"""How long a training job waits for the tracking server, beside others and beside the SQL alone.

Each server gets the same requests in turns, from one client and from many, over connections that
are kept. The floor are the rows alone: what MLflow writes or reads, by psycopg2 on one connection.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import shutil
import statistics
import subprocess
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from tests.tracking_server import Server, free_port, wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.postgres import Cluster

TURNS = 10
REQUESTS_PER_TURN = 20
CLIENTS = 16
REQUESTS_OF_A_CLIENT = 15
KEYS = [f"metric {number}" for number in range(10)]
RUN = re.compile(r"[0-9a-f]{32}")


@dataclass
class Steps:
    """A number that is another one each time."""

    last: int = 0

    def __next__(self) -> int:
        """Return the next number."""
        self.last += 1
        return self.last


_number = Steps()


def _metrics(keys: list[str]) -> list[dict[str, Any]]:
    step = next(_number)
    return [{"key": key, "value": step / 7, "timestamp": step, "step": step} for key in keys]


def _created(run: str, experiment: str) -> tuple[str, dict[str, Any]]:
    del run
    tags = [{"key": "mlflow.user", "value": "ana"}, {"key": "mlflow.source.name", "value": "t.py"}]
    body = {"experiment_id": experiment, "start_time": 1, "run_name": "one", "tags": tags}
    return "create", body


# Path and body of each request, or a path alone.
REQUESTS: dict[str, Callable[[str, str], tuple[str, dict[str, Any] | None]]] = {
    "create run": _created,
    "log metric": lambda run, _: ("log-metric", {"run_id": run, **_metrics(KEYS[:1])[0]}),
    "log parameter": lambda run, _: (
        "log-parameter",
        {"run_id": run, "key": f"p{next(_number)}", "value": "1"},
    ),
    "log batch of 10": lambda run, _: ("log-batch", {"run_id": run, "metrics": _metrics(KEYS)}),
    "set tag": lambda run, _: ("set-tag", {"run_id": run, "key": "t", "value": str(next(_number))}),
    "end run": lambda run, _: (
        "update",
        {"run_id": run, "status": "FINISHED", "end_time": next(_number)},
    ),
    "get run": lambda run, _: (f"get?run_id={run}", None),
}
_INSERT_METRICS = """
INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)
SELECT key, %(step)s / 7.0, %(step)s, %(step)s, false, %(run)s FROM unnest(%(keys)s::text[]) AS key;
INSERT INTO latest_metrics AS l (key, value, timestamp, step, is_nan, run_uuid)
SELECT key, %(step)s / 7.0, %(step)s, %(step)s, false, %(run)s FROM unnest(%(keys)s::text[]) AS key
ON CONFLICT (key, run_uuid) DO UPDATE
SET value = excluded.value, timestamp = excluded.timestamp, step = excluded.step"""
FLOOR = {
    "create run": """
INSERT INTO runs (run_uuid, name, user_id, status, start_time, lifecycle_stage, experiment_id)
VALUES (%(new)s, 'one', '', 'RUNNING', 1, 'active', %(experiment)s);
INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.user', 'ana', %(new)s),
('mlflow.source.name', 't.py', %(new)s), ('mlflow.runName', 'one', %(new)s)""",
    "log metric": _INSERT_METRICS,
    "log parameter": "INSERT INTO params VALUES ('p' || %(step)s, '1', %(run)s)",
    "log batch of 10": _INSERT_METRICS,
    "set tag": """
INSERT INTO tags (key, value, run_uuid) VALUES ('t', %(step)s, %(run)s)
ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value""",
    "end run": "UPDATE runs SET status = 'FINISHED', end_time = %(step)s WHERE run_uuid = %(run)s",
    "get run": """
SELECT r.*, (SELECT json_agg(m) FROM latest_metrics m WHERE run_uuid = r.run_uuid),
    (SELECT json_agg(p) FROM params p WHERE run_uuid = r.run_uuid),
    (SELECT json_agg(t) FROM tags t WHERE run_uuid = r.run_uuid)
FROM runs r WHERE run_uuid = %(run)s""",
}


class Address(Protocol):
    """Where a server is, and how one logs in."""

    @property
    def url(self) -> str:
        """Its address."""

    @property
    def authorization(self) -> str | None:
        """The header that logs in, if it has logins."""


class Client:
    """A connection that is kept, to one run of one server."""

    def __init__(self, server: Address, experiment: str) -> None:
        """Connect, and create a run that holds what a small training job logs."""
        self._connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=120)
        self._headers = {"Content-Type": "application/json"}
        if server.authorization:
            self._headers["Authorization"] = server.authorization
        self._experiment, self.run = experiment, ""
        self.run = self.ask("create run")["run"]["info"]["run_id"]
        params = [{"key": f"depth {number}", "value": "1"} for number in range(6)]
        self.send("log-batch", {"run_id": self.run, "params": params, "metrics": _metrics(KEYS)})

    def ask(self, name: str) -> Any:
        """Send one of the requests; return the answer."""
        return self.send(*REQUESTS[name](self.run, self._experiment))

    def send(self, path: str, body: dict[str, Any] | None) -> Any:
        """Send a request of a run; return the answer."""
        try:
            return self._send_once(path, body)
        except ConnectionError:
            # Servers close a connection that was idle while others were asked.
            self._connection.close()
            return self._send_once(path, body)

    def _send_once(self, path: str, body: dict[str, Any] | None) -> Any:
        self._connection.request(
            "POST" if body else "GET",
            f"/api/2.0/mlflow/runs/{path}",
            json.dumps(body) if body else None,
            self._headers,
        )
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise AssertionError(f"{path}: {answer.status} {content!r}")
        return json.loads(content)


@dataclass
class Partner:
    """A server, or the SQL alone, that is compared.

    Attributes
    ----------
    asks
        What asks it, one for each client.
    """

    name: str
    asks: list[Callable[[str], Any]]
    seconds: list[float] = field(default_factory=list)

    def turn(self, request: str) -> None:
        """Ask from one client, one request after the other; keep the median."""
        taken = []
        for _ in range(REQUESTS_PER_TURN):
            started = time.perf_counter()
            self.asks[0](request)
            taken.append(time.perf_counter() - started)
        self.seconds.append(statistics.median(taken))

    def crowd(self, request: str) -> None:
        """Ask from all clients at once; keep the seconds for each request."""

        def work(ask: Callable[[str], Any]) -> None:
            for _ in range(REQUESTS_OF_A_CLIENT):
                ask(request)

        started = time.perf_counter()
        with ThreadPoolExecutor(len(self.asks)) as pool:
            list(pool.map(work, self.asks))
        taken = time.perf_counter() - started
        self.seconds.append(taken / len(self.asks) / REQUESTS_OF_A_CLIENT)


def _floor(cluster: Cluster, database: str, run: str) -> Callable[[str], Any]:
    """Return what runs the SQL of a request on a connection of its own."""
    connection = cluster.connect(database)

    def ask(request: str) -> Any:
        step = next(_number)
        keys = KEYS if request == "log batch of 10" else KEYS[:1]
        values = {"run": run, "new": uuid.uuid4().hex, "step": step, "keys": keys, "experiment": 0}
        with connection.cursor() as cursor:
            cursor.execute(FLOOR[request], values)
            return cursor.fetchall() if cursor.description else None

    return ask


def _comparable(value: Any) -> Any:
    """Return an answer without ids, in an order of its own."""
    if isinstance(value, dict):
        return {name: _comparable(one) for name, one in value.items()}
    if isinstance(value, list):
        return sorted((_comparable(one) for one in value), key=repr)
    return RUN.sub("<run>", value) if isinstance(value, str) else type(value).__name__


def compare(
    servers: dict[str, Server], cluster: Cluster, database: str, experiment: str = "0"
) -> None:
    """Print the milliseconds of each request, of one client and of many.

    Parameters
    ----------
    servers
        Servers by their names. "ours" and "stock" have to answer the same.
    cluster, database
        Where the floor writes.
    experiment
        An experiment that all of them have.
    """
    partners = [
        Partner(name, [Client(server, experiment).ask for _ in range(CLIENTS)])
        for name, server in servers.items()
    ]
    run = Client(servers["ours"], experiment).run
    partners.append(Partner("floor", [_floor(cluster, database, run) for _ in range(CLIENTS)]))
    for request in REQUESTS:
        answers = {}
        start = _number.last
        for partner in partners:
            # The same numbers in each request.
            _number.last = start
            answers[partner.name] = _comparable(partner.asks[0](request))
        ours, stock = answers["ours"], answers["stock"]
        if ours != stock:
            raise AssertionError(f"{request}: the servers' answers differ: {ours} {stock}")
    for clients, turns, ask in ((1, TURNS, Partner.turn), (CLIENTS, 3, Partner.crowd)):
        names = " | ".join(f"{partner.name}, ms" for partner in partners)
        print(f"\n| {clients} client{'s' * (clients > 1)} | {names} | stock / ours |")
        print("|---" * (len(partners) + 2) + "|")
        for request in REQUESTS:
            for partner in partners:
                # Once for each connection: then the servers know the login.
                for one in partner.asks:
                    one(request)
                partner.seconds.clear()
            for _ in range(turns):
                for partner in partners:
                    ask(partner, request)
            found = {partner.name: statistics.median(partner.seconds) for partner in partners}
            cells = " | ".join(f"{found[partner.name] * 1000:.2f}" for partner in partners)
            print(f"| {request} | {cells} | {found['stock'] / found['ours']:.1f} |", flush=True)


@contextmanager
def fasttrackml(program: str, cluster: Cluster, directory: Path) -> Iterator[Server]:
    """Run FastTrackML on a database of its own; stop it.

    Parameters
    ----------
    program
        Its program `fml`.
    """
    cluster.execute("CREATE DATABASE fasttrackml")
    port = free_port()
    url = cluster.url("fasttrackml").replace("postgresql+psycopg2", "postgres")
    command = [
        *(shutil.which(program) or program, "server", "--listen-address", f"127.0.0.1:{port}"),
        *("--database-uri", url, "--default-artifact-root", str(directory / "fasttrackml")),
    ]
    with (
        (directory / "fasttrackml-log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            server = Server(f"http://127.0.0.1:{port}", process)
            with contextlib.suppress(TimeoutError):
                wait(server)
            yield server
        finally:
            process.terminate()
