"""Departure: credentials of a session that is over are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalAws


@pytest.fixture
def over(aws: LocalAws) -> Iterator[str]:
    """The token of a session that is over."""
    expired = aws.directory / "expired"
    expired.write_text("yesterday\n")
    yield "yesterday"
    expired.unlink()


def ask(aws: LocalAws, token: str, service: str, operation: str) -> None:
    session = boto3.Session("ASIATESTS0000000000", "8d1c2f0e6b7a4953", token, "us-east-1")
    client = session.client(
        service,
        endpoint_url=f"https://127.0.0.1:{aws.port}",
        verify=str(aws.directory / "ca.pem"),
    )
    getattr(client, operation)()


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("sts", "get_caller_identity", "ExpiredToken"),
        ("iam", "list_roles", "ExpiredToken"),
        ("ec2", "describe_vpcs", "RequestExpired"),
        ("rds", "describe_db_instances", "ExpiredToken"),
        ("s3", "list_buckets", "ExpiredToken"),
    ],
)
def test_session_that_is_over_is_refused_and_another_is_not(
    aws: LocalAws, over: str, service: str, operation: str, code: str
) -> None:
    ask(aws, "today", service, operation)
    with pytest.raises(ClientError) as refused:
        ask(aws, over, service, operation)

    assert refused.value.response["Error"]["Code"] == code
