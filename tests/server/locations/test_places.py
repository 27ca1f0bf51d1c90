"""Which locations of artifacts are allowed."""

from __future__ import annotations

import pytest
from mlflow_host.patches.locations import Locations, Place, place_of, read_locations

OWN = Locations((Place("s3", "bucket", "artifacts"),))
FOLDER = Locations((Place("file", "", "var/lib/mlflow/artifacts"),))


def refused(location: str) -> list[str]:
    """Return why a location is refused, nothing if it is allowed."""
    try:
        OWN.check(location, "artifact_location", ValueError)
    except ValueError as error:
        return [str(error)]
    return []


@pytest.mark.parametrize(
    "location",
    [
        *("mlflow-artifacts:/x", "mlflow-artifacts:/", "mlflow-artifacts:///x"),
        *("mlflow-artifacts:/1/a name (1)/ñ", "mlflow-artifacts:/1/v1..2/100%25"),
        *("s3://bucket/artifacts", "s3://bucket/artifacts/", "s3://bucket/artifacts/1/x"),
    ],
)
def test_location_of_this_server_is_allowed(location: str) -> None:
    assert refused(location) == []


@pytest.mark.parametrize(
    "location",
    [
        *("/etc", "etc", "file:/etc", "file:///etc", "FILE:///etc", "../etc", "local:/etc"),
        *("http://169.254.169.254/", "https://x.test/", "ftp://x.test/", "wasbs://a@x.test/b"),
        *("dbfs:/x", "gs://x/y", "models:/x/1", "runs:/x", "hdfs://x.test/y", "C:\\x", ""),
        *("mlflow-artifacts:/../x", "mlflow-artifacts:/x/%2e%2e/y", "s3://bucket/artifacts/.."),
        *("mlflow-artifacts:/x/%252e%252e/y", "mlflow-artifacts:/x\\..\\y", " /etc"),
        *("mlflow-artifacts:x", "s3://bucket/artifacts/%00", "s3://bucket/artifacts/x\ny"),
        *("mlflow-artifacts://x.test/y", "mlflow-artifacts://169.254.169.254:80/y"),
        *("s3://bucket", "s3://bucket/", "s3://bucket/other", "s3://bucket/artifacts2/x"),
        *("s3://other/artifacts/x", "s3://BUCKET/artifacts/x", "s3://bucket@x.test/artifacts/x"),
        *("r2://bucket/artifacts/x", "b2://bucket/artifacts/x", "sftp://x.test/y", "./mlruns/0"),
        "http://127.0.0.1:5000/api/2.0/mlflow-artifacts/artifacts/1",
    ],
)
def test_location_elsewhere_is_refused(location: str) -> None:
    [reason] = refused(location)

    assert reason.startswith(f"artifact_location: {location!r} is not a valid location")
    assert "mlflow_allowed_artifact_locations" in reason


@pytest.mark.parametrize(
    ("location", "allowed"),
    [
        ("/var/lib/mlflow/artifacts/1", True),
        ("file:///var/lib/mlflow/artifacts", True),
        ("/var/lib/mlflow/artifacts-2", False),
        ("/var/lib/mlflow", False),
        ("file://x.test/var/lib/mlflow/artifacts", False),
        ("/var/lib/mlflow/artifacts/../../x", False),
        ("var/lib/mlflow/artifacts", False),
    ],
)
def test_location_on_the_host_is_allowed_below_the_destination(
    location: str, *, allowed: bool
) -> None:
    assert FOLDER.allows(location) is allowed


@pytest.mark.parametrize("location", ["models:/m-1", "models:/name/3", "runs:/0123/model"])
def test_reference_is_opened(location: str) -> None:
    OWN.check_opened(location, ValueError)


@pytest.mark.parametrize("location", ["models://x@databricks/m/1", "runs://x/1", "/etc", "ftp:/x"])
def test_reference_to_another_server_is_not_opened(location: str) -> None:
    with pytest.raises(ValueError, match="is not a valid location"):
        OWN.check_opened(location, ValueError)


def test_environment_lists_places_beside_the_destination(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ARTIFACTS_DESTINATION", "s3://bucket/artifacts")
    monkeypatch.setenv("MLFLOW_HOST_ALLOWED_ARTIFACT_LOCATIONS", "s3://whole,s3://other/a/b")
    locations = read_locations()

    assert locations.places == (*OWN.places, Place("s3", "whole", ""), Place("s3", "other", "a/b"))
    assert locations.allows("s3://whole/of/it")
    assert locations.allows("s3://other/a/b/c")
    assert not locations.allows("s3://other/a")


def test_place_of_relative_location_is_unknown() -> None:
    assert place_of("mlruns/0") is None
