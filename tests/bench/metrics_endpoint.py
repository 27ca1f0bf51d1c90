"""How fast GET /metrics is, beside asking MLflow over REST and beside reading a ready table.

    python -m tests.bench.metrics_endpoint [--sizes 10x10 100x100 1000x100 1000x1000]

Each size fills MLflow's own tables in a PostgreSQL of its own, starts a stock MLflow server with
one worker, and measures in one go:

- original: what this project's forerunner did: the first 8 experiments, a page of runs of each;
- N+1: all experiments, and of each the latest run, over one connection that is kept; once on the
  tables as MLflow makes them, and once with the index of role mlflow, which helps it as well;
- warm: the function, called as Lambda does, with its connection open; also with gzip;
- fresh: a new process that imports the function, connects and answers;
- floor: the same values as rows of a ready table, over a connection that is open.

All ways that return all runs have to return the same values. The machine's speed cancels out in the
ratios; the times alone mean little.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import gc
import hashlib
import io
import json
import math
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from tests.bench.filled_schema import INDEX, Size, fill
from tests.conftest import ROOT
from tests.postgres import Cluster, running_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FUNCTION = ROOT / "lambda/metrics"
TOKEN = "token-of-the-bench"
LARGEST = 1.7976931348623157e308
# Where asking all experiments would take minutes, so many are asked, and the time is scaled up.
SAMPLE = 50
SAMPLED_RUNS = 500_000

Values = dict[tuple[str, str], float]


@dataclass
class Result:
    """Seconds of each way, medians, and how many values differ between the ways."""

    size: Size
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    series: int = 0
    differences: int = 0


class Function:
    """The metrics function in this process."""

    def __init__(self, environment: dict[str, str]) -> None:
        sys.path.insert(0, str(FUNCTION))
        from handler import Endpoint  # noqa: PLC0415  it lies where it is in Lambda

        self._endpoint = Endpoint.from_environment(environment)

    def ask(self, accept_encoding: str = "identity") -> dict[str, Any]:
        """Ask as API Gateway does; what the function logs goes nowhere."""
        with contextlib.redirect_stdout(io.StringIO()):
            return self._endpoint.answer(event(accept_encoding))


def event(accept_encoding: str) -> dict[str, Any]:
    """Return a request as API Gateway hands it on."""
    content: dict[str, Any] = json.loads((ROOT / "tests/events/get_metrics.json").read_text())
    content["headers"] |= {
        "authorization": f"Bearer {TOKEN}",
        "accept-encoding": accept_encoding,
    }
    return content


def parse_values(text: str) -> Values:
    """Return the values of a text in Prometheus' format."""
    lines = re.findall(r'^mlflow_(\w+)\{run_id="(\w+)"\} (\S+)$', text, re.MULTILINE)
    return {(run_id, name): float(value) for name, run_id, value in lines}


@contextmanager
def mlflow_server(cluster: Cluster, database: str, directory: Path) -> Iterator[str]:
    """Run a stock MLflow server with one worker; yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1", "--backend-store-uri", cluster.url(database)),
        *("--artifacts-destination", str(directory)),
    ]
    log = (directory / f"{database}.log").open("w")
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with (
        log,
        subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        ) as process,
    ):
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(240):
                with contextlib.suppress(requests.RequestException):
                    if requests.get(f"{url}/health", timeout=5).ok:
                        break
                time.sleep(0.5)
            else:
                raise TimeoutError(f"MLflow does not start: {log.name}")
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)


class Rest:
    """MLflow over REST."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/api/2.0/mlflow"
        self._session = requests.Session()

    def _ask(self, what: str, **body: Any) -> dict[str, Any]:
        answer = self._session.post(f"{self._url}/{what}/search", json=body, timeout=600)
        answer.raise_for_status()
        content: dict[str, Any] = answer.json()
        return content

    def experiments(self) -> list[str]:
        """Return the ids of all active experiments."""
        found: list[str] = []
        further: dict[str, str] = {}
        while True:
            page = self._ask("experiments", max_results=1000, **further)
            found += [item["experiment_id"] for item in page.get("experiments", [])]
            if not page.get("next_page_token"):
                return found
            further = {"page_token": page["next_page_token"]}

    def latest(self, experiments: list[str]) -> Values:
        """Return the values of the latest run of each experiment, one question each."""
        values: Values = {}
        for experiment in experiments:
            page = self._ask(
                "runs",
                experiment_ids=[experiment],
                max_results=1,
                order_by=["attributes.start_time DESC"],
            )
            for run in page.get("runs", []):
                for metric in run["data"].get("metrics", []):
                    value = float(metric["value"])
                    # MLflow does not turn back into infinity what it keeps for it.
                    value = math.copysign(math.inf, value) if abs(value) == LARGEST else value
                    values[run["info"]["run_id"], metric["key"]] = value
        return values

    def as_the_original(self) -> None:
        """Ask as this project's forerunner did."""
        page = self._ask("experiments", max_results=8)
        for experiment in page.get("experiments", []):
            self._ask("runs", experiment_ids=[experiment["experiment_id"]], max_results=1000)


