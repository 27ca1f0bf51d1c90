"""The deployment fits each partition of AWS: nothing names the one of the commercial regions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from local_aws.authorization.policies import Policies, Request, evaluate

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("roles", "playbooks", "inventory", "scripts", "docs/iam", "lambda")
PARTITIONS = ("aws", "aws-us-gov", "aws-cn")
ACCOUNT = "123456789012"


def test_no_file_names_the_commercial_partition() -> None:
    named = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and path.suffix in {".yml", ".yaml", ".json", ".j2", ".py", ".sh", ".md"}
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "arn:aws:" in line
    ]
    assert named == []


@pytest.mark.parametrize("partition", PARTITIONS)
@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("s3:CreateBucket", "s3:::mlflow-artifacts", {}),
        ("rds:DeleteDBInstance", f"rds:us-east-1:{ACCOUNT}:db:mlflow-mlflow", {}),
        ("logs:CreateLogGroup", f"logs:r:{ACCOUNT}:log-group:/aws/lambda/mlflow-x", {}),
        ("apigateway:POST", "apigateway:us-east-1::/apis", {}),
        (
            "iam:PassRole",
            f"iam::{ACCOUNT}:role/mlflow-mlflow-host",
            {"iam:passedtoservice": ("lambda.amazonaws.com",)},
        ),
    ],
)
def test_deploy_policy_allows_in_each_partition(
    partition: str, action: str, resource: str, context: dict[str, tuple[str, ...]]
) -> None:
    policy = json.loads((ROOT / "docs/iam/deploy-policy.json").read_text())
    caller = f"arn:{partition}:iam::{ACCOUNT}:user/deployer"
    arn = f"arn:{partition}:{resource}"
    request = Request(action, arn, (caller,), ACCOUNT, context)
    theirs = Request(action, arn.replace("mlflow-", "other-"), (caller,), ACCOUNT, context)

    assert evaluate(request, Policies(identity=[policy])).allowed
    assert theirs == request or not evaluate(theirs, Policies(identity=[policy])).allowed


# What depends on the partition, by role.
DEPENDENT = {"aws_rds": "aws_rds_ca_url", "aws_iam": "__aws_iam_ec2"}


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """The values of these variables for a caller of each partition."""
    folder = tmp_path_factory.mktemp("values")
    plays = [
        {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars_files": [
                str(ROOT / f"roles/{role}/{part}/main.yml") for part in ("defaults", "vars")
            ],
            "vars": {
                "ansible_python_interpreter": sys.executable,
                "aws_iam": {"function_role_arn": f"arn:{partition}:iam::{ACCOUNT}:role/metrics"},
                "aws_s3": {"arn": f"arn:{partition}:s3:::bucket"},
            },
            "tasks": [
                {
                    "ansible.builtin.copy": {
                        "content": f"{{{{ {variable} }}}}",
                        "dest": str(folder / f"{partition}.{variable}"),
                        "mode": "0600",
                    }
                }
            ],
        }
        for partition in PARTITIONS
        for role, variable in DEPENDENT.items()
    ]
    (folder / "play.yml").write_text(yaml.safe_dump(plays))
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "play.yml"],
        cwd=folder,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    return {
        partition: {
            variable: (folder / f"{partition}.{variable}").read_text()
            for variable in DEPENDENT.values()
        }
        for partition in PARTITIONS
    }


def test_certificates_of_rds_are_those_of_the_partition(values: dict[str, dict[str, str]]) -> None:
    path = "global/global-bundle.pem"
    assert {partition: found["aws_rds_ca_url"] for partition, found in values.items()} == {
        "aws": f"https://truststore.pki.rds.amazonaws.com/{path}",
        "aws-us-gov": f"https://truststore.pki.us-gov-west-1.rds.amazonaws.com/{path}",
        "aws-cn": f"https://rds-truststore.s3.cn-north-1.amazonaws.com.cn/{path}",
    }


def test_trust_policy_names_the_service_of_the_partition(values: dict[str, dict[str, str]]) -> None:
    assert {partition: found["__aws_iam_ec2"] for partition, found in values.items()} == {
        "aws": "ec2.amazonaws.com",
        "aws-us-gov": "ec2.amazonaws.com",
        "aws-cn": "ec2.amazonaws.com.cn",
    }
