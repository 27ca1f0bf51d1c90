"""Every query of every panel has data, from real programs: Prometheus, its exporters, PostgreSQL.

The tracking server's metrics come from MLflow's own exporter in a small Flask application, and
those of the endpoint from the function.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import json
import math
import os
import runpy
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import jinja2
import psycopg2
import pytest
import yaml
from mlflow.entities import Metric, Param, RunStatus
from mlflow.store.model_registry.sqlalchemy_store import (
    SqlAlchemyStore as SqlAlchemyModelRegistryStore,
)

from dashboards.__main__ import texts
from tests.conftest import ROOT
from tests.postgres import PASSWORD, Cluster, open_store, running_cluster
from tests.tracking_server import environment
from tests.unit.dashboards import draw, queries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

sys.path.insert(0, str(ROOT / "lambda/metrics"))
BACKUP_PROGRAM = ROOT / "roles/monitoring/files/backup_time.py"
PAGES = {name: json.loads(text) for name, text in texts().items()}
READER = "Reader-1"
TOKEN = "token-of-the-dashboards"
EXPORTERS = {
    name: shutil.which(f"prometheus-{name}-exporter") for name in ("node", "postgres", "blackbox")
}
APPLICATION = """
import sys, flask
from mlflow.server.prometheus_exporter import activate_prometheus_exporter
app = flask.Flask("mlflow")
activate_prometheus_exporter(app)
@app.get("/ok")
def ok(): return "ok"
@app.get("/broken")
def broken(): flask.abort(500)
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector
registry = CollectorRegistry()
MultiProcessCollector(registry)
start_http_server(int(sys.argv[2]), "127.0.0.1", registry)
app.run("127.0.0.1", int(sys.argv[1]))
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


