"""Files and commands for users are right in whatever directory the clone is."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.conftest import BIN, ROOT

if TYPE_CHECKING:
    from pathlib import Path

# All that scripts/check-clone.sh lets pass.
ODD = """-my clone, (v2) o'neil "q" 100% %h #1 & ~x; \\ é {x}"""
URL = "https://192.0.2.1:5000"
PASSWORD = """p'a"s $s`w"""
PLAYBOOK = {
    "hosts": "localhost",
    "gather_facts": False,
    "vars_files": [f"{ROOT}/roles/{role}/vars/main.yml" for role in ("aws_ec2", "outputs")],
    "vars": {
        "outputs_presigned": "off",
        "outputs_directory": "{{ deployment_dir }}",
        "outputs_tracking_uri": URL,
        "outputs_tracking_ca": "{{ deployment_dir }}/ca.pem",
        "outputs_metrics_ca": "{{ local_aws_dir }}/ca.pem",
        "aws_api_gateway": {"endpoint": "https://127.0.0.1:5566/_local/execute-api/x"},
        "item": {"name": "admin", "password": PASSWORD},
        "__aws_ec2_host": {"instance_id": "i-1"},
    },
    "tasks": [
        {
            "ansible.builtin.template": {
                "src": f"{ROOT}/roles/outputs/templates/{name}.j2",
                "dest": f"{{{{ deployment_dir }}}}/{name}",
                "mode": "0600",
            }
        }
        for name in ("mlflow.env", "prometheus.yml")
    ]
    + [
        {
            "ansible.builtin.copy": {
                "content": "{{ __aws_ec2_ssh_arguments | map('quote') | join(' ') }}",
                "dest": "{{ deployment_dir }}/ssh",
                "mode": "0600",
            }
        }
    ],
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the roles write for a deployment in a directory with every kind of character."""
    folder = tmp_path_factory.mktemp("quoting") / ODD / ".deploy/demo"
    folder.mkdir(parents=True)
    playbook = folder / "playbook.yml"
    playbook.write_text(json.dumps([PLAYBOOK]))
    done = subprocess.run(
        [
            *(BIN / "ansible-playbook", "-i", ROOT / "inventory/local", playbook),
            *("-e", json.dumps({"deployment_dir": str(folder), "local_aws_dir": str(folder)})),
        ],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def shell(command: str, **environment: str) -> str:
    return subprocess.run(
        ["/bin/sh", "-euc", command],
        env={"PATH": "/usr/bin:/bin"} | environment,
        text=True,
        capture_output=True,
        check=True,
    ).stdout


def test_ssh_command_in_odd_directory_names_the_known_hosts(directory: Path) -> None:
    # -G prints what ssh makes of its arguments, before it replaces tokens.
    lines = shell(f"ssh -G {(directory / 'ssh').read_text()} admin@192.0.2.1").splitlines()
    options = dict(line.split(" ", 1) for line in lines if " " in line)
    known_hosts = options["userknownhostsfile"].replace("%%", "%")
    assert known_hosts == str(directory / "known_hosts")


def test_ssh_command_in_odd_directory_reads_the_key(directory: Path) -> None:
    key = directory / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    command = f"ssh -v {(directory / 'ssh').read_text()} -o ProxyCommand=false admin@192.0.2.1"
    done = subprocess.run(["/bin/sh", "-c", command], text=True, capture_output=True, check=False)
    [read] = [line for line in done.stderr.splitlines() if f"{key.name} type" in line]
    # The type 3 is what ssh has read from the file; it would say -1 of one that is not there.
    assert read.endswith(".deploy/demo/id_ed25519 type 3"), done.stderr


def test_mlflow_env_in_odd_directory_is_read_by_a_shell(directory: Path) -> None:
    file = str(directory / "mlflow.env")
    read = 'set -a; . "$FILE"; set +a; env'
    found = dict(line.split("=", 1) for line in shell(read, FILE=file).splitlines())
    assert found["MLFLOW_TRACKING_URI"] == URL
    assert found["MLFLOW_TRACKING_PASSWORD"] == PASSWORD
    assert found["MLFLOW_TRACKING_SERVER_CERT_PATH"] == str(directory / "ca.pem")


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "192.0.2.1"),
        ({"NO_PROXY": "upper.test"}, "upper.test,192.0.2.1"),
        ({"no_proxy": "lower.test"}, "lower.test,192.0.2.1"),
    ],
)
def test_mlflow_env_extends_the_addresses_without_proxy(
    directory: Path, name: str, before: dict[str, str], after: str
) -> None:
    file = str(directory / "mlflow.env")
    # A program reads one of the two first, so each must hold what the other held.
    assert shell(f'. "$FILE"; printf %s "${name}"', FILE=file, **before) == after


def test_prometheus_yml_in_odd_directory_names_its_files(directory: Path) -> None:
    jobs = yaml.safe_load((directory / "prometheus.yml").read_text())["scrape_configs"]
    tokens = {job["authorization"]["credentials_file"] for job in jobs}
    assert tokens == {str(directory / "metrics_token")}
    assert {job["tls_config"]["ca_file"] for job in jobs} == {str(directory / "ca.pem")}
