"""Train the experiment that a config describes, and log it to the deployment.

Where the deployment is stands in the environment, as .deploy/<deployment>/mlflow.env exports it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from football import config as configs
from football import data
from football.errors import BadInputError, TrainingError
from football.tracking import check_server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DATA = Path(__file__).resolve().parent / "data"
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
        help="where the table of the config lies (by default in the working directory, beside the "
        "config, or in the project's data)",
    )
    options = parser.parse_args(arguments)
    try:
        _train(options.config, options.data_dir)
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


def _train(config_path: Path, data_directory: Path | None) -> None:
    """Check the cheap things first, then train."""
    config = configs.load(config_path)
    path = data.locate(config.dataset.file_path, config_path, DATA, data_directory)
    table = data.load(path, config, config_path)
    check_server(os.environ)
    # Clients need not tell MLflow's makers what they do, and this program prints the address.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

    # Importing these takes seconds, which nobody should wait for to learn of a typing error.
    from football import estimators, experiment  # noqa: PLC0415 -- see above
    from mlflow import MlflowException  # noqa: PLC0415 -- see above

    def make() -> Any:
        return estimators.make(config, config_path)

    make()
    try:
        result = experiment.run(config, table, make)
    except MlflowException as error:
        raise BadInputError(f"the tracking server does not take the run: {error}") from None
    uri = os.environ["MLFLOW_TRACKING_URI"].rstrip("/")
    print(f"run         {result.run_id}")
    print(f"experiment  {config.experiment_name}")
    print(f"url         {uri}/#/experiments/{result.experiment_id}/runs/{result.run_id}\n")
    print(table_of(result.metrics))


def table_of(metrics: Mapping[str, float]) -> str:
    """Arrange the metrics: what is measured downwards, of whom across."""
    columns = ("local", "visitante", "promedio")
    lines = [f"{'':<9}" + "".join(f"  {column:>9}" for column in columns)]
    for name in dict.fromkeys(metric.rpartition("_")[0] for metric in metrics):
        cells = [metrics.get(f"{name}_{column}") for column in columns]
        texts = ["" if cell is None else f"{cell:.4f}" for cell in cells]
        lines.append((f"{name:<9}" + "".join(f"  {text:>9}" for text in texts)).rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    # Who is told to end ends the run as well, as at Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
