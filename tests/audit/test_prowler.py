"""What an auditor of AWS accounts finds in one with a deployment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT
from tests.findings import PAGE, accepted, stale, unexplained

if TYPE_CHECKING:
    from tests.audit.conftest import Audits

pytestmark = pytest.mark.slow

# Of each service what the deployment stands for: a check that cannot ask says nothing, which looks
# like a good answer.
PROMISED = {
    "awslambda_function_not_publicly_accessible",
    "cloudwatch_log_group_not_publicly_accessible",
    "ec2_ebs_volume_encryption",
    "ec2_instance_imdsv2_enabled",
    "ec2_instance_secrets_user_data",
    "ec2_securitygroup_allow_ingress_from_internet_to_any_port",
    "ec2_securitygroup_default_restrict_traffic",
    "iam_inline_policy_allows_privilege_escalation",
    "iam_inline_policy_no_administrative_privileges",
    "rds_instance_certificate_expiration",
    "rds_instance_no_public_access",
    "rds_instance_storage_encrypted",
    "rds_instance_transport_encrypted",
    "s3_bucket_level_public_access_block",
    "s3_bucket_policy_public_write_access",
    "s3_bucket_public_access",
    "vpc_endpoint_connections_trust_boundaries",
    "vpc_subnet_no_public_ip_by_default",
}


def test_the_deployment_keeps_its_promises(audits: Audits) -> None:
    assert PROMISED - audits.deployed.passed == set()


def test_every_finding_is_explained(audits: Audits) -> None:
    lines = accepted(rated=True)

    assert unexplained(audits.deployed.failed, lines) == []


def test_no_explanation_outlives_its_finding(audits: Audits) -> None:
    lines = accepted(rated=True)

    assert stale(audits.deployed.failed, lines) == []


def test_unanswered_operation_is_named_in_the_page(audits: Audits) -> None:
    page = (ROOT / PAGE).read_text()
    named = set(re.findall(r"`([A-Z][A-Za-z]+)`", page))

    assert audits.deployed.unanswered - named == set()
