"""How long the project's 29 experiments take, beside the way of its forerunner and the floor.

    python -m tests.bench.experiments

All ways run against the same server in one go, with the settings that role mlflow writes:

- original: what this project's forerunner did: a process for each config, each parameter and metric
  in a request of its own, requirements of the models inferred, a pause of 2 s between two;
- ours: `models/run_experiments.py --all --again`;
- floor: a program that fits and predicts alone, in as many processes as ours has.

The original logs less (no plots, no dataset, no registered models). Ours must give the floor's
squared errors, with the nine decimals that ours counts with. The machine's speed cancels out in the
ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conftest import ROOT
from tests.postgres import running_cluster
from tests.processes import descendants, memory
from tests.tracking_server import ADMIN, ADMIN_PASSWORD, deployed_server

if TYPE_CHECKING:
    from tests.tracking_server import Server

MODELS = ROOT / "models"
GRID = MODELS / "configs/grid"
PAUSE_SECONDS = 2
DECIMALS = 1e-9

_COMMON = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from football import config as configs, data, estimators
import numpy as np, pandas as pd
from sklearn.model_selection import train_test_split

def fit(path):
    config = configs.load(path)
    table = data.load(Path(sys.argv[1]) / "data/partidos.csv", config, path)
    features, goals = pd.DataFrame(table.features), pd.DataFrame(table.goals)
    training = config.training
    parts = train_test_split(features, goals, test_size=training.test_size,
                             random_state=training.random_state)
    models, predictions = [], []
    for target in config.dataset.targets:
        model = estimators.make(config, str(path))
        model.fit(parts[0], parts[2][target])
        models.append(model)
        predictions.append(model.predict(parts[1]))
    return config, parts, models, predictions

def squared_errors(parts, predictions, targets):
    from sklearn.metrics import mean_squared_error
    return [float(mean_squared_error(parts[3][target], prediction))
            for target, prediction in zip(targets, predictions)]
"""

FLOOR = (
    _COMMON
    + """
def work(path):
    config, parts, _, predictions = fit(path)
    return config.sha256, squared_errors(parts, predictions, config.dataset.targets)

from joblib import Parallel, delayed
paths = [Path(path) for path in sys.argv[2:]]
if __name__ == "__main__":
    found = Parallel(n_jobs=-1, batch_size=1, pre_dispatch="all")(delayed(work)(p) for p in paths)
    print(json.dumps(dict(found)))
"""
)

ORIGINAL = (
    _COMMON
    + """
import mlflow, mlflow.sklearn
from football.evaluation import evaluate
path = Path(sys.argv[2])
config, parts, models, predictions = fit(path)
mlflow.set_experiment("original")
with mlflow.start_run(run_name=config.run_name):
    for name, value in config.parameters.items():
        mlflow.log_param(name, value)
    for name, value in config.tags.items():
        mlflow.set_tag(name, value)
    metrics = evaluate(parts[3].to_numpy(), np.column_stack(predictions))
    for name, value in metrics.items():
        mlflow.log_metric(name, value)
    for side, model in zip(("local", "visitante"), models):
        # The format that MLflow would take by itself cannot hold a random forest.
        mlflow.sklearn.log_model(model, name="model_" + side, serialization_format="cloudpickle")
"""
)


def say(text: str) -> None:
    """Show progress, beside the result."""
    print(text, file=sys.stderr, flush=True)


class Watch:
    """Looks for the largest process below one, while it runs."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.largest = 0
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while Path(f"/proc/{self._pid}").exists():
            sizes = [memory(pid) for pid in (self._pid, *descendants(self._pid))]
            self.largest = max(self.largest, *sizes)
            time.sleep(0.25)


def run(arguments: list[Any], environment: dict[str, str]) -> tuple[float, str, int]:
    """Run a program; return its seconds, what it printed, and the size of its largest process."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, text=True
    )
    watch = Watch(process.pid)
    output, _ = process.communicate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments, output)
    return time.perf_counter() - started, output, watch.largest


def squared_errors(server: Server) -> dict[str, list[float]]:
    """Return what our runs logged, by config."""
    found: dict[str, list[float]] = {}
    session, api = server.session(), f"{server.url}/api/2.0/mlflow"
    answer = session.post(f"{api}/experiments/search", json={"max_results": 100}, timeout=60)
    body: dict[str, Any] = {
        "experiment_ids": [one["experiment_id"] for one in answer.json()["experiments"]],
        "filter": "attributes.status = 'FINISHED'",
        "max_results": 1000,
    }
    answer = session.post(f"{api}/runs/search", json=body, timeout=60)
    for one in answer.json()["runs"]:
        tags = {tag["key"]: tag["value"] for tag in one["data"].get("tags", [])}
        metrics = {metric["key"]: metric["value"] for metric in one["data"].get("metrics", [])}
        if "config_sha256" in tags:
            found[tags["config_sha256"]] = [metrics["mse_local"], metrics["mse_visitante"]]
    return found


def same(expected: dict[str, list[float]], found: dict[str, list[float]]) -> bool:
    """Say whether both hold the same configs with the same errors, to nine decimals."""
    return expected.keys() == found.keys() and all(
        abs(one - other) < DECIMALS
        for config, errors in expected.items()
        for one, other in zip(errors, found[config], strict=True)
    )


def main() -> int:
    """Measure; fail if the values differ or the goals are missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="of ours and of the floor (3)")
    parser.add_argument(
        "--sample", type=int, default=1, help="let the original run every nth config alone (1)"
    )
    options = parser.parse_args()
    paths = sorted(GRID.glob("*.json"))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        cluster = stack.enter_context(running_cluster())
        cluster.execute("CREATE DATABASE tracking")
        server = stack.enter_context(deployed_server(cluster, "tracking", directory))
        (directory / "floor.py").write_text(FLOOR)
        (directory / "original.py").write_text(ORIGINAL)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        environment |= {
            "MLFLOW_TRACKING_URI": server.url,
            "MLFLOW_TRACKING_USERNAME": ADMIN,
            "MLFLOW_TRACKING_PASSWORD": ADMIN_PASSWORD,
        }
        ours, floors, largest = [], [], 0
        expected = ""
        # Side by side, so that what slows the machine for a while slows both; the best of each.
        for number in range(options.rounds):
            seconds, expected, _ = run([directory / "floor.py", MODELS, *paths], environment)
            floors.append(seconds)
            seconds, _, size = run([MODELS / "run_experiments.py", "--all", "--again"], environment)
            ours.append(seconds)
            largest = max(largest, size)
            say(f"round {number + 1}: floor {floors[-1]:.1f} s, ours {seconds:.1f} s")
        differences = not same(json.loads(expected), squared_errors(server))
        sample = paths[:: options.sample]
        started = time.perf_counter()
        for path in sample:
            run([directory / "original.py", MODELS, path], environment)
            time.sleep(PAUSE_SECONDS)
        original = (time.perf_counter() - started - PAUSE_SECONDS) * len(paths) / len(sample)
        say(f"original: {original:.0f} s from {len(sample)} of {len(paths)} configs")
    best, floor = min(ours), min(floors)
    print("| 29 experiments | s | of ours |\n|---|---|---|")
    for label, value in [("original", original), ("ours", best), ("floor", floor)]:
        print(f"| {label} | {value:.1f} | {value / best:.2f} |")
    print(f"\noriginal / ours {original / best:.1f}, ours / floor {best / floor:.2f},", end=" ")
    print(f"largest process of ours {largest / 1024**2:.0f} MB,", end=" ")
    print("other values" if differences else "the same values")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
