"""The statement, against the tables that MLflow itself makes."""

from __future__ import annotations

import math
import os
import signal
import socket
import time
from typing import TYPE_CHECKING

import certifi
import pytest
from exposition import Run
from mlflow.entities import Metric, RunStatus
from store import Database, Store, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.unit.metrics.conftest import Cluster, Tracking


@pytest.fixture
def opened() -> Iterator[Callable[[dict[str, str]], Store]]:
    stores: list[Store] = []

    def open_store(settings: dict[str, str]) -> Store:
        stores.append(Store(Database.from_environment(settings)))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


@pytest.fixture
def store(tracking: Tracking, opened: Callable[[dict[str, str]], Store]) -> Store:
    return opened(tracking.settings)


def metrics(run: Run) -> dict[str, float]:
    return dict(zip(run.keys, run.values, strict=True))


def test_untouched_database_has_a_schema_and_no_runs(store: Store) -> None:
    snapshot = store.latest()

    assert snapshot.schema
    assert snapshot.runs == []


def test_latest_run_wins_over_older_finished_run(store: Store, tracking: Tracking) -> None:
    experiment = tracking.store.create_experiment("liga")
    older = tracking.run(experiment, {"mse_local": 1.5}, start=1000)
    tracking.store.update_run_info(older, RunStatus.FINISHED, 2000, None)
    newer = tracking.run(experiment, {"mse_local": 0.5}, start=1001, name="newer")

    assert store.latest().runs == [
        Run(newer, "newer", "RUNNING", int(experiment), "liga", ("mse_local",), (0.5,))
    ]


def test_value_is_the_one_logged_last(store: Store, tracking: Tracking) -> None:
    run_id = tracking.run("0", {"loss": 3.0})
    store.latest()
    tracking.store.log_batch(run_id, metrics=[Metric("loss", 1 / 3, 2, 1)], params=[], tags=[])

    assert [metrics(run) for run in store.latest().runs] == [{"loss": 1 / 3}]


def test_each_experiment_has_its_own_run(store: Store, tracking: Tracking) -> None:
    experiments = [tracking.store.create_experiment(f"liga {n}") for n in range(3)]
    logged = {tracking.run(experiment, {"f1": n}) for n, experiment in enumerate(experiments)}

    assert {run.run_id for run in store.latest().runs} == logged


def test_deleted_run_gives_way_to_the_one_before_it(store: Store, tracking: Tracking) -> None:
    before = tracking.run("0", {"mse": 1.0}, start=1)
    deleted = tracking.run("0", {"mse": 2.0}, start=2)
    tracking.store.delete_run(deleted)

    assert [run.run_id for run in store.latest().runs] == [before]


def test_deleted_experiment_disappears(store: Store, tracking: Tracking) -> None:
    experiment = tracking.store.create_experiment("liga")
    tracking.run(experiment, {"mse": 1.0})
    tracking.store.delete_experiment(experiment)

    assert store.latest().runs == []


def test_run_without_metrics_is_known(store: Store, tracking: Tracking) -> None:
    run_id = tracking.run("0", {})

    assert [(run.run_id, run.keys) for run in store.latest().runs] == [(run_id, ())]


def test_values_that_are_no_numbers_survive_mlflows_way_of_keeping_them(
    store: Store, tracking: Tracking
) -> None:
    tracking.run(
        "0", {"nan": math.nan, "most": math.inf, "least": -math.inf, "zero": 0.0, "tiny": 5e-324}
    )

    found = metrics(store.latest().runs[0])

    assert math.isnan(found.pop("nan"))
    assert found == {"most": math.inf, "least": -math.inf, "zero": 0.0, "tiny": 5e-324}


@pytest.mark.parametrize(
    "name", ["val/acc", "val acc", "val-acc", "val.acc:1", "1st", "précision", "精度", "a_b"]
)
def test_any_name_that_mlflow_takes_arrives(store: Store, tracking: Tracking, name: str) -> None:
    tracking.run("0", {name: 1.0})

    assert metrics(store.latest().runs[0]) == {name: 1.0}


def test_connection_is_kept(store: Store, tracking: Tracking) -> None:
    count = "SELECT pid FROM pg_stat_activity WHERE application_name = 'mlflow-metrics'"
    store.latest()
    first = tracking.cluster.execute(count)
    store.latest()

    assert len(first) == 1
    assert tracking.cluster.execute(count) == first


def test_broken_connection_is_reopened_within_the_question(
    store: Store, tracking: Tracking
) -> None:
    store.latest()
    tracking.cluster.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name = 'mlflow-metrics'"
    )

    assert store.latest().runs == []


def test_stopped_database_is_told_at_once_and_its_return_is_noticed(
    store: Store, cluster: Cluster
) -> None:
    store.latest()
    cluster.stop()
    try:
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="no connection"):
            store.latest()
        with pytest.raises(UnavailableError, match="no connection"):
            store.latest()
        assert time.monotonic() - started < 2
    finally:
        cluster.start()

    assert store.latest().runs == []


def test_database_that_accepts_and_says_nothing_is_given_up_in_two_seconds(
    tracking: Tracking, opened: Callable[[dict[str, str]], Store]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        store = opened(tracking.settings | {"DATABASE_PORT": port})
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="in time"):
            store.latest()

    assert 1 < time.monotonic() - started < 2


def test_time_for_an_answer_can_be_set(
    tracking: Tracking, opened: Callable[[dict[str, str]], Store]
) -> None:
    store = opened(tracking.settings | {"DATABASE_TIMEOUT_SECONDS": "0"})

    with pytest.raises(UnavailableError, match="in time"):
        store.latest()


def test_database_that_freezes_is_given_up_in_two_seconds(store: Store, tracking: Tracking) -> None:
    store.latest()
    [(pid,)] = tracking.cluster.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'mlflow-metrics'"
    )
    os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="in time"):
            store.latest()
        assert time.monotonic() - started < 2
    finally:
        os.kill(pid, signal.SIGCONT)

    assert store.latest().runs == []


def test_database_without_tables_of_mlflow_says_what_to_do(
    cluster: Cluster, opened: Callable[[dict[str, str]], Store]
) -> None:
    with pytest.raises(UnavailableError, match="start the tracking server"):
        opened(cluster.settings("postgres")).latest()


def test_role_that_may_not_read_says_what_to_do(store: Store, tracking: Tracking) -> None:
    tracking.cluster.execute("REVOKE SELECT ON runs FROM mlflow_metrics", tracking.database)

    with pytest.raises(UnavailableError, match=r"run site\.yml again"):
        store.latest()


def test_server_that_another_authority_signed_is_not_believed(
    tracking: Tracking, opened: Callable[[dict[str, str]], Store]
) -> None:
    other = opened(tracking.settings | {"DATABASE_SSLROOTCERT": certifi.where()})

    with pytest.raises(UnavailableError) as caught:
        other.latest()

    assert "certificate verify failed" in str(caught.value.__cause__)


def test_reader_needs_no_right_to_write(store: Store, tracking: Tracking) -> None:
    tracking.cluster.execute("ALTER ROLE mlflow_metrics SET default_transaction_read_only = on")
    try:
        assert store.latest().runs == []
    finally:
        tracking.cluster.execute("ALTER ROLE mlflow_metrics RESET default_transaction_read_only")
