"""Prowler's findings in an empty account, and in the same one with a deployment."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.audit.findings import Accepted, Finding, environment
from tests.conftest import ROOT, LocalAws, started

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

    told: list[dict[str, Any]]
    errors: str
    # Check and resource of what another audit has told already.
    known: frozenset[tuple[str, str]] = frozenset()

    @property
    def failed(self) -> list[Finding]:
        """The checks that failed."""
        return [
            Finding(
                Accepted(
                    item["metadata"]["event_code"],
                    item["severity"].lower(),
                    "account" if self._key(item) in self.known else "deployment",
                ),
                item["resources"][0]["uid"],
                item["status_detail"],
            )
            for item in self.told
            if item["status_code"] == "FAIL"
        ]

    @property
    def passed(self) -> set[str]:
        """The checks that a resource passed which no other audit has told of."""
        return {
            item["metadata"]["event_code"]
            for item in self.told
            if item["status_code"] == "PASS" and self._key(item) not in self.known
        }

    @property
    def keys(self) -> frozenset[tuple[str, str]]:
        """Check and resource of each finding."""
        return frozenset(self._key(item) for item in self.told)

    @property
    def unanswered(self) -> set[str]:
        """Operations that local AWS did not answer."""
        return set(re.findall(r"when calling the (\w+) operation", self.errors))

    @staticmethod
    def _key(item: dict[str, Any]) -> tuple[str, str]:
        return item["metadata"]["event_code"], item["resources"][0]["uid"]


def prowl(aws: LocalAws, name: str, known: frozenset[tuple[str, str]] = frozenset()) -> Audit:
    """Run Prowler; its report and its log stay until the next run."""
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
    told = json.loads((reports / f"{name}.ocsf.json").read_text())
    return Audit(told, (reports / f"{name}.log").read_text(), known)


@pytest.fixture(scope="session")
def aws() -> Iterator[LocalAws]:
    # What an interrupted run has left on this machine belongs to another deployment.
    shutil.rmtree(ROOT / ".deploy" / NAME, ignore_errors=True)
    yield from started(
        LocalAws(
            ROOT / ".cache/audit",
            5579,
            {
                "deployment": NAME,
                # The inventory of local AWS has it otherwise than the role.
                "aws_rds_deletion_protection": True,
                # A play of the tests' own would look for it beside itself.
                "deployment_dir": str(ROOT / ".deploy" / NAME),
            },
        )
    )


@dataclass(frozen=True)
class Audits:
    """The account before and after the playbooks."""

    empty: Audit
    deployed: Audit


@pytest.fixture(scope="session")
def audits(aws: LocalAws) -> Audits:
    reports = ROOT / ".cache/audit-reports"
    # Prowler appends to a report that is there.
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    empty = prowl(aws, "empty")
    play = aws.play("tests/audit/deployment.yml")
    assert play.returncode == 0, play.output
    return Audits(empty, prowl(aws, "deployed", empty.keys))
