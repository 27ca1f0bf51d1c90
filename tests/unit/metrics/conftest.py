"""A PostgreSQL with TLS, in which MLflow itself made the tables and logs the runs."""

from __future__ import annotations

import sys
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from mlflow.entities import Metric

from tests.conftest import ROOT
from tests.postgres import Cluster, open_store, running_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

# The function's modules are in one folder, as in its zip.
sys.path.insert(0, str(ROOT / "lambda/metrics"))

# What the function may read: exactly what role mlflow_database grants.
GRANTED = yaml.safe_load((ROOT / "roles/mlflow_database/defaults/main.yml").read_text())[
    "mlflow_database_metrics_tables"
]


@dataclass(frozen=True)
class Tracking:
    """MLflow's own store, and the database that it writes."""

    cluster: Cluster
    database: str
    store: Any  # MLflow's stores carry no types

    def run(
        self, experiment: str, metrics: dict[str, float], *, start: int = 1, name: str = "a run"
    ) -> str:
        """Log a run that started so many milliseconds after 1970, and leave it running."""
        made = self.store.create_run(experiment, "somebody", start, [], name)
        entities = [Metric(key, value, start, 0) for key, value in metrics.items()]
        self.store.log_batch(made.info.run_id, metrics=entities, params=[], tags=[])
        run_id: str = made.info.run_id
        return run_id

    @property
    def settings(self) -> dict[str, str]:
        """The environment of a function that reads it."""
        return self.cluster.settings(self.database)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as running:
        yield running


@pytest.fixture(scope="session")
def template(cluster: Cluster) -> str:
    """Let MLflow make its tables in a database that others are copied from."""
    cluster.execute("CREATE DATABASE template_mlflow")
    open_store(cluster.url("template_mlflow")).engine.dispose()
    for table in GRANTED:
        cluster.execute(f"GRANT SELECT ON {table} TO mlflow_metrics", "template_mlflow")
    return "template_mlflow"


@pytest.fixture
def tracking(cluster: Cluster, template: str) -> Iterator[Tracking]:
    """A database with MLflow's tables and the experiment that MLflow always makes."""
    name = f"mlflow_{uuid.uuid4().hex}"
    cluster.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    store = open_store(cluster.url(name))
    yield Tracking(cluster, name, store)
    store.engine.dispose()
    cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")
