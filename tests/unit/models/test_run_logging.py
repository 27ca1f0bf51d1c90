"""What one experiment logs while others log at the same moment."""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING

from football import run_logging
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag

if TYPE_CHECKING:
    from tests.loopback_server import TrackingServer

RUNS, ROUNDS = 6, 5


def test_runs_that_log_the_same_dataset_at_once_all_have_it(tracking: TrackingServer) -> None:
    client = MlflowClient(tracking.url)
    for _ in range(ROUNDS):
        experiment_id = client.create_experiment(f"at once {uuid.uuid4()}")
        run_ids = [client.create_run(experiment_id).info.run_id for _ in range(RUNS)]
        start = threading.Barrier(RUNS)
        failures: list[Exception] = []

        def log(run_id: str, start: threading.Barrier, failures: list[Exception]) -> None:
            dataset = Dataset("partidos", uuid.UUID(int=7).hex, "code", "{}")
            start.wait()
            try:
                run_logging.log_dataset(
                    client,
                    run_id,
                    DatasetInput(dataset, [InputTag("mlflow.data.context", "training")]),
                )
            except Exception as failure:  # noqa: BLE001 -- asserted in the main thread
                failures.append(failure)

        threads = [
            threading.Thread(target=log, args=(run_id, start, failures)) for run_id in run_ids
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert not failures
        for run_id in run_ids:
            inputs = client.get_run(run_id).inputs
            assert inputs is not None
            [found] = inputs.dataset_inputs
            assert found.dataset.name == "partidos"
