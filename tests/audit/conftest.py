"""Prowler's findings in an empty account, with neighbours, and with a deployment beside them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from local_aws.profile import ADMINISTRATOR
from tests.conftest import ROOT, LocalAws, started
from tests.findings import Accepted, Finding, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "audit"
PROWLER = ROOT / ".venv-audit/prowler/bin/prowler"
# Those that the playbooks use.
SERVICES = [
    "apigatewayv2",
    "awslambda",
    "cloudwatch",
    "ec2",
    "iam",
    "rds",
    "s3",
    "secretsmanager",
    "vpc",
]


@dataclass(frozen=True)
class Audit:
    """What Prowler said."""

    items: list[dict[str, Any]]
    errors: str
    # Check and resource of what the empty account has, and of what neighbours have in it.
    account: frozenset[tuple[str, str]] = frozenset()
    neighbours: frozenset[tuple[str, str]] = frozenset()

    @property
    def failed(self) -> list[Finding]:
        """The checks that failed, except on resources of neighbours."""
        return [
            Finding(
                Accepted(
                    item["metadata"]["event_code"],
                    item["severity"].lower(),
                    "account" if self._key(item) in self.account else "deployment",
                ),
                item["resources"][0]["uid"],
                item["status_detail"],
            )
            for item in self.items
            if item["status_code"] == "FAIL" and self._key(item) not in self.neighbours
        ]

    @property
    def passed(self) -> set[str]:
        """The checks that a resource of the deployment passed."""
        return {
            item["metadata"]["event_code"]
            for item in self.items
            if item["status_code"] == "PASS"
            and self._key(item) not in self.account | self.neighbours
        }

    @property
    def keys(self) -> frozenset[tuple[str, str]]:
        """Check and resource of each finding."""
        return frozenset(self._key(item) for item in self.items)

    @property
    def unanswered(self) -> set[str]:
        """Operations that local AWS did not answer."""
        return set(re.findall(r"when calling the (\w+) operation", self.errors))

    @staticmethod
    def _key(item: dict[str, Any]) -> tuple[str, str]:
        return item["metadata"]["event_code"], item["resources"][0]["uid"]


def prowl(aws: LocalAws, name: str, *before: Audit) -> Audit:
    """Run Prowler as the account's administrator; its report and its log stay until the next run.

    Parameters
    ----------
    aws
        The account.
    name
        Name of the report.
    before
        The audits of the empty account and of the one with neighbours.
    """
    reports = ROOT / ".cache/audit-reports"
    result = subprocess.run(
        [
            *(str(PROWLER), "aws", "--region", "us-east-1", "--services", *SERVICES),
            *("--severity", "critical", "high", "--scan-unused-services", "--ignore-exit-code-3"),
            *("--output-formats", "json-ocsf", "--output-directory", str(reports)),
            *("--output-filename", name, "--no-banner", "--no-color"),
            *("--log-level", "ERROR", "--log-file", str(reports / f"{name}.log")),
            *("--aws-retries-max-attempts", "1"),
        ],
        env=environment(
            {
                # Auditors may read everything; the deployer may read what is the deployment's.
                "AWS_PROFILE": ADMINISTRATOR.profile,
                "AWS_CONFIG_FILE": str(aws.directory / "config"),
                "AWS_SHARED_CREDENTIALS_FILE": str(aws.directory / "config"),
                "AWS_ENDPOINT_URL": f"https://127.0.0.1:{aws.port}",
                "AWS_CA_BUNDLE": str(aws.directory / "ca.pem"),
            }
        ),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    items = json.loads((reports / f"{name}.ocsf.json").read_text())
    errors = (reports / f"{name}.log").read_text()
    account, *others = (one.keys for one in before) if before else (frozenset(),)
    return Audit(items, errors, account, frozenset().union(*others) - account)


@pytest.fixture(scope="session")
def aws() -> Iterator[LocalAws]:
    reports = ROOT / ".cache/audit-reports"
    # Prowler appends to a report that exists.
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    # What an interrupted run has left on this machine belongs to another deployment.
    shutil.rmtree(ROOT / ".deploy" / NAME, ignore_errors=True)
    local_aws = LocalAws(
        ROOT / ".cache/audit",
        5579,
        {
            "deployment": NAME,
            "monitoring_enabled": False,
            # The inventory of local AWS has it otherwise than the role.
            "aws_rds_deletion_protection": True,
            # A play of the tests' own would look for it beside itself.
            "deployment_dir": str(ROOT / ".deploy" / NAME),
        },
    )
    yield from started(local_aws, lambda: _empty.append(prowl(local_aws, "empty")))


# The audit of the account before anybody lives in it.
_empty: list[Audit] = []


@dataclass(frozen=True)
class Audits:
    """The account without anything, and with neighbours and the deployment."""

    empty: Audit
    deployed: Audit


@pytest.fixture(scope="session")
def audits(aws: LocalAws) -> Audits:
    [empty] = _empty
    neighbours = prowl(aws, "neighbours")
    play = aws.play("tests/audit/deployment.yml")
    assert play.returncode == 0, play.output
    return Audits(empty, prowl(aws, "deployed", empty, neighbours))
