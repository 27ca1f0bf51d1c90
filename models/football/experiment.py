"""One experiment: one MLflow run with a model for each side.

1. Create the run.
2. Train and evaluate both models (`football.training`).
3. Log everything to the run (`football.run_logging`).
4. Set the run to FINISHED.
5. If step 2 or 3 fails or is interrupted, set the run to FAILED or KILLED instead, with the reason
   in its tag `error`. No run stays RUNNING.

Two rules hold for the requests to the tracking server:

- *Retry*: `tracking.with_retries` repeats a request while the server is unavailable. A request that
  creates something comes with a function that finds it. So a lost answer creates nothing twice.
- *Defer*: Ctrl-C does not break off a request that creates or ends a run (`interruption.deferred`).
  It takes effect at the next `interruption.check`.
"""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

from mlflow import MlflowClient
from mlflow.entities import Param, RunTag

from football import interruption, run_logging, tracking
from football.run_logging import described_parameters
from football.task import Outcome
from football.tracking import with_retries
from football.training import train

if TYPE_CHECKING:
    from mlflow.entities import Run

    from football.task import Task

_LONGEST_REASON = 1000


def run(task: Task) -> Outcome:
    """Run one experiment.

    Parameters
    ----------
    task
        The experiment.

    Returns
    -------
    Outcome
        FINISHED; or FAILED or KILLED, with the reason, which is the run's tag `error` as well.

    Raises
    ------
    mlflow.exceptions.MlflowException
        If the server refuses to create or to end the run.
    """
    started = time.monotonic()
    client = MlflowClient()
    with interruption.deferred():
        created = _create_run(client, task)
    run_id: str = created.info.run_id

    metrics: dict[str, float] = {}
    reason = ""
    try:
        trained = train(task.config, task.table, task.name)
        run_logging.log(client, task, created, trained)
        interruption.check()
        with interruption.deferred():
            with_retries(lambda: client.set_terminated(run_id, "FINISHED"))
        status, metrics = "FINISHED", trained.metrics
    except KeyboardInterrupt:
        interruption.acknowledge()
        status, reason = "KILLED", "interrupted"
    except Exception as error:  # noqa: BLE001 -- the other experiments go on, whatever the error
        text = f"{type(error).__name__}: {tracking.reason(error)}"
        status, reason = "FAILED", text[:_LONGEST_REASON]
    if status != "FINISHED":
        parameters = described_parameters(task.config)
        with interruption.deferred():
            end_run(client, run_id, status, reason, parameters)
    seconds = time.monotonic() - started
    return Outcome(task.name, status, seconds, run_id, reason, metrics)


def end_run(
    client: MlflowClient,
    run_id: str,
    status: str,
    reason: str,
    parameters: dict[str, str] | None = None,
) -> None:
    """End a run that did not finish, with the reason and with what it was about."""
    params = [Param(name, value) for name, value in (parameters or {}).items()]
    tags = [RunTag("error", reason)]
    with_retries(lambda: client.log_batch(run_id, params=params, tags=tags))
    with_retries(lambda: client.set_terminated(run_id, status))


def _create_run(client: MlflowClient, task: Task) -> Run:
    """Create the run, once: its tag `attempt` finds it if the server's answer was lost."""
    tags = _tags(task)

    def create() -> Run:
        return client.create_run(task.experiment_id, run_name=task.config.run_name, tags=tags)

    def find() -> Run | None:
        found = client.search_runs([task.experiment_id], f"tags.attempt = '{task.attempt}'")
        return found[0] if found else None

    return with_retries(create, find)


def _tags(task: Task) -> dict[str, str]:
    """Return the config's tags, the task's, and those that identify the run; the last win."""
    of_config = {name: str(value) for name, value in task.config.tags.items()}
    identifying = {
        "model_type": task.config.model_type,
        "config_sha256": task.config.sha256,
        "data_sha256": task.table.sha256,
        "attempt": task.attempt,
        "worker": f"{socket.gethostname()}:{os.getpid()}",
    }
    return of_config | task.tags | identifying
