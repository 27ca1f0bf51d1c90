from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.tracking_server import ADMIN, ADMIN_PASSWORD

if TYPE_CHECKING:
    from .conftest import Tracking

API = "2.0/mlflow"


def test_logged_model_becomes_a_version(tracking: Tracking) -> None:
    """As `log_model(registered_model_name=…)` and `register_model` of MLflow's client do it."""
    wanted = {"experiment_id": "0", "name": "model"}
    logged = tracking.admin("POST", f"{API}/logged-models", **wanted)["model"]["info"]
    tracking.admin("POST", f"{API}/registered-models/create", name="logged")

    version = tracking.admin(
        "POST",
        f"{API}/model-versions/create",
        name="logged",
        source=f"models:/{logged['model_id']}",
        model_id=logged["model_id"],
    )["model_version"]

    assert version["version"] == "1"


@pytest.mark.parametrize(
    "source",
    [
        "s3://somewhere/else",
        "file:///etc/passwd",
        "mlflow-artifacts://elsewhere:5000/1/x/artifacts/model",
        "https://somewhere/model",
    ],
)
def test_source_that_is_not_of_this_server_is_refused(tracking: Tracking, source: str) -> None:
    name = f"from {hash(source)}"
    tracking.admin("POST", f"{API}/registered-models/create", name=name)

    answer = tracking.call(
        ADMIN,
        "POST",
        f"{API}/model-versions/create",
        ADMIN_PASSWORD,
        name=name,
        source=source,
    )

    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
