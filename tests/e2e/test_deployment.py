"""What a user does with a deployment, in the order in which one does it."""

from __future__ import annotations

import re
import stat
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.conftest import ROOT

if TYPE_CHECKING:
    from tests.e2e.conftest import Deployment

CONFIG = ROOT / "models/configs/random_forest.json"


@pytest.fixture(scope="module")
def run(deployment: Deployment) -> dict[str, Any]:
    """A run that the experiment script logged, as MLflow's REST API tells it."""
    logged = deployment.experiment(CONFIG)
    assert logged.returncode == 0, logged.stdout + logged.stderr
    found = re.search(r"\b[0-9a-f]{32}\b", logged.stdout)
    assert found, logged.stdout
    environment = deployment.client_environment
    answer = requests.get(
        f"{environment['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/runs/get",
        params={"run_id": found.group()},
        auth=(environment["MLFLOW_TRACKING_USERNAME"], environment["MLFLOW_TRACKING_PASSWORD"]),
        verify=environment["MLFLOW_TRACKING_SERVER_CERT_PATH"],
        timeout=30,
    )
    assert answer.status_code == requests.codes.ok, answer.text
    told: dict[str, Any] = answer.json()["run"]
    return told


def scrape(deployment: Deployment, token: str | None) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    ca = str(deployment.aws.directory / "ca.pem")
    return requests.get(deployment.metrics_url, headers=headers, verify=ca, timeout=30)


def test_make_up_prints_the_way_in_and_a_metric(deployment: Deployment) -> None:
    outputs = deployment.outputs

    assert f"api_gateway_endpoint = {outputs['api_gateway_endpoint']}" in deployment.printed
    assert f"ec2_public_ip = {outputs['ec2_public_ip']}" in deployment.printed
    assert re.search(
        r'^mlflow_mse_local\{run_id="[0-9a-f]{32}"\} \d', deployment.printed, re.MULTILINE
    )


def test_outputs_are_for_their_owner_only(deployment: Deployment) -> None:
    wanted = {
        "api_gateway_endpoint",
        "ec2_public_ip",
        "mlflow_tracking_uri",
        "ssh_command",
        "metrics_token_file",
        "ca_certificate",
    }
    files = ["outputs.json", "mlflow.env", "metrics_token", "id_ed25519"]
    modes = [stat.S_IMODE((deployment.directory / name).stat().st_mode) for name in files]

    assert wanted <= deployment.outputs.keys()
    assert modes == [0o600] * len(files)


def test_second_run_changes_nothing(deployment: Deployment) -> None:
    play = deployment.aws.play("site.yml", "-e", f"@{ROOT}/tests/e2e/deployment.yml")

    assert play.returncode == 0, play.output
    assert play.recap["changed"] == 0, play.output
    assert play.recap["failed"] == 0


def test_plan_of_a_converged_deployment_changes_nothing(deployment: Deployment) -> None:
    play = deployment.aws.play(
        "site.yml", "--check", "--diff", "-e", f"@{ROOT}/tests/e2e/deployment.yml"
    )

    assert play.returncode == 0, play.output
    assert play.recap["changed"] == 0, play.output


def test_host_is_a_server_like_any_other(deployment: Deployment) -> None:
    assert deployment.ssh("systemctl is-active mlflow").stdout.strip() == "active"
    assert "Active: active (running)" in deployment.ssh("systemctl status mlflow").stdout
    assert "mlflow" in deployment.ssh("sudo journalctl -u mlflow --no-pager").stdout


def test_host_knows_itself_only_by_a_token(deployment: Deployment) -> None:
    metadata = "http://169.254.169.254/latest"
    bare = f"curl -s -o /dev/null -w '%{{http_code}}' {metadata}/meta-data/instance-id"
    token = f"$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' {metadata}/api/token)"
    asked = f'curl -s -H "X-aws-ec2-metadata-token: {token}" {metadata}/meta-data/instance-id'

    assert deployment.ssh(bare).stdout == "401"
    assert deployment.ssh(asked).stdout == deployment.outputs["ec2_instance_id"]