def median(way: Callable[[], object], times: int) -> float:
    """Return the median of so many calls, in seconds."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        way()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def differing(one: Values, other: Values) -> int:
    """Return how many values are not the same; NaN is the same as NaN."""
    same = sum(
        1
        for key, value in one.items()
        if key in other and (value == other[key] or (value != value and other[key] != other[key]))  # noqa: PLR0124
    )
    return len(one.keys() | other.keys()) - same


def floor(cluster: Cluster, database: str) -> Callable[[], object]:
    """Make a table with the values of the latest runs; return the way to read it."""
    cluster.execute(
        "CREATE TABLE ready AS SELECT run_uuid, key, CASE WHEN is_nan THEN 'NaN' ELSE value END"
        " FROM experiments CROSS JOIN LATERAL (SELECT run_uuid FROM runs"
        "   WHERE runs.experiment_id = experiments.experiment_id"
        "   AND runs.lifecycle_stage = 'active' ORDER BY start_time DESC, run_uuid LIMIT 1) AS r"
        " JOIN latest_metrics USING (run_uuid) WHERE lifecycle_stage = 'active'",
        database,
    )
    cluster.execute("VACUUM ANALYZE ready", database)
    connection = cluster.connect(database)

    def read() -> object:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM ready")
            return cursor.fetchall()

    return read


def fresh_process(environment: dict[str, str], directory: Path) -> Callable[[], object]:
    """Return the way to let a new process with the package's modules and bytecode answer once."""
    package = directory / "package"
    if not package.exists():
        shutil.copytree(FUNCTION, package, ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(package, quiet=1)
    (directory / "event.json").write_text(json.dumps(event("gzip")))
    program = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import handler;"
        " assert handler.handler(json.load(open(sys.argv[2])), None)['statusCode'] == 200"
    )

    def answer() -> object:
        return subprocess.run(
            [sys.executable, "-c", program, package, directory / "event.json"],
            env={"PATH": os.environ["PATH"], **environment},
            stdout=subprocess.DEVNULL,
            check=True,
        )

    return answer


def settings(cluster: Cluster, database: str) -> dict[str, str]:
    """Return the function's environment."""
    return cluster.settings(database) | {
        "METRICS_TOKEN_SHA256": hashlib.sha256(TOKEN.encode()).hexdigest(),
        "DATABASE_TIMEOUT_SECONDS": "60",
    }


