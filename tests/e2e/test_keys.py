"""Keys of the server from Secrets Manager: what they encrypt outlives restarts and rotations."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
import requests

from tests.conftest import BIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Deployment

RINGS = ("mlflow-webhook-keys", "mlflow-gateway-passphrases")
WEBHOOKS = "2.0/mlflow/webhooks"
KEY_FILE = "/etc/mlflow/secrets/webhook-keys"
# The first task after the one that writes the host's files.
WRITTEN = "TASK [mlflow : Find the program that runs MLflow on this host]"


def ring(deployment: Deployment, name: str) -> list[str]:
    """Return the keys of a secret, the newest first."""
    client = deployment.aws.client("secretsmanager")
    text: str = client.get_secret_value(SecretId=f"local/{name}")["SecretString"]
    return text.split()


def restart(deployment: Deployment) -> None:
    done = deployment.ssh("sudo systemctl restart mlflow.service")
    assert done.returncode == 0, done.stderr


def started(deployment: Deployment) -> float:
    """Return when the server's process started, in seconds since 1970."""
    command = (
        "systemctl show --property=ExecMainStartTimestamp --value --timestamp=unix mlflow.service"
    )
    return float(deployment.ssh(command).stdout.strip().removeprefix("@"))


def written(deployment: Deployment) -> float:
    """Return when the file of the webhooks' keys was written."""
    return float(deployment.ssh(f"sudo stat --format=%Y {KEY_FILE}").stdout)


@pytest.fixture
def webhook(deployment: Deployment) -> Iterator[str]:
    """A webhook with a secret, which the server decrypts whenever it lists webhooks."""
    body = {
        "name": "hook",
        "url": "https://192.88.99.1/hook",
        "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}],
        "secret": "signs",
    }
    made = deployment.ask("POST", WEBHOOKS, json=body)
    assert made.ok, made.text
    identifier: str = made.json()["webhook"]["webhook_id"]
    yield identifier
    deployment.ask("DELETE", f"{WEBHOOKS}/{identifier}")


def check_listed(deployment: Deployment, webhook: str) -> None:
    answer = deployment.ask("GET", WEBHOOKS)
    assert answer.status_code == requests.codes.ok, answer.text
    assert webhook in {one["webhook_id"] for one in answer.json()["webhooks"]}


# First: where there is a secret, it is encrypted again, and the server is restarted for that.
@pytest.mark.slow
def test_rotation_that_is_interrupted_is_finished_by_the_next_run(deployment: Deployment) -> None:
    before = started(deployment)
    with subprocess.Popen(
        [BIN / "ansible-playbook", "playbooks/rotate_keys.yml", *deployment.aws.extra_variables],
        cwd=deployment.clone,
        env=deployment.aws.environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        seen = any(line.startswith(WRITTEN) for line in process.stdout)
        os.killpg(process.pid, signal.SIGKILL)
    assert seen
    assert written(deployment) > started(deployment) == before

    play = deployment.aws.play("playbooks/mlflow.yml")

    assert play.returncode == 0, play.output
    assert started(deployment) > written(deployment)


@pytest.mark.slow
def test_webhook_after_a_restart_and_a_rotation_is_read(
    deployment: Deployment, webhook: str
) -> None:
    before = {name: ring(deployment, name) for name in RINGS}
    restart(deployment)
    check_listed(deployment, webhook)

    play = deployment.aws.play("playbooks/rotate_keys.yml")

    assert play.returncode == 0, play.output
    check_listed(deployment, webhook)
    for name in RINGS:
        newest, *older = ring(deployment, name)
        assert older == before[name]
        assert newest not in play.output
    shown = deployment.ssh("sudo sh -c 'ps auxeww; systemctl show mlflow.service'").stdout
    assert not [key for name in RINGS for key in ring(deployment, name) if key in shown]


@pytest.mark.slow
def test_server_with_older_files_is_restarted_by_the_next_run(deployment: Deployment) -> None:
    # As a run leaves it that ends after it has written a file and before it restarts the server.
    assert deployment.ssh("sudo touch /etc/mlflow/mlflow.env").returncode == 0
    before = started(deployment)

    play = deployment.aws.play("playbooks/mlflow.yml")

    assert play.returncode == 0, play.output
    assert started(deployment) > before
    again = deployment.aws.play("playbooks/mlflow.yml")
    assert again.output.count("changed=0") == 2, again.output  # localhost and the host
