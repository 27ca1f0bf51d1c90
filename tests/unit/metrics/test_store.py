"""The statement, against the tables that MLflow itself makes."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import certifi
import pytest
from mlflow.entities import Metric, RunStatus, RunTag
from mlflow.store.model_registry.sqlalchemy_store import (
    SqlAlchemyStore as SqlAlchemyModelRegistryStore,
)
from settings import Database, Selection
from snapshot import Counts, Run, Snapshot
from store import Store, UnavailableError, comment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.postgres import Cluster
    from tests.unit.metrics.conftest import Tracking


@pytest.fixture
def opened() -> Iterator[Callable[[dict[str, str]], Store]]:
    stores: list[Store] = []

    def open_store(settings: dict[str, str]) -> Store:
        stores.append(
            Store(Database.from_environment(settings), Selection.from_environment(settings))
        )
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


@pytest.fixture
def store(tracking: Tracking, opened: Callable[[dict[str, str]], Store]) -> Store:
    return opened(tracking.settings)


@pytest.fixture
def select(
    tracking: Tracking, opened: Callable[[dict[str, str]], Store]
) -> Callable[..., Snapshot]:
    """Return what is found with settings of METRICS_*."""

    def found(**settings: str) -> Snapshot:
        own = {f"METRICS_{name.upper()}": value for name, value in settings.items()}
        return opened(tracking.settings | own).latest()

    return found


def numbers(counts: Counts) -> dict[tuple[str, str | None], float]:
    assert counts.trouble == ""
    return {(count.what, count.kind): count.number for count in counts.numbers}


def metrics(run: Run) -> dict[str, float]:
    return dict(zip(run.keys, map(float, run.values), strict=True))


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
        Run(
            *(newer, "newer", "RUNNING", 1001, None, int(experiment), "liga"),
            tags=[None],
            keys=("mse_local",),
            values=["0.5"],
        )
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


def test_deleted_run_is_replaced_by_the_previous_one(store: Store, tracking: Tracking) -> None:
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


def test_values_that_are_not_finite_are_read_back(store: Store, tracking: Tracking) -> None:
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


def test_many_at_once_share_the_connections_that_the_role_may_have(
    tracking: Tracking, opened: Callable[[dict[str, str]], Store]
) -> None:
    tracking.run("0", {"mse": 1})
    # How fast they are is the machine's business.
    settings = tracking.settings | {"DATABASE_TIMEOUT_SECONDS": "30"}
    stores = [opened(settings) for _ in range(30)]
    tracking.cluster.execute("ALTER ROLE mlflow_metrics CONNECTION LIMIT 4")
    try:
        with ThreadPoolExecutor(len(stores)) as pool:
            found = list(pool.map(lambda store: store.latest(), stores))
            again = list(pool.map(lambda store: store.latest(), stores))
    finally:
        tracking.cluster.execute("ALTER ROLE mlflow_metrics CONNECTION LIMIT -1")

    assert [len(snapshot.runs) for snapshot in found + again] == [1] * 60


def test_exhausted_connections_are_reported_in_time(
    tracking: Tracking, opened: Callable[[dict[str, str]], Store]
) -> None:
    tracking.cluster.execute("ALTER ROLE mlflow_metrics CONNECTION LIMIT 0")
    try:
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="no connection left for this role"):
            opened(tracking.settings).latest()
        assert time.monotonic() - started < 2
    finally:
        tracking.cluster.execute("ALTER ROLE mlflow_metrics CONNECTION LIMIT -1")


def test_broken_connection_is_reopened_within_the_request(store: Store, tracking: Tracking) -> None:
    store.latest()
    tracking.cluster.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name = 'mlflow-metrics'"
    )

    assert store.latest().runs == []


def test_stopped_database_is_reported_at_once_and_recovers(store: Store, cluster: Cluster) -> None:
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


def test_silent_database_is_given_up_after_two_seconds(
    tracking: Tracking, opened: Callable[[dict[str, str]], Store]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        store = opened(tracking.settings | {"DATABASE_PORT": port})
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="in time"):
            store.latest()

    assert 1 < time.monotonic() - started < 2


@pytest.mark.parametrize("name", ["DATABASE_TIMEOUT_SECONDS", "DATABASE_ANSWER_SECONDS"])
def test_time_can_be_set(
    tracking: Tracking, opened: Callable[[dict[str, str]], Store], name: str
) -> None:
    store = opened(tracking.settings | {name: "0"})

    with pytest.raises(UnavailableError, match="in time"):
        store.latest()


def test_answer_that_takes_longer_than_a_sign_of_life_is_waited_for(
    tracking: Tracking, opened: Callable[[dict[str, str]], Store]
) -> None:
    store = opened(tracking.settings | {"DATABASE_TIMEOUT_SECONDS": "0.5"})
    store.latest()
    with contextlib.closing(tracking.cluster.connect(tracking.database)) as connection:
        connection.autocommit = False
        connection.cursor().execute("LOCK TABLE runs")
        release = threading.Timer(1.2, connection.rollback)
        release.start()
        started = time.monotonic()
        assert store.latest().runs == []
        taken = time.monotonic() - started
        release.join()

    assert taken > 1


def test_frozen_database_is_given_up_after_two_seconds(store: Store, tracking: Tracking) -> None:
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


def test_database_without_tables_of_mlflow_names_the_cure(
    cluster: Cluster, opened: Callable[[dict[str, str]], Store]
) -> None:
    with pytest.raises(UnavailableError, match="start the tracking server"):
        opened(cluster.settings("postgres")).latest()


def test_role_without_select_names_the_cure(store: Store, tracking: Tracking) -> None:
    tracking.cluster.execute("REVOKE SELECT ON runs FROM mlflow_metrics", tracking.database)

    with pytest.raises(UnavailableError, match=r"run site\.yml again"):
        store.latest()


def test_certificate_of_another_authority_is_refused(
    tracking: Tracking, opened: Callable[[dict[str, str]], Store]
) -> None:
    other = opened(tracking.settings | {"DATABASE_SSLROOTCERT": certifi.where()})

    with pytest.raises(UnavailableError) as caught:
        other.latest()

    assert "certificate verify failed" in str(caught.value.__cause__)


def test_read_only_role_is_sufficient(store: Store, tracking: Tracking) -> None:
    tracking.cluster.execute("ALTER ROLE mlflow_metrics SET default_transaction_read_only = on")
    try:
        assert store.latest().runs == []
    finally:
        tracking.cluster.execute("ALTER ROLE mlflow_metrics RESET default_transaction_read_only")


INDEX = (
    "CREATE INDEX mlflow_latest_run ON runs (experiment_id, start_time DESC, run_uuid)"
    " WHERE lifecycle_stage = 'active'"
)


def test_without_the_index_the_same_runs_are_found(store: Store, tracking: Tracking) -> None:
    for number in range(4):
        experiment = tracking.store.create_experiment(f"liga {number}")
        for start in [5, 7, 7, 3]:
            tracking.run(experiment, {"mse": start}, start=start)
        tracking.store.delete_run(tracking.run(experiment, {"mse": 9}, start=9))
    tracking.store.delete_experiment("4")
    slow = store.latest()
    tracking.cluster.execute(INDEX, tracking.database)
    quick = store.latest()

    assert (slow.indexed, quick.indexed) == (False, True)
    assert len(quick.runs) == 3
    assert sorted(slow.runs) == sorted(quick.runs)


def test_statement_uses_the_index(store: Store, tracking: Tracking) -> None:
    tracking.cluster.execute(
        "INSERT INTO runs (run_uuid, lifecycle_stage, start_time, experiment_id)"
        " SELECT md5(n::text), 'active', n, 0 FROM generate_series(1, 10000) AS n",
        tracking.database,
    )
    tracking.cluster.execute(f"{INDEX}; ANALYZE runs", tracking.database)
    store.latest()
    # Statistics reach the view with some delay, but all of a closed connection's are there.
    store.close()

    for _ in range(50):
        [(scans,)] = tracking.cluster.execute(
            "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'mlflow_latest_run'",
            tracking.database,
        )
        if scans:
            break
        time.sleep(0.1)
    assert scans == 1


def test_migration_under_a_kept_connection_is_survived(store: Store, tracking: Tracking) -> None:
    tracking.run("0", {"mse": 1})
    store.latest()
    tracking.cluster.execute("ALTER TABLE runs ALTER name TYPE varchar(500)", tracking.database)

    assert len(store.latest().runs) == 1


def test_filters_match_whole_names(select: Callable[..., Snapshot], tracking: Tracking) -> None:
    for name in ["liga", "liga 2", "scratch/liga"]:
        tracking.run(tracking.store.create_experiment(name), {"mse": 1, "mse_local": 2, "r2": 3})

    by_experiment = select(experiments="liga|liga 3")
    by_name = select(experiments="liga", names="mse(_.*)?")
    without = select(experiments="(?!scratch/).*")

    assert [run.experiment_name for run in by_experiment.runs] == ["liga"]
    assert by_experiment.dropped == {"experiment": 2 * (3 + 2)}
    assert set(metrics(by_name.runs[0])) == {"mse", "mse_local"}
    assert by_name.dropped == {"experiment": 2 * (3 + 2), "name": 1}
    assert {run.experiment_name for run in without.runs} == {"liga", "liga 2"}


def test_filter_that_leaves_no_metric_leaves_the_run(
    select: Callable[..., Snapshot], tracking: Tracking
) -> None:
    tracking.run("0", {"mse": 1})

    found = select(names="none")

    assert [run.keys for run in found.runs] == [()]
    assert found.dropped == {"name": 1}


def test_invalid_filter_is_named(select: Callable[..., Snapshot], tracking: Tracking) -> None:
    tracking.run("0", {})

    with pytest.raises(UnavailableError, match=r"not a valid pattern: .*parentheses"):
        select(experiments="liga (2")


def test_filter_cannot_change_the_statement(select: Callable[..., Snapshot]) -> None:
    assert select(experiments="'; DROP TABLE runs; --\\", names="%s %(names)s").runs == []


def test_latest_run_that_is_too_old_is_left_out(
    select: Callable[..., Snapshot], tracking: Tracking
) -> None:
    now = int(time.time() * 1000)
    old, new = (tracking.store.create_experiment(name) for name in ("old", "new"))
    tracking.run(old, {"mse": 1, "r2": 1}, start=now - 100_000)
    tracking.run(new, {"mse": 1}, start=now - 10_000)

    found = select(max_age_seconds="50")

    assert [run.experiment_name for run in found.runs] == ["new"]
    assert found.dropped == {"age": 2 + 2}


def test_limit_serves_the_newest_runs_and_the_last_of_them_in_part(
    select: Callable[..., Snapshot], tracking: Tracking
) -> None:
    for start in [1, 3, 2, 4]:
        experiment = tracking.store.create_experiment(f"liga {start}")
        tracking.run(experiment, {"c": 1, "a": 2, "b": 3}, start=start)

    # The newest takes 2 + 3, the next 2 + 1 of its 3.
    found = select(max_series="8")

    assert [run.experiment_name for run in found.runs] == ["liga 4", "liga 3"]
    assert set(found.runs[0].keys) == {"a", "b", "c"}
    assert found.runs[1].keys == ("a",)
    assert metrics(found.runs[1]) == {"a": 2}
    assert found.dropped == {"limit": 2 + 2 * (2 + 3)}


def test_limit_that_leaves_no_room_for_a_metric_leaves_the_run(
    select: Callable[..., Snapshot], tracking: Tracking
) -> None:
    tracking.run("0", {"mse": 1})

    assert [run.keys for run in select(max_series="2").runs] == [()]
    assert select(max_series="1").runs == []
    assert select(max_series="1").dropped == {"limit": 3}


def test_tags_come_in_the_order_that_was_asked_for(
    select: Callable[..., Snapshot], tracking: Tracking
) -> None:
    run_id = tracking.run("0", {})
    for key, value in [("model_type", "Poisson"), ("team/a", "A"), ("other", "B")]:
        tracking.store.set_tag(run_id, RunTag(key, value))

    assert select(tags='["absent\'", "team/a"]').runs[0].tags == ["Poisson", None, "A"]


def test_counts_are_those_of_mlflow(store: Store, tracking: Tracking) -> None:
    gone = tracking.store.create_experiment("gone")
    tracking.store.delete_experiment(gone)
    finished = tracking.run("0", {})
    tracking.store.update_run_info(finished, RunStatus.FINISHED, 2000, None)
    tracking.run("0", {})
    tracking.store.delete_run(tracking.run("0", {}))

    counts = store.latest().counts

    assert numbers(counts) == {
        ("experiments", "active"): 1,
        ("experiments", "deleted"): 1,
        ("runs", "FINISHED"): 1,
        ("runs", "RUNNING"): 1,
        ("runs_estimated", None): 0,
        ("registered_models", None): 0,
        ("model_versions", None): 0,
    }
    assert time.time() - 60 < counts.counted_at <= time.time()


def test_models_are_counted(store: Store, tracking: Tracking) -> None:
    untyped: Any = SqlAlchemyModelRegistryStore
    registry = untyped(tracking.cluster.url(tracking.database))
    registry.create_registered_model("champion")
    for _ in range(3):
        registry.create_model_version("champion", "mlflow-artifacts:/model", None)
    registry.delete_model_version("champion", "2")
    registry.engine.dispose()

    counted = numbers(store.latest().counts)

    assert counted["registered_models", None] == 1
    assert counted["model_versions", None] == 2


def test_very_many_runs_are_estimated(
    store: Store, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        run_id = tracking.run("0", {})
        if number < 15:
            tracking.store.update_run_info(run_id, RunStatus.FINISHED, 2000, None)
    tracking.cluster.execute("ANALYZE runs", tracking.database)
    monkeypatch.setattr("store.COUNTED_RUNS", 19)

    counted = numbers(store.latest().counts)

    assert counted["runs_estimated", None] == 1
    assert counted["runs", "FINISHED"] == 15
    assert counted["runs", "RUNNING"] == 5


def test_counts_are_kept_for_a_while(
    store: Store, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.latest().counts
    tracking.run("0", {})

    assert store.latest().counts is before
    monkeypatch.setattr(store, "_counts_due", 0.0)
    assert numbers(store.latest().counts)["runs", "RUNNING"] == 1


def test_missing_counts_do_not_prevent_the_runs(store: Store, tracking: Tracking) -> None:
    tracking.run("0", {"mse": 1})
    tracking.cluster.execute(
        "REVOKE SELECT ON registered_models FROM mlflow_metrics", tracking.database
    )

    for _ in range(2):
        found = store.latest()
        assert len(found.runs) == 1
        assert "permission denied" in found.counts.trouble


@pytest.mark.parametrize(
    ("request_id", "expected"),
    [
        ("UbX1jgJvIAMEPWw=", " /*request_id='UbX1jgJvIAMEPWw%3D'*/"),
        ("a-b_c", " /*request_id='a-b_c'*/"),
        ("", ""),
        ("a'*/; DROP TABLE runs", ""),
        ("a" * 65, ""),
        ("a\n", ""),
        ("é", ""),
    ],
)
def test_comment_holds_ids_only(request_id: str, expected: str) -> None:
    assert comment(request_id) == expected


def test_statements_carry_the_id_in_postgresql_log(
    cluster: Cluster, tracking: Tracking, opened: Callable[[dict[str, str]], Store]
) -> None:
    cluster.execute(f"ALTER DATABASE {tracking.database} SET log_min_duration_statement = 0")
    try:
        opened(tracking.settings).latest("UbX1jgJvIAMEPWw=")
    finally:
        cluster.execute(f"ALTER DATABASE {tracking.database} RESET log_min_duration_statement")

    log = (cluster.directory / "log").read_text()
    assert "statement: EXECUTE latest_runs /*request_id='UbX1jgJvIAMEPWw%3D'*/" in log
    assert "statement: EXECUTE counts /*request_id='UbX1jgJvIAMEPWw%3D'*/" in log
