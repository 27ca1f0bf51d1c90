"""How long an experiment takes with requests in the background, beside one request at a time.

    python -m tests.bench.run_logging

Both ways run the same experiment against the same server in turns; the medians count. The machine's
speed cancels out in the ratio.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.conftest import ROOT
from tests.postgres import running_cluster
from tests.tracking_server import ADMIN, ADMIN_PASSWORD, deployed_server

MODELS = ROOT / "models"
CONFIG = MODELS / "configs/poisson.json"
AT_ONCE = ("1", "4")
# In one process, so that imports and connections of the first run do not count.
PROGRAM = """
import os, sys, time, uuid
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from football import worker
from football.naming import registered
from football.preparation import prepare
from football.task import Task
prepared = prepare(Path(sys.argv[2]), None)
assert not worker.check([(prepared.name, prepared.config)], os.environ["MLFLOW_TRACKING_URI"])
config = prepared.config
names = [registered(config.model_type, target) for target in config.dataset.targets]
plan = worker.plan([config.experiment_name], [], names, dry=False)
number = plan.experiment_ids[config.experiment_name]
ways = sys.argv[4:]
for turn in range(int(sys.argv[3]) + 1):
    for at_once in ways if turn % 2 else reversed(ways):
        os.environ["FOOTBALL_REQUESTS_AT_ONCE"] = at_once
        attempt = uuid.uuid4().hex
        task = Task(prepared.name, config, prepared.table, number, attempt, register=True)
        started = time.perf_counter()
        _, outcome = worker.work(task, worker.Stop())
        assert outcome.status == "FINISHED", outcome
        if turn:
            print(at_once, time.perf_counter() - started)
"""


def main() -> None:
    """Print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15, help="runs of each kind")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = stack.enter_context(running_cluster())
        cluster.execute("CREATE DATABASE bench")
        server = stack.enter_context(deployed_server(cluster, "bench", folder))
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, MODELS, CONFIG, str(options.repeat), *AT_ONCE],
            env={
                "PATH": os.environ["PATH"],
                "HOME": os.environ["HOME"],
                "MLFLOW_TRACKING_URI": server.url,
                "MLFLOW_TRACKING_USERNAME": ADMIN,
                "MLFLOW_TRACKING_PASSWORD": ADMIN_PASSWORD,
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    seconds: dict[str, list[float]] = {at_once: [] for at_once in AT_ONCE}
    for line in done.stdout.splitlines():
        at_once, value = line.split()
        seconds[at_once].append(float(value))
    one, several = (statistics.median(seconds[at_once]) for at_once in AT_ONCE)
    print(f"one request at a time: {one:.2f} s; {AT_ONCE[1]} at a time: {several:.2f} s")
    print(f"ratio: {several / one:.2f}")


if __name__ == "__main__":
    main()
