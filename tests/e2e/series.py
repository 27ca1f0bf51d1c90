"""Experiments and metrics in numbers that no client logs in the time of a test."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg2

from tests.e2e.conftest import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import Deployment

# The rows that MLflow writes, with all columns that it reads.
INSERT = """
INSERT INTO experiments (name, artifact_location, lifecycle_stage, creation_time, last_update_time)
    SELECT 'many ' || n, 'mlflow-artifacts:/many/' || n, 'active', 1, 1
    FROM generate_series(1, %(experiments)s) AS n;
INSERT INTO runs (run_uuid, name, status, start_time, lifecycle_stage, experiment_id, artifact_uri)
    SELECT md5(name), 'many', 'FINISHED', 1, 'active', experiment_id, artifact_location
    FROM experiments WHERE name LIKE 'many %%';
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
    SELECT 'many_' || n, random(), 1, 0, false, run_uuid
    FROM runs CROSS JOIN generate_series(1, %(metrics)s) AS n WHERE name = 'many';
"""
DELETE = """
DELETE FROM latest_metrics WHERE key LIKE 'many\\_%';
DELETE FROM runs WHERE name = 'many';
DELETE FROM experiments WHERE name LIKE 'many %';
"""


@contextmanager
def database(deployment: Deployment) -> Iterator[Any]:
    """Open the database as its owner."""
    [instance] = deployment.aws.client("rds").describe_db_instances(
        DBInstanceIdentifier=f"{NAME}-mlflow"
    )["DBInstances"]
    password = deployment.aws.client("secretsmanager").get_secret_value(
        SecretId=f"{NAME}/mlflow-database"
    )["SecretString"]
    connection = psycopg2.connect(
        host=deployment.aws.door(instance["Endpoint"]["Address"]),
        port=instance["Endpoint"]["Port"],
        dbname="mlflow",
        user="mlflow",
        password=password,
        sslmode="verify-full",
        sslrootcert=str(deployment.directory / "rds-ca.pem"),
    )
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


@contextmanager
def many(deployment: Deployment, *, experiments: int, metrics: int) -> Iterator[None]:
    """Experiments with a run each, whose metrics are called many_1, many_2 and so on."""
    with database(deployment) as cursor:
        cursor.execute(INSERT, {"experiments": experiments, "metrics": metrics})
    try:
        yield
    finally:
        with database(deployment) as cursor:
            cursor.execute(DELETE)
