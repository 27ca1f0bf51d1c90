"""What an auditor of TLS servers finds at the proxy of a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local_aws.settings import Settings
from tests.audit.conftest import NAME
from tests.conftest import ROOT
from tests.findings import PROXY, Accepted, Finding, accepted, stale, unexplained
from tests.testssl import tls_findings

if TYPE_CHECKING:
    from tests.audit.conftest import Audits
    from tests.conftest import LocalAws

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def findings(
    aws: LocalAws, audits: Audits, tmp_path_factory: pytest.TempPathFactory
) -> list[Finding]:
    assert audits.deployed.passed
    [reservation] = aws.client("ec2").describe_instances(
        Filters=[
            {"Name": "tag:Name", "Values": [f"{NAME}-mlflow"]},
            {"Name": "instance-state-name", "Values": ["running"]},
        ]
    )["Reservations"]
    address = reservation["Instances"][0]["PublicIpAddress"]
    authority = ROOT / ".deploy" / NAME / "ca.pem"
    settings = Settings(data_dir=tmp_path_factory.mktemp("testssl"))
    return [
        Finding(Accepted(one.check, one.severity.lower(), PROXY), address, one.message)
        for one in tls_findings(settings, address, 5000, authority)
    ]


def test_every_finding_is_explained(findings: list[Finding]) -> None:
    assert unexplained(findings, accepted(rated=True, proxy=True)) == []


def test_no_explanation_outlives_its_finding(findings: list[Finding]) -> None:
    assert stale(findings, accepted(rated=True, proxy=True)) == []
