"""What an auditor of SSH servers finds at the host of a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ssh_audit import findings

if TYPE_CHECKING:
    from tests.audit.conftest import Audits
    from tests.conftest import LocalAws

pytestmark = pytest.mark.slow


def test_ssh_server_has_no_finding_that_is_not_explained(aws: LocalAws, audits: Audits) -> None:
    assert audits.deployed.passed
    [reservation] = aws.client("ec2").describe_instances(
        Filters=[
            {"Name": "tag:Name", "Values": ["audit-mlflow"]},
            {"Name": "instance-state-name", "Values": ["running"]},
        ]
    )["Reservations"]

    assert findings(reservation["Instances"][0]["PublicIpAddress"]) == {}
