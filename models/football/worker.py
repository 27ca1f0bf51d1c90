"""Functions that run in the worker processes. Heavy packages are imported where they are needed."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from football import interruption, tracking
from football.errors import BadInputError, TrainingError, shown
from football.task import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from football.config import Config
    from football.registry import Champion
    from football.task import Task

_REQUESTS_AT_ONCE = 8
NOT_RUN = "NOT RUN"
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Stop:
    """How a worker is asked to stop: by a file in this directory, or by an event of Dask's."""

    directory: str = ""
    event: str = ""

    def is_requested(self) -> bool:
        """Return whether to stop."""
        if self.event:
            from distributed import Event  # noqa: PLC0415 -- not everyone has a cluster

            return bool(Event(self.event).is_set())
        return bool(self.directory) and (Path(self.directory) / "stop").exists()

    def register_process(self) -> None:
        """Write a file with the id of this process, which gets the signal."""
        if self.directory:
            (Path(self.directory) / f"{os.getpid()}.pid").touch()


@dataclass(frozen=True)
class Plan:
    """The experiments' ids by name, and the FINISHED runs by the digests of config and table."""

    experiment_ids: dict[str, str]
    finished: dict[tuple[str, str], tuple[str, dict[str, float]]] = field(default_factory=dict)


def check(configs: list[tuple[str, Config]], tracking_uri: str) -> list[str]:
    """Return the mistakes in the estimators of these configs, and import what the runs need."""
    if os.environ.get("MLFLOW_TRACKING_URI") != tracking_uri:
        complaint = (
            "a worker logs to another server than this program. Source the same mlflow.env before "
            "you start the workers"
        )
        return [complaint]
    tracking.configure_mlflow_client()
    from football import estimators, experiment  # noqa: F401, PLC0415 -- takes seconds

    complaints = []
    for name, config in configs:
        try:
            estimators.make(config, name)
        except BadInputError as error:
            complaints.append(str(error))
    return complaints


def plan(
    experiments: Iterable[str], tables: Iterable[str], models: Iterable[str], *, dry: bool
) -> Plan:
    """Find or create the experiments and registered models; find the FINISHED runs.

    Parameters
    ----------
    experiments
        Names of experiments.
    tables
        Digests of tables.
    models
        Names of registered models.
    dry
        Create nothing.

    Raises
    ------
    BadInputError
        If the server refuses.
    """
    tracking.configure_mlflow_client()
    from mlflow import MlflowClient, MlflowException  # noqa: PLC0415 -- see above

    from football import registry  # noqa: PLC0415 -- takes seconds

    client = MlflowClient()
    names = list(experiments)
    try:
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
            ids = dict(zip(names, pool.map(partial(_find_experiment, client), names), strict=True))
            if not dry:
                missing = [name for name, number in ids.items() if not number]
                created = pool.map(partial(_create_experiment, client), missing)
                ids |= zip(missing, created, strict=True)
                # A thread raises its error only where its result is read.
                list(pool.map(partial(registry.prepare, client), models))
        found = Plan({name: number for name, number in ids.items() if number})
        for table in tables:
            _find_finished(client, found, table)
    except MlflowException as error:
        raise BadInputError(f"the tracking server refuses: {tracking.reason(error)}") from None
    return found


def work(task: Task, stop: Stop) -> tuple[str, Outcome]:
    """Run an experiment, unless a stop is requested; return its attempt with the outcome."""
    return task.attempt, _work(task, stop)


def _work(task: Task, stop: Stop) -> Outcome:
    tracking.configure_mlflow_client()
    from mlflow import MlflowException  # noqa: PLC0415 -- see above

    from football.experiment import run  # noqa: PLC0415 -- takes seconds

    stop.register_process()
    try:
        with interruption.listening(stop.is_requested):
            interruption.check()
            return run(task)
    except KeyboardInterrupt:
        return Outcome(task.name, NOT_RUN, reason=INTERRUPTED)
    except MlflowException as error:
        return Outcome(task.name, NOT_RUN, reason=tracking.reason(error))


