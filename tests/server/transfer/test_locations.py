"""Locations of another MLflow, as they are called here."""

from __future__ import annotations

import pytest
from mlflow_host.transfer.locations import Locations, roots


@pytest.mark.parametrize(
    ("root", "location", "expected"),
    [
        (
            "/home/ann/mlruns",
            "/home/ann/mlruns/1/abc/artifacts",
            "mlflow-artifacts:/1/abc/artifacts",
        ),
        ("/home/ann/mlruns", "file:///home/ann/mlruns/1", "mlflow-artifacts:/1"),
        ("/home/ann/my runs", "file:///home/ann/my%20runs/1", "mlflow-artifacts:/1"),
        ("mlruns", "./mlruns/1", "mlflow-artifacts:/1"),
        ("s3://bucket/mlflow", "s3://bucket/mlflow/1/", "mlflow-artifacts:/1"),
        ("/x", "mlflow-artifacts:/1/abc", "mlflow-artifacts:/1/abc"),
        ("/x", "mlflow-artifacts://host:5000/1/abc", "mlflow-artifacts:/1/abc"),
        (
            "/x",
            "http://host:5000/api/2.0/mlflow-artifacts/artifacts/1/abc",
            "mlflow-artifacts:/1/abc",
        ),
        ("/x", "runs:/abc/model", "runs:/abc/model"),
        ("/x", "models:/m-1", "models:/m-1"),
        ("/x", "dummy-source", "dummy-source"),
        ("/x", "", ""),
    ],
)
def test_location_below_the_root_is_moved(root: str, location: str, expected: str) -> None:
    assert Locations((root,)).moved(location) == expected


@pytest.mark.parametrize(
    "location",
    [
        "/home/ann/mlruns2/1",
        "/home/ann/mlruns/../other/1",
        "s3://other/1",
        "s3://bucket/mlflow/../../other",
        "http://host/other",
        "dbfs:/1",
    ],
)
def test_location_elsewhere_has_none(location: str) -> None:
    assert Locations(("/home/ann/mlruns", "s3://bucket/mlflow")).moved(location) is None


def test_roots_are_the_folders_that_have_the_experiments() -> None:
    experiments = [
        (0, "/home/ann/mlruns/0"),
        (1, "file:///home/ann/mlruns/1"),
        (2, "s3://bucket/own"),
        (3, "mlflow-artifacts:/3"),
        (4, "s3://bucket/mlflow/4"),
    ]
    assert roots(experiments) == ["/home/ann/mlruns", "s3://bucket/mlflow"]