def measure(cluster: Cluster, size: Size, directory: Path) -> Result:
    """Measure all ways at one size."""
    database = f"bench_{size}"
    result = Result(size)
    started = time.monotonic()
    fill(cluster, database, size, index=False)
    say(f"{size}: filled in {time.monotonic() - started:.0f} s")
    with mlflow_server(cluster, database, directory) as url:
        rest = Rest(url)
        experiments = asked = rest.experiments()
        if size.experiments * size.runs > SAMPLED_RUNS:
            asked = experiments[:: max(1, len(experiments) // SAMPLE)]
            result.notes.append(
                f"{size}: N+1 scaled up from {len(asked)} of {len(experiments)} experiments"
            )
        rest.latest(asked[:2])
        times = 5 if len(asked) < 1000 else 1
        scale = len(experiments) / len(asked)
        theirs: Values = {}
        result.seconds["N+1"] = median(lambda: theirs.update(rest.latest(asked)), times) * scale
        result.seconds["original"] = median(rest.as_the_original, 3)
        cluster.execute(f"{INDEX}; ANALYZE runs", database)
        result.seconds["N+1, index"] = median(lambda: rest.latest(asked), times) * scale
    environment = settings(cluster, database)
    function = Function(environment)
    ours = parse_values(function.ask()["body"])
    result.series = len(ours)
    runs = {run_id for run_id, _ in theirs}
    comparable = {key: value for key, value in ours.items() if key[0] in runs or scale == 1}
    result.differences = differing(comparable, theirs)
    say(f"{size}: {result.differences} differences among {len(theirs)} values over REST")
    # What this process holds beside the function is not in Lambda's.
    gc.collect()
    gc.freeze()
    read = floor(cluster, database)
    # Side by side, so that what slows the machine for a while slows all.
    ways: dict[str, list[float]] = {"warm": [], "warm, gzip": [], "floor": []}
    for _ in range(25):
        ways["warm"].append(median(function.ask, 1))
        ways["warm, gzip"].append(median(lambda: function.ask("gzip"), 1))
        ways["floor"].append(median(read, 1))
    result.seconds |= {name: statistics.median(taken) for name, taken in ways.items()}
    result.seconds["fresh"] = median(fresh_process(environment, directory), 9)
    return result


def growth(cluster: Cluster) -> list[tuple[str, list[tuple[Size, float]]]]:
    """Measure the warm function as runs grow at fixed series, and as series grow at fixed runs."""
    lines = []
    for name, sizes in [
        ("runs", [Size(100, runs) for runs in (10, 100, 1000)]),
        ("series", [Size(100, 10, metrics) for metrics in (2, 20, 200)]),
    ]:
        functions = []
        for size in sizes:
            database = f"growth_{name}_{size}_{size.metrics}"
            fill(cluster, database, size)
            functions.append(Function(settings(cluster, database)))
            functions[-1].ask()
        taken: list[list[float]] = [[] for _ in sizes]
        for _ in range(25):
            for function, seconds in zip(functions, taken, strict=True):
                seconds.append(median(function.ask, 1))
        medians = [statistics.median(seconds) for seconds in taken]
        lines.append((name, list(zip(sizes, medians, strict=True))))
    return lines


def say(text: str) -> None:
    """Show progress, beside the result."""
    print(text, file=sys.stderr, flush=True)


def show(results: list[Result]) -> None:
    """Print the ratios."""
    print("| experiments x runs | series | N+1 / warm | with index | original / warm", end="")
    print(" | N+1 / fresh | warm / floor | gzip / floor | warm | differences |")
    print("|---" * 10 + "|")
    for result in results:
        seconds = result.seconds
        print(
            f"| {result.size} | {result.series}"
            f" | {seconds['N+1'] / seconds['warm']:,.0f}"
            f" | {seconds['N+1, index'] / seconds['warm']:,.0f}"
            f" | {seconds['original'] / seconds['warm']:,.0f}"
            f" | {seconds['N+1'] / seconds['fresh']:,.1f}"
            f" | {seconds['warm'] / seconds['floor']:.2f}"
            f" | {seconds['warm, gzip'] / seconds['floor']:.2f}"
            f" | {seconds['warm'] * 1000:.2f} ms"
            f" | {result.differences} |"
        )
    for result in results:
        for note in result.notes:
            print(f"\n{note}")


def show_growth(lines: list[tuple[str, list[tuple[Size, float]]]]) -> None:
    """Print what ten times as much costs."""
    print("\n| ten times the | from | to | costs |\n|---|---|---|---|")
    for name, measured in lines:
        for (small, quick), (large, slow) in pairwise(measured):
            print(
                f"| {name} | {small}, {small.metrics} metrics | {large}, {large.metrics} metrics"
                f" | {slow / quick:.2f} times |"
            )


def main() -> int:
    """Measure what was asked for; fail if any way returns other values."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["10x10", "100x100", "1000x100", "1000x1000"])
    options = parser.parse_args()
    sizes = [Size(*map(int, text.split("x"))) for text in options.sizes]
    results = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        running_cluster(shared_buffers="512MB", maintenance_work_mem="512MB") as cluster,
    ):
        for size in sizes:
            results.append(measure(cluster, size, Path(name)))
            show(results[-1:])
        lines = growth(cluster)
    show(results)
    show_growth(lines)
    return 1 if any(result.differences for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
