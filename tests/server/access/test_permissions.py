from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .conftest import PASSWORD

if TYPE_CHECKING:
    from .conftest import Tracking


@pytest.fixture
def experiment(tracking: Tracking, request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return name and id of an experiment of the administrator's."""
    name = f"of {request.node.name}"
    return name, tracking.admin("POST", "2.0/mlflow/experiments/create", name=name)["experiment_id"]


def logs(tracking: Tracking, user: str, experiment_id: str) -> int:
    """Try to start a run; return the status."""
    path = "2.0/mlflow/runs/create"
    return tracking.call(user, "POST", path, experiment_id=experiment_id).status_code


def test_permission_is_given_changed_and_taken(
    tracking: Tracking, experiment: tuple[str, str]
) -> None:
    name, number = experiment
    tracking.module("mlflow_user", name="ines", password=PASSWORD)
    wanted: dict[str, Any] = {"user": "ines", "experiment": name}
    get = f"2.0/mlflow/experiments/get?experiment_id={number}"

    assert logs(tracking, "ines", number) == 403
    planned = tracking.module("mlflow_permission", **wanted, permission="EDIT", check=True)
    assert planned["changed"]
    assert logs(tracking, "ines", number) == 403
    given = tracking.module("mlflow_permission", **wanted, permission="EDIT")
    assert given["diff"]["before"]["permission"] == "NONE"
    assert given["diff"]["after"]["permission"] == "EDIT"
    assert logs(tracking, "ines", number) == 200
    assert not tracking.module("mlflow_permission", **wanted, permission="EDIT")["changed"]

    assert tracking.module("mlflow_permission", **wanted, permission="DENY")["changed"]
    assert tracking.call("ines", "GET", get).status_code == 403
    assert tracking.module("mlflow_permission", **wanted, permission="NONE")["changed"]
    assert not tracking.module("mlflow_permission", **wanted, permission="NONE")["changed"]
    assert tracking.call("ines", "GET", get).status_code == 200
    assert logs(tracking, "ines", number) == 403


def test_star_grants_every_experiment(tracking: Tracking, experiment: tuple[str, str]) -> None:
    tracking.module("mlflow_user", name="iker", password=PASSWORD)

    tracking.module("mlflow_permission", user="iker", experiment="*", permission="EDIT")
    later = tracking.admin("POST", "2.0/mlflow/experiments/create", name="made later")

    assert logs(tracking, "iker", experiment[1]) == 200
    assert logs(tracking, "iker", later["experiment_id"]) == 200


def test_registered_model_is_granted_by_name(tracking: Tracking) -> None:
    tracking.module("mlflow_user", name="unai", password=PASSWORD)
    tracking.admin("POST", "2.0/mlflow/registered-models/create", name="goles")
    update = ("unai", "PATCH", "2.0/mlflow/registered-models/update")

    refused = tracking.call(*update, name="goles", description="mine").status_code
    tracking.module("mlflow_permission", user="unai", registered_model="goles", permission="EDIT")

    assert refused == 403
    assert tracking.call(*update, name="goles", description="mine").status_code == 200


def test_user_who_is_only_planned_has_no_permission_yet(
    tracking: Tracking, experiment: tuple[str, str]
) -> None:
    wanted: dict[str, Any] = {"user": "not made", "experiment": experiment[0], "permission": "READ"}

    assert tracking.module("mlflow_permission", **wanted, check=True)["changed"]
    assert "not made" in tracking.module("mlflow_permission", **wanted, fails=True)["msg"]


@pytest.mark.parametrize(
    ("params", "cure"),
    [
        ({"experiment": "no such"}, "create it first"),
        ({}, "one of the following is required"),
        ({"experiment": "a", "registered_model": "b"}, "mutually exclusive"),
    ],
)
def test_bad_parameter_is_named_with_its_cure(
    tracking: Tracking, params: dict[str, Any], cure: str
) -> None:
    result = tracking.module(
        "mlflow_permission", user="ana", permission="READ", **params, fails=True
    )

    assert cure in result["msg"]
