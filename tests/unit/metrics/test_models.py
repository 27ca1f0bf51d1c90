"""Registered models in GET /metrics, beside MLflow's own registry."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from exposition import Format, render
from mlflow.store.model_registry.sqlalchemy_store import (
    SqlAlchemyStore as SqlAlchemyModelRegistryStore,
)
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from settings import Database, Selection
from store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snapshot import Snapshot

    from tests.unit.metrics.conftest import Tracking

# MLflow forbids only "/" and ":" in it.
STRANGE = 'liga "norte"\\\nñ'
VALUES = {"mse": 0.1, "val/acc": 1 / 3, "nan": math.nan, "most": math.inf, "least": -math.inf}

Labels = dict[str, str]


@pytest.fixture
def registry(tracking: Tracking) -> Iterator[Any]:
    untyped: Any = SqlAlchemyModelRegistryStore
    store = untyped(tracking.cluster.url(tracking.database))
    yield store
    store.engine.dispose()


@pytest.fixture
def opened(tracking: Tracking) -> Iterator[Callable[..., Store]]:
    stores: list[Store] = []

    def open_store(**settings: str) -> Store:
        environment = tracking.settings | {
            f"METRICS_{name.upper()}": value for name, value in settings.items()
        }
        selection = Selection.from_environment(environment)
        stores.append(Store(Database.from_environment(environment), selection))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


def add(registry: Any, model: str, run_id: str | None, *aliases: str) -> int:
    """Add a version, and the model if it is missing; give the version the aliases."""
    if model not in {found.name for found in registry.search_registered_models()}:
        registry.create_registered_model(model)
    version = registry.create_model_version(model, "mlflow-artifacts:/model", run_id).version
    for alias in aliases:
        registry.set_registered_model_alias(model, alias, version)
    return int(version)


def samples(
    snapshot: Snapshot, family: str, form: Format = Format.TEXT
) -> list[tuple[Labels, float]]:
    """Return the samples of a family as Prometheus reads them."""
    parsers: dict[Format, Any] = {
        Format.TEXT: text_string_to_metric_families,
        Format.OPENMETRICS: openmetrics.text_string_to_metric_families,
    }
    return [
        (sample.labels, sample.value)
        for found in parsers[form](render(snapshot, ("model_type",), form))
        for sample in found.samples
        if sample.name == f"mlflowexporter_{family}"
    ]


@pytest.mark.parametrize("form", Format)
def test_aliases_and_metrics_are_those_of_the_registry(
    opened: Callable[..., Store], tracking: Tracking, registry: Any, form: Format
) -> None:
    runs = [tracking.run("0", VALUES | {"number": n}, start=n) for n in range(3)]
    add(registry, STRANGE, runs[0], "champion", "first")
    add(registry, STRANGE, runs[1], "challenger")
    add(registry, "other", runs[2], "champion")
    add(registry, "without a run", None, "champion")
    add(registry, "without an alias", runs[2])
    registry.delete_model_version("other", str(add(registry, "other", runs[2], "deleted")))

    snapshot = opened().latest()

    expected = []
    metrics: dict[tuple[str, str, str], float] = {}
    for model in registry.search_registered_models():
        for alias in sorted(model.aliases):
            version = registry.get_model_version_by_alias(model.name, alias)
            run = {}
            if version.run_id:
                run = {"run_id": version.run_id, "experiment_id": "0"}
                logged = tracking.store.get_run(version.run_id).data.metrics
                metrics |= {(model.name, alias, key): value for key, value in logged.items()}
            named = {"model": model.name, "alias": alias, "version": str(version.version)}
            expected.append((named | run, 1))
    served = {
        (labels["model"], labels["alias"], labels["metric"]): value
        for labels, value in samples(snapshot, "model_metric", form)
    }
    largest = 1.7976931348623157e308

    def as_logged(value: float) -> str:
        # MLflow's API returns the largest number of a double for an infinity.
        return repr(float(math.copysign(math.inf, value) if abs(value) == largest else value))

    assert len(expected) == 5
    assert sorted(samples(snapshot, "model_alias_info", form), key=str) == sorted(expected, key=str)
    assert {key: repr(float(value)) for key, value in served.items()} == {
        key: as_logged(value) for key, value in metrics.items()
    }
    assert len(served) == 4 * (len(VALUES) + 1)


def test_versions_are_those_of_the_registry(
    opened: Callable[..., Store], tracking: Tracking, registry: Any
) -> None:
    older, latest = (tracking.run("0", {"mse": 1}, start=start) for start in (1, 2))
    for run_id in [older, latest, latest]:
        add(registry, STRANGE, run_id)
    registry.delete_model_version(STRANGE, str(add(registry, STRANGE, latest)))
    registry.create_registered_model("empty")

    snapshot = opened().latest()

    assert sorted(samples(snapshot, "registered_model_versions"), key=str) == sorted(
        [
            (
                {"model": model.name},
                len(registry.search_model_versions(f"name = '{model.name}'")),
            )
            for model in registry.search_registered_models()
        ],
        key=str,
    )
    assert samples(snapshot, "run_model_info") == [
        ({"run_id": latest, "model": STRANGE, "version": version}, 1) for version in "23"
    ]


def test_alias_is_served_at_once_and_versions_after_a_while(
    opened: Callable[..., Store],
    tracking: Tracking,
    registry: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id = tracking.run("0", {"mse": 1})
    store = opened()
    assert store.latest().models.aliases == []
    add(registry, "model", run_id, "champion")

    found = store.latest().models

    assert ([alias.alias for alias in found.aliases], found.versions) == (["champion"], [])
    monkeypatch.setattr(store, "_versions_due", 0.0)
    assert [version.run_id for version in store.latest().models.versions] == [run_id]


@pytest.mark.parametrize("what", ["run", "experiment"])
def test_alias_of_something_deleted_stays_without_metrics(
    opened: Callable[..., Store], tracking: Tracking, registry: Any, what: str
) -> None:
    experiment = tracking.store.create_experiment("liga")
    run_id = tracking.run(experiment, {"mse": 1})
    add(registry, "model", run_id, "champion")
    if what == "run":
        tracking.store.delete_run(run_id)
    else:
        tracking.store.delete_experiment(experiment)

    snapshot = opened().latest()

    assert samples(snapshot, "model_metric") == []
    assert samples(snapshot, "model_alias_info") == [
        ({"model": "model", "alias": "champion", "version": "1", "run_id": run_id}, 1)
    ]
    assert snapshot.dropped == {}


def test_filters_apply_to_metrics_of_models(
    opened: Callable[..., Store], tracking: Tracking, registry: Any
) -> None:
    for name in ["liga", "scratch"]:
        run_id = tracking.run(tracking.store.create_experiment(name), {"mse": 1, "r2": 2})
        add(registry, name, run_id, "champion")

    snapshot = opened(experiments="liga", names="mse").latest()

    assert [labels["model"] for labels, _ in samples(snapshot, "model_alias_info")] == [
        "liga",
        "scratch",
    ]
    assert samples(snapshot, "model_metric") == [
        ({"model": "liga", "alias": "champion", "metric": "mse"}, 1)
    ]
    # Of a run as well as of a model; the run of the other experiment has an info and a start.
    assert snapshot.dropped == {"experiment": 2 + 2 + 2, "name": 1 + 1}


# The limit, models and their metrics that are served, and how many samples are left out.
@pytest.mark.parametrize(
    "case", [(1, "a", "", 8), (5, "ab", "aa ac ba", 4), (9, "abc", "aa ac ba bc ca cc", 0)]
)
def test_limit_of_models_serves_the_first_by_name(
    opened: Callable[..., Store],
    tracking: Tracking,
    registry: Any,
    case: tuple[int, str, str, int],
) -> None:
    limit, models, served, dropped = case
    old = tracking.run("0", {"c": 3, "a": 1}, start=1)
    tracking.run("0", {}, start=2)
    for model in ["b", "c", "a"]:
        add(registry, model, old, "champion")

    snapshot = opened(max_model_series=str(limit)).latest()

    infos, metrics, sizes = (
        samples(snapshot, name)
        for name in ("model_alias_info", "model_metric", "registered_model_versions")
    )
    assert "".join(labels["model"] for labels, _ in infos) == models
    assert sorted(labels["model"] + labels["metric"] for labels, _ in metrics) == served.split()
    assert len(sizes) == min(limit, 3)
    assert snapshot.dropped.get("model_limit", 0) == dropped + 3 - len(sizes)
    assert len(snapshot.runs) == 1


def test_models_of_two_workspaces_differ_by_a_label(
    opened: Callable[..., Store], tracking: Tracking, registry: Any
) -> None:
    add(registry, "model", tracking.run("0", {"mse": 1}), "champion")
    for table, columns in {
        "registered_models": "name, creation_time",
        "model_versions": "name, version, run_id, current_stage",
        "registered_model_aliases": "name, alias, version",
    }.items():
        tracking.cluster.execute(
            f"INSERT INTO {table} (workspace, {columns}) SELECT 'team', {columns} FROM {table}",  # noqa: S608
            tracking.database,
        )

    snapshot = opened().latest()

    for family in [
        *("model_alias_info", "model_metric", "run_model_info", "registered_model_versions")
    ]:
        workspaces = [labels.get("workspace") for labels, _ in samples(snapshot, family)]
        assert sorted(workspaces, key=str) == [None, "team"]


@pytest.mark.parametrize("table", ["registered_model_aliases", "model_versions"])
def test_missing_models_do_not_prevent_the_runs(
    opened: Callable[..., Store], tracking: Tracking, table: str
) -> None:
    tracking.run("0", {"mse": 1})
    revoke = f"REVOKE SELECT ON {table} FROM mlflow_metrics"  # noqa: S608 - a name of this test
    tracking.cluster.execute(revoke, tracking.database)
    store = opened()

    for _ in range(2):
        found = store.latest()
        assert len(found.runs) == 1
        assert f"permission denied for table {table}" in found.models.trouble
        assert found.models.aliases == ()
