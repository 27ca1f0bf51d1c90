"""The program that writes the time of the backup, and what the host is allowed to ask."""

from __future__ import annotations

import importlib.util
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from botocore.stub import Stubber

from local_aws.authorization.policies import Policies, Request, evaluate
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

ACCOUNT = "123456789012"
SPEC = importlib.util.spec_from_file_location(
    "backup_time", ROOT / "roles/monitoring/files/backup_time.py"
)
assert SPEC is not None
assert SPEC.loader is not None
backup_time = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(backup_time)


@pytest.fixture
def rds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Answers of RDS, and the arguments of the program."""
    client = boto3.client(
        "rds", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    monkeypatch.setattr(boto3, "client", lambda *_, **__: client)
    monkeypatch.setattr(sys, "argv", ["backup_time.py", "demo-mlflow", str(tmp_path / "a.prom")])
    with Stubber(client) as stub:
        yield stub


def value(path: Path) -> float:
    """Return the value in the file, which the node exporter has to be able to read."""
    pattern = re.compile(r"^monitoring_backup_timestamp_seconds (\d+)$", re.MULTILINE)
    [found] = pattern.findall(path.read_text())
    assert path.stat().st_mode & 0o777 == 0o644
    return float(found)


@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        ({"LatestRestorableTime": datetime(2026, 11, 29, 10, tzinfo=UTC)}, 1_795_946_400),
        ({}, 0),
    ],
    ids=["with backups", "without backups"],
)
def test_time_is_that_of_the_instance(
    rds: Stubber, tmp_path: Path, instance: dict[str, Any], expected: float
) -> None:
    asked = {"DBInstanceIdentifier": "demo-mlflow"}
    rds.add_response("describe_db_instances", {"DBInstances": [instance]}, asked)

    assert backup_time.main() == 0
    assert value(tmp_path / "a.prom") == expected
    assert [path.name for path in tmp_path.iterdir()] == ["a.prom"]


def test_refused_question_keeps_the_former_value(
    rds: Stubber, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup_time.write(tmp_path / "a.prom", 1000)
    rds.add_client_error("describe_db_instances", "AccessDenied")

    assert backup_time.main() == 1
    assert value(tmp_path / "a.prom") == 1000
    assert "AccessDenied" in capsys.readouterr().err


def test_question_that_was_always_refused_counts_as_no_backup(rds: Stubber, tmp_path: Path) -> None:
    rds.add_client_error("describe_db_instances", "AccessDenied")

    assert backup_time.main() == 1
    assert value(tmp_path / "a.prom") == 0


@pytest.mark.parametrize(
    ("action", "instance", "allowed"),
    [
        ("rds:DescribeDBInstances", "demo-mlflow", True),
        ("rds:DescribeDBInstances", "demo-mlflow-next", False),
        ("rds:DescribeDBInstances", "*", False),
        ("rds:DeleteDBInstance", "demo-mlflow", False),
        ("rds:CreateDBSnapshot", "demo-mlflow", False),
    ],
)
def test_host_is_allowed_to_describe_its_database_only(
    action: str, instance: str, *, allowed: bool
) -> None:
    found = yaml.safe_load((ROOT / "roles/aws_iam/vars/main.yml").read_text())
    policy = found["__aws_iam_database_policy"]
    variables = {
        "aws_s3": {"arn": "arn:aws:s3:::demo-mlflow"},
        "aws_environment": {"AWS_REGION": "us-east-1"},
        "__aws_iam_account": {"account": ACCOUNT},
        "aws_iam_host_database": "demo-mlflow",
    }
    [statement] = policy["Statement"]
    templar = Templar(DataLoader(), variables)
    statement["Resource"] = str(templar.template(trust_as_template(statement["Resource"])))
    role = f"arn:aws:iam::{ACCOUNT}:role/demo-mlflow-host-us-east-1"
    resource = f"arn:aws:rds:us-east-1:{ACCOUNT}:db:{instance}"
    request = Request(action, resource, (role,), ACCOUNT, {})

    assert evaluate(request, Policies(identity=[policy])).allowed is allowed
