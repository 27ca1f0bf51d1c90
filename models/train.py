"""Train the experiment that a config describes, and log it to the deployment.

The environment names the deployment, as .deploy/<deployment>/mlflow.env exports it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from football import worker
from football.background import requests_at_once
from football.connection import check_server
from football.errors import BadInputError, TrainingError
from football.naming import METRICS, SIDES, registered
from football.preparation import prepare, provenance_tags
from football.task import Task
from football.tracking import patience

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from football.task import Outcome

TRAINING_FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="the JSON file, such as configs/poisson.json")
    parser.add_argument(
        "--data-dir",
        type=Path,
        help="the directory of the config's table (default: the working directory, the config's "
        "directory, or the project's data)",
    )
    parser.add_argument(
        "--metric",
        choices=METRICS,
        default="mse",
        help="the metric that decides on champions (mse)",
    )
    parser.add_argument(
        "--no-register", dest="register", action="store_false", help="register no models"
    )
    options = parser.parse_args(arguments)
    try:
        _train(options)
    except BadInputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return TRAINING_FAILED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def _train(options: argparse.Namespace) -> None:
    """Check the cheap things first, then train."""
    prepared = prepare(options.config, options.data_dir)
    patience(os.environ)
    requests_at_once(os.environ)
    check_server(os.environ)
    uri = os.environ["MLFLOW_TRACKING_URI"]
    if complaints := worker.check([(prepared.name, prepared.config)], uri):
        raise BadInputError("\n".join(complaints))
    config = prepared.config
    models = [registered(config.model_type, target) for target in config.dataset.targets]
    plan = worker.plan([config.experiment_name], [], models if options.register else [], dry=False)
    task = Task(
        name=prepared.name,
        config=config,
        table=prepared.table,
        experiment_id=plan.experiment_ids[config.experiment_name],
        attempt=f"{uuid.uuid4().hex}-0",
        tags=provenance_tags(),
        register=options.register,
    )
    _, outcome = worker.work(task, worker.Stop())
    if not outcome.run_id:
        if outcome.reason == worker.INTERRUPTED:
            raise KeyboardInterrupt
        raise BadInputError(f"the tracking server refuses the run: {outcome.reason}")
    if outcome.status == "KILLED":
        raise KeyboardInterrupt
    if outcome.status != "FINISHED":
        raise TrainingError(f"run {outcome.run_id} {outcome.status}: {outcome.reason}")
    _show(outcome, task, uri.rstrip("/"))
    if options.register:
        competing = {name: [outcome.run_id] for name in models}
        for champion in worker.promote_champion(competing, [task.experiment_id], options.metric):
            print(champion.describe(options.metric))


def _show(outcome: Outcome, task: Task, uri: str) -> None:
    """Print the run, its address and its metrics."""
    print(f"run         {outcome.run_id}")
    print(f"experiment  {task.config.experiment_name}")
    print(f"url         {uri}/#/experiments/{task.experiment_id}/runs/{outcome.run_id}\n")
    print(f"{table_of(outcome.metrics)}\n")


def table_of(metrics: Mapping[str, float]) -> str:
    """Return the metrics as a table: one row per metric, one column per side."""
    columns = (*SIDES, "promedio")
    lines = [f"{'':<29}" + "".join(f"  {column:>9}" for column in columns)]
    single = [name for name in metrics if name.rpartition("_")[2] not in columns]
    rows = [name.rpartition("_")[0] for name in metrics if name not in single]
    for name in dict.fromkeys(rows):
        cells = [metrics.get(f"{name}_{column}") for column in columns]
        texts = ["" if cell is None else f"{cell:.4f}" for cell in cells]
        lines.append((f"{name:<29}" + "".join(f"  {text:>9}" for text in texts)).rstrip())
    lines += [f"{name:<29}{'':>22}  {metrics[name]:>9.4f}" for name in single]
    return "\n".join(lines)


if __name__ == "__main__":
    # SIGTERM ends the run as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
