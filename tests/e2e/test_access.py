"""The users of tests/e2e/inventory.yml, each with the file that is handed to them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import requests
import yaml

from tests.conftest import ROOT

if TYPE_CHECKING:
    from .conftest import Deployment

CREATE = "2.0/mlflow/experiments/create"
SEARCH = "2.0/mlflow/experiments/search"
VARIABLES = ROOT / "tests/e2e/inventory.yml"


def test_reader_sees_everything_and_writes_nothing(deployment: Deployment) -> None:
    reader = "users/grafana.env"

    seen = deployment.ask("POST", SEARCH, reader, json={"max_results": 1})
    refused = deployment.ask("POST", CREATE, reader, json={"name": "of a reader"})

    assert seen.status_code == requests.codes.ok
    assert refused.status_code == requests.codes.forbidden


def test_member_logs_into_an_experiment_of_another_user(deployment: Deployment) -> None:
    made = deployment.ask("POST", CREATE, json={"name": "of the administrator"}).json()

    logged = deployment.ask("POST", "2.0/mlflow/runs/create", "users/ana.env", json=made)

    assert logged.status_code == requests.codes.ok, logged.text


def test_user_is_removed_by_a_run_that_changes_nothing_else(deployment: Deployment) -> None:
    account = {"username": "visitor", "password": "password-of-a-visitor"}
    deployment.ask("POST", "2.0/mlflow/users/create", json=account).raise_for_status()
    users = yaml.safe_load(VARIABLES.read_text())["mlflow_access_users"]
    users.append({"name": "visitor", "state": "absent"})

    play = deployment.aws.play(
        "playbooks/access.yml",
        *("-e", f"@{VARIABLES}", "-e", json.dumps({"mlflow_access_users": users})),
    )
    known = deployment.ask("GET", "2.0/mlflow/users/list").json()["users"]

    assert play.returncode == 0, play.output
    assert play.recap["changed"] == 1, play.output
    assert {user["username"] for user in known} == {"admin", "ana", "grafana"}