def promote_champion(
    models: dict[str, list[str]], experiments: list[str], metric: str
) -> list[Champion]:
    """Promote the best runs to champions of their registered models.

    Parameters
    ----------
    models
        The identifiers of the runs that compete, by the name of the registered model.
    experiments
        The identifiers of the experiments that the runs are in.
    metric
        One of naming.METRICS.

    Raises
    ------
    TrainingError
        If the server refuses.
    """
    tracking.configure_mlflow_client()
    from mlflow import MlflowClient, MlflowException  # noqa: PLC0415 -- see above

    from football import registry  # noqa: PLC0415 -- takes seconds

    client = MlflowClient()
    ids = dict.fromkeys(run_id for run_ids in models.values() for run_id in run_ids)
    try:
        runs = registry.runs_by_id(client, experiments, ids)

        def promote(name: str) -> Champion | None:
            competing = {run_id: runs[run_id] for run_id in models[name] if run_id in runs}
            return registry.promote_champion(client, name, metric, competing)

        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
            return [found for found in pool.map(promote, models) if found]
    except MlflowException as error:
        raise TrainingError(
            f"the runs are logged, but the champions are not updated: {tracking.reason(error)}"
        ) from None


def end_orphaned_runs(
    session: str, experiment_ids: list[str], status: str, reason: str
) -> dict[str, str]:
    """End the runs of a session whose worker process died; return their ids by attempt."""
    tracking.configure_mlflow_client()
    from mlflow import MlflowClient, MlflowException  # noqa: PLC0415 -- see above

    from football.experiment import end_run  # noqa: PLC0415 -- takes seconds

    client = MlflowClient()
    wanted = f"tags.attempt LIKE '{session}-%' AND attributes.status = 'RUNNING'"
    try:
        lost = tracking.with_retries(lambda: client.search_runs(experiment_ids, wanted))
        for run in lost:
            end_run(client, run.info.run_id, status, reason)
    except MlflowException as error:
        raise TrainingError(
            f"a worker ended, and its runs may stay RUNNING: {tracking.reason(error)}"
        ) from None
    return {run.data.tags["attempt"]: run.info.run_id for run in lost}


def _find_experiment(client: Any, name: str) -> str | None:
    found = tracking.with_retries(lambda: client.get_experiment_by_name(name))
    if found is None:
        return None
    if found.lifecycle_stage != "active":
        raise BadInputError(
            f"the experiment {shown(name)} is deleted. Restore it (mlflow experiments restore "
            f"--experiment-id {found.experiment_id}) or set experiment_name to another name"
        )
    return str(found.experiment_id)


def _create_experiment(client: Any, name: str) -> str:
    def find() -> str | None:
        found = client.get_experiment_by_name(name)
        return str(found.experiment_id) if found else None

    from mlflow import MlflowException  # noqa: PLC0415 -- takes seconds

    try:
        return str(tracking.with_retries(lambda: client.create_experiment(name), find))
    except MlflowException as error:
        # Another process created it at the same time.
        if error.error_code == "RESOURCE_ALREADY_EXISTS" and (number := find()):
            return number
        raise


def _find_finished(client: Any, found: Plan, table: str) -> None:
    """Add the FINISHED runs with this table, the latest of each config."""
    token = None
    ids = list(found.experiment_ids.values())
    wanted = f"attributes.status = 'FINISHED' AND tags.data_sha256 = '{table}'"
    order = ["attributes.start_time ASC"]
    while ids:
        page = tracking.with_retries(
            partial(client.search_runs, ids, wanted, order_by=order, page_token=token)
        )
        for run in page:
            config = run.data.tags.get("config_sha256", "")
            found.finished[config, table] = (run.info.run_id, run.data.metrics)
        if not (token := page.token):
            return