@contextmanager
def program(*command: object, log: Path, **environment: str) -> Iterator[None]:
    """Run a program in the background."""
    with (
        log.open("w") as file,
        subprocess.Popen(
            [str(part) for part in command], stdout=file, stderr=file, env=os.environ | environment
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()


@contextmanager
def served(
    handler: type[http.server.BaseHTTPRequestHandler], tls: Path | None = None
) -> Iterator[int]:
    """Run an HTTP server in a thread; yield its port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "server.crt", tls / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class Quiet(http.server.BaseHTTPRequestHandler):
    """Answers 200."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def filled_database(cluster: Cluster) -> None:
    """Let MLflow make its tables, and log runs, a champion and a failed run."""
    cluster.execute("CREATE DATABASE history")
    cluster.execute(f"CREATE ROLE mlflow_reader LOGIN PASSWORD '{READER}'")
    store = open_store(cluster.url("history"))
    cluster.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO mlflow_metrics", "history")
    defaults = yaml.safe_load((ROOT / "roles/mlflow_database/defaults/main.yml").read_text())
    text = (ROOT / "roles/mlflow_database/templates/history.sql.j2").read_text()
    cluster.execute(jinja2.Template(text).render(defaults), "history")
    untyped: Any = SqlAlchemyModelRegistryStore
    registry = untyped(cluster.url("history"))
    now = int(time.time() * 1000)
    for name in ["poisson", "it's"]:
        experiment = store.create_experiment(name)
        registry.create_registered_model(f"model of {name}")
        for number in range(3):
            start = now - 3_600_000 + number * 600_000
            run = store.create_run(experiment, "ana", start, [], f"run {number}")
            run_id = run.info.run_id
            loss = [
                Metric("loss", 1 / (step + 1) + number / 10, start + step * 5000, step)
                for step in range(100)
            ]
            store.log_batch(run_id, loss, [Param("depth", str(number))], [])
            store.update_run_info(run_id, RunStatus.FINISHED, start + 500_000, None)
            version = registry.create_model_version(
                f"model of {name}", "mlflow-artifacts:/m", run_id
            )
            if number == 1:
                registry.set_registered_model_alias(f"model of {name}", "champion", version.version)
        failed = store.create_run(experiment, "ana", now - 7_200_000, [], "failed")
        store.update_run_info(failed.info.run_id, RunStatus.FAILED, now - 7_100_000, None)
    registry.engine.dispose()
    store.engine.dispose()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Cluster]]:
    """A Prometheus that has scraped everything for some seconds; its URL, and the database."""
    missing = sorted(name for name, path in EXPORTERS.items() if path is None)
    assert not missing, f"install prometheus-{{{','.join(missing)}}}-exporter"
    folder = tmp_path_factory.mktemp("prometheus")
    with ExitStack() as stack:
        cluster = stack.enter_context(running_cluster())
        filled_database(cluster)
        settings = cluster.settings("history") | {
            "METRICS_TOKEN_SHA256": hashlib.sha256(TOKEN.encode()).hexdigest(),
            "DATABASE_TIMEOUT_SECONDS": "30",
        }
        from handler import Endpoint  # noqa: PLC0415  it is where it is in Lambda

        endpoint = Endpoint.from_environment(settings)
        lock = threading.Lock()

        class Metrics(Quiet):
            """Asks the function, as API Gateway does."""

            def do_GET(self) -> None:
                event = json.loads((ROOT / "tests/events/get_metrics.json").read_text())
                event["headers"] |= {"authorization": f"Bearer {TOKEN}", "accept-encoding": ""}
                with lock, contextlib.redirect_stdout(io.StringIO()):
                    answer = endpoint.answer(event)
                self.send_response(answer["statusCode"])
                self.send_header("content-type", answer["headers"]["content-type"])
                self.end_headers()
                self.wfile.write(answer["body"].encode())

        function = stack.enter_context(served(Metrics))
        tls = stack.enter_context(served(Quiet, cluster.directory))
        ports = {
            name: free_port() for name in ("app", "mlflow", "node", "postgres", "blackbox", "own")
        }
        (folder / "multiprocess").mkdir()
        (folder / "textfile").mkdir()
        runpy.run_path(str(BACKUP_PROGRAM))["write"](
            folder / "textfile/backup.prom", time.time() - 240
        )
        (folder / "app.py").write_text(APPLICATION)
        (folder / "blackbox.yml").write_text(
            "modules: {server: {prober: http, http: {tls_config: {insecure_skip_verify: true}}}}"
        )
        listen = "--web.listen-address=127.0.0.1:{}"
        programs: list[tuple[str, list[object], dict[str, str]]] = [
            (
                "app",
                [environment(), folder / "app.py", ports["app"], ports["mlflow"]],
                {
                    "PROMETHEUS_MULTIPROC_DIR": str(folder / "multiprocess"),
                    "prometheus_multiproc_dir": str(folder / "multiprocess"),
                },
            ),
            (
                "node",
                [
                    EXPORTERS["node"],
                    listen.format(ports["node"]),
                    f"--collector.textfile.directory={folder}/textfile",
                ],
                {},
            ),
            (
                "postgres",
                [EXPORTERS["postgres"], listen.format(ports["postgres"])],
                {
                    "DATA_SOURCE_NAME": f"postgresql://mlflow:{PASSWORD}@127.0.0.1:{cluster.port}/history?sslmode=require"
                },
            ),
            (
                "blackbox",
                [
                    EXPORTERS["blackbox"],
                    listen.format(ports["blackbox"]),
                    f"--config.file={folder}/blackbox.yml",
                ],
                {},
            ),
        ]
        for name, command, own in programs:
            stack.enter_context(program(*command, log=folder / f"{name}.log", **own))
        jobs: list[dict[str, Any]] = [
            {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
            for name, port in {
                "endpoint": function,
                **{n: ports[n] for n in ("mlflow", "node", "postgres")},
            }.items()
        ]
        jobs.append(
            {
                "job_name": "server",
                "metrics_path": "/probe",
                "params": {"module": ["server"], "target": [f"https://127.0.0.1:{tls}/health"]},
                "static_configs": [{"targets": [f"127.0.0.1:{ports['blackbox']}"]}],
            }
        )
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": jobs,
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))
        stack.enter_context(
            program(
                *("prometheus", f"--config.file={folder}/prometheus.yml"),
                *(listen.format(ports["own"]), f"--storage.tsdb.path={folder}/data"),
                log=folder / "prometheus.log",
            )
        )
        url = f"http://127.0.0.1:{ports['own']}/api/v1"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            for path in ("ok", "broken"):
                with contextlib.suppress(OSError):
                    fetch(f"http://127.0.0.1:{ports['app']}/{path}")
            with contextlib.suppress(OSError):
                up = asked(url, "sum(sum_over_time(up[1m]) > 8)")
                if up and float(up[0]["value"][1]) >= 5 * 9 and len(asked(url, "up == 1")) == 5:
                    break
            time.sleep(0.5)
        else:
            raise TimeoutError([path.read_text()[-500:] for path in folder.glob("*.log")])
        yield url, cluster


