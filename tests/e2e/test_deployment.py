"""What a user does with a deployment, in the order in which one does it."""

from __future__ import annotations

import re
import shutil
import stat
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from tests.e2e.conftest import Deployment


def test_make_up_prints_the_endpoints_and_a_metric(deployment: Deployment) -> None:
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


def test_outputs_are_recreated_on_a_machine_without_them(deployment: Deployment) -> None:
    directory, aside = deployment.directory, deployment.directory.with_name("aside")
    names = [
        "ca.pem",
        "id_ed25519",
        "metrics_token",
        "mlflow.env",
        "outputs.json",
        "prometheus.yml",
    ]
    directory.rename(aside)
    try:
        play = deployment.aws.play("playbooks/outputs.yml")
        written = {name: (directory / name).read_bytes() for name in names}
        login = deployment.ssh("true")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        aside.rename(directory)

    assert play.returncode == 0, play.output
    assert written == {name: (directory / name).read_bytes() for name in names}
    assert login.returncode == 0, login.stderr


def test_second_run_changes_nothing(deployment: Deployment) -> None:
    play = deployment.aws.play("site.yml")

    assert play.returncode == 0, play.output
    assert play.recap["changed"] == 0, play.output
    assert play.recap["failed"] == 0


@pytest.mark.parametrize("name", ["lambda", "api_gateway"])
def test_playbook_run_alone_finds_the_resources_of_others(
    deployment: Deployment, name: str
) -> None:
    play = deployment.aws.play(f"playbooks/{name}.yml")

    assert play.returncode == 0, play.output
    assert play.recap["changed"] == 0, play.output


@pytest.mark.slow
def test_plan_of_a_converged_deployment_changes_nothing(deployment: Deployment) -> None:
    play = deployment.aws.play("site.yml", "--check", "--diff")

    assert play.returncode == 0, play.output
    assert play.recap["changed"] == 0, play.output


def test_host_over_ssh_shows_unit_and_journal(deployment: Deployment) -> None:
    assert deployment.ssh("systemctl is-active mlflow").stdout.strip() == "active"
    assert "Active: active (running)" in deployment.ssh("systemctl status mlflow").stdout
    assert "mlflow" in deployment.ssh("sudo journalctl -u mlflow --no-pager").stdout


def test_instance_metadata_requires_a_token(deployment: Deployment) -> None:
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


def test_model_is_stored_in_the_bucket(deployment: Deployment, run: dict[str, Any]) -> None:
    s3 = deployment.aws.client("s3")
    keys: list[str] = []
    for page in s3.get_paginator("list_objects_v2").paginate(
        Bucket=deployment.outputs["artifacts_bucket"]
    ):
        keys += [item["Key"] for item in page.get("Contents", [])]
    experiment = run["info"]["experiment_id"]

    assert [key for key in keys if f"/{experiment}/" in key and key.endswith("/MLmodel")]


def test_tracking_server_without_a_login_answers_401(deployment: Deployment) -> None:
    url = f"{deployment.outputs['mlflow_tracking_uri']}/api/2.0/mlflow/experiments/search"
    answer = requests.get(
        url,
        params={"max_results": 1},
        verify=deployment.outputs["ca_certificate"],
        timeout=30,
    )

    assert answer.status_code == requests.codes.unauthorized


def test_logs_have_no_secrets(deployment: Deployment) -> None:
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
