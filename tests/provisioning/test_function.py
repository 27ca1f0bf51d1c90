"""The function is found by its name, whatever else the account has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.functions import archive, trusting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalAws

FIND = "tests/provisioning/find_function.yml"
ROLE = "arn:aws:iam::123456789012:role/functions"


@pytest.fixture
def confined(aws: LocalAws) -> Iterator[LocalAws]:
    """An account with a stranger's function, whose functions nobody is allowed to list."""
    aws.client("iam").create_role(RoleName="functions", AssumeRolePolicyDocument=trusting("lambda"))
    make(aws, "stranger")
    with aws.denied("lambda:ListFunctions"):
        yield aws
    for name in ("stranger", "prov-mlflow-metrics"):
        aws.client("lambda").delete_function(FunctionName=name)
    aws.client("iam").delete_role(RoleName="functions")


def make(aws: LocalAws, name: str) -> str:
    made = aws.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="code.handler",
        Role=ROLE,
        Code={"ZipFile": archive("def handler(event, context): pass")},
    )
    arn: str = made["FunctionArn"]
    return arn


def test_function_is_found_without_listing_functions(confined: LocalAws) -> None:
    before = confined.play(FIND)
    arn = make(confined, "prov-mlflow-metrics")
    after = confined.play(FIND, "--check")

    assert before.returncode == after.returncode == 0, before.output + after.output
    assert "found: no function" in before.output
    assert f"found: {arn}" in after.output