def asked(url: str, expression: str, **window: object) -> list[Any]:
    """Ask Prometheus for the last values, or for those of a window."""
    kind = "query_range" if window else "query"
    parameters = urllib.parse.urlencode({"query": expression, **window})
    try:
        answer = json.loads(fetch(f"{url}/{kind}?{parameters}"))
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{expression}: {error.read().decode()}") from error
    result: list[Any] = answer["data"]["result"]
    return result


@pytest.mark.parametrize(
    ("panel", "expression", "instant"),
    [
        pytest.param(*query, id=f"{query[0]} {number}")
        for number, query in enumerate(queries.promql(PAGES))
    ],
)
def test_promql_has_data(
    prometheus: tuple[str, Cluster], panel: str, expression: str, *, instant: bool
) -> None:
    url, _ = prometheus
    end = time.time()
    window = {} if instant else {"start": end - 60, "end": end, "step": 1}

    found = asked(url, queries.filled(expression), **window)

    values = [
        float(value) for series in found for _, value in series.get("values", [series.get("value")])
    ]
    assert values, panel
    assert any(math.isfinite(value) for value in values), panel


@pytest.mark.parametrize(
    ("panel", "statement"), [pytest.param(*query, id=query[0]) for query in queries.sql(PAGES)]
)
def test_sql_has_rows(prometheus: tuple[str, Cluster], panel: str, statement: str) -> None:
    _, cluster = prometheus
    with (
        closing(
            psycopg2.connect(
                host="127.0.0.1",
                port=cluster.port,
                dbname="history",
                user="mlflow_reader",
                password=READER,
                sslmode="require",
            )
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(queries.filled(statement))
        rows = cursor.fetchall()

    assert rows, panel


def test_latest_value_and_difference_are_those_of_mlflow(prometheus: tuple[str, Cluster]) -> None:
    url, _ = prometheus
    by_title = {name: expression for name, expression, _ in queries.promql(PAGES)}
    latest = asked(url, queries.filled(by_title["experiments.json: $metric of the latest runs"]))
    difference = asked(
        url,
        queries.filled(
            by_title["experiments.json: $metric of the latest runs minus the champion's"]
        ),
    )

    assert {s["metric"]["experiment_name"]: float(s["value"][1]) for s in latest} == {
        "poisson": 0.01 + 0.2,
        "it's": 0.01 + 0.2,
    }
    assert {s["metric"]["model"]: round(float(s["value"][1]), 9) for s in difference} == {
        "model of poisson": 0.1,
        "model of it's": 0.1,
    }


@pytest.mark.parametrize("name", sorted(PAGES))
def test_picture_of_dashboard_has_no_empty_panel(
    prometheus: tuple[str, Cluster], tmp_path: Path, name: str
) -> None:
    """Draw the dashboards by a page of ours; DASHBOARD_PICTURES keeps the pictures."""
    url, cluster = prometheus
    end = time.time()

    def ask(target: dict[str, Any]) -> list[Any]:
        window = {} if target.get("instant") else {"start": end - 60, "end": end, "step": 1}
        return asked(url, queries.filled(target["expr"]), **window)

    def read(statement: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        with closing(cluster.connect("history")) as connection, connection.cursor() as cursor:
            cursor.execute(queries.filled(statement))
            return [column.name for column in cursor.description], cursor.fetchall()

    text, (width, height) = draw.page(PAGES[name], ask, read, queries.filled)

    assert "No data" not in text
    assert text.count('class="panel"') == len(PAGES[name]["panels"])
    chromium = shutil.which("chromium")
    folder = os.environ.get("DASHBOARD_PICTURES")
    if folder and chromium:
        file = tmp_path / "page.html"
        file.write_text(text)
        picture = f"{folder}/dashboard-{name.removesuffix('.json')}.png"
        command = [
            *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *(f"--screenshot={picture}", f"--window-size={width},{height}", f"file://{file}"),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