def test_run_is_read_back_with_its_parameters_and_metrics(run: dict[str, Any]) -> None:
    metrics = {metric["key"] for metric in run["data"]["metrics"]}
    names = [
        f"{name}_{side}"
        for name in ("mse", "accuracy", "precision", "recall", "f1")
        for side in ("local", "visitante")
    ]

    assert run["info"]["status"] == "FINISHED"
    assert {*names, "mse_promedio", "accuracy_promedio"} <= metrics
    assert run["data"]["params"]


def test_model_lies_in_the_bucket(deployment: Deployment, run: dict[str, Any]) -> None:
    s3 = deployment.aws.client("s3")
    keys: list[str] = []
    for page in s3.get_paginator("list_objects_v2").paginate(
        Bucket=deployment.outputs["artifacts_bucket"]
    ):
        keys += [item["Key"] for item in page.get("Contents", [])]
    experiment = run["info"]["experiment_id"]

    assert [key for key in keys if f"/{experiment}/" in key and key.endswith("/MLmodel")]


def test_endpoint_gives_the_values_that_mlflow_has(
    deployment: Deployment, run: dict[str, Any]
) -> None:
    answer = scrape(deployment, deployment.token)
    run_id = run["info"]["run_id"]
    served = dict(
        re.findall(rf'^mlflow_(\w+)\{{run_id="{run_id}"\}} (\S+)$', answer.text, re.MULTILINE)
    )
    logged = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}

    assert answer.status_code == requests.codes.ok
    assert {name: float(served[name]) for name in logged} == logged


@pytest.mark.parametrize("token", [None, "", "wrong", "x" * 8_000])
def test_endpoint_tells_a_stranger_nothing(deployment: Deployment, token: str | None) -> None:
    answer = scrape(deployment, token)

    assert answer.status_code == requests.codes.unauthorized
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "mlflow_" not in answer.text


def test_promtool_accepts_the_text(deployment: Deployment) -> None:
    text = scrape(deployment, deployment.token).text

    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False
    )

    assert checked.returncode == 0, checked.stderr


def test_tracking_server_wants_a_login(deployment: Deployment) -> None:
    url = f"{deployment.outputs['mlflow_tracking_uri']}/api/2.0/mlflow/experiments/search"
    answer = requests.get(
        url,
        params={"max_results": 1},
        verify=deployment.outputs["ca_certificate"],
        timeout=30,
    )

    assert answer.status_code == requests.codes.unauthorized


def test_secrets_stand_in_no_log(deployment: Deployment) -> None:
    secrets = [
        secret["Name"]
        for secret in deployment.aws.client("secretsmanager").list_secrets()["SecretList"]
    ]
    values = [
        deployment.aws.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
        for name in secrets
    ]
    places = (
        deployment.ssh(
            "sudo journalctl --no-pager; sudo ps auxeww; systemctl show mlflow;"
            " sudo cat -- /var/log/*.log"
        ).stdout
        + deployment.printed
    )

    assert len(values) >= 6
    assert [name for name, value in zip(secrets, values, strict=True) if value in places] == []


def test_destroy_leaves_nothing(deployment: Deployment) -> None:
    play = deployment.aws.play("playbooks/destroy.yml", "-e", "confirm=e2e", "-e", "purge=true")

    assert play.returncode == 0, play.output
    assert deployment.aws.resources("e2e") == []
    assert not deployment.directory.exists()


def test_make_down_leaves_nothing(deployment: Deployment) -> None:
    down = subprocess.run(
        ["make", "down"],
        cwd=ROOT,
        env=deployment.aws.environment,
        text=True,
        capture_output=True,
        check=False,
    )

    assert down.returncode == 0, down.stderr
    assert "not running" in deployment.aws.command("status").stdout
    routes = subprocess.run(["ip", "route"], text=True, capture_output=True, check=True).stdout
    assert "10.85.0.0/16" not in routes
