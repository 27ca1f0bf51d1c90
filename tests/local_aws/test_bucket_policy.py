from __future__ import annotations

from typing import Any

import pytest

from local_aws.departures.bucket_policy_conditions import applicable


def statement(**condition: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": "s3:*", "Resource": "*", "Condition": condition}


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("value", ["false", "true", False, ["false"]])
@pytest.mark.parametrize("operator", ["Bool", "BoolIfExists"])
def test_statement_counts_where_its_condition_holds(
    operator: str,
    value: Any,
    secure: bool,  # noqa: FBT001 - parametrized
) -> None:
    policy = {"Statement": [statement(**{operator: {"aws:SecureTransport": value}})]}
    wanted = value[0] if isinstance(value, list) else value
    holds = str(wanted).lower() == str(secure).lower()
    assert len(applicable(policy, secure=secure)["Statement"]) == int(holds)


def test_other_conditions_stay() -> None:
    policy = {
        "Statement": statement(
            Bool={"aws:SecureTransport": "true", "aws:MultiFactorAuthPresent": "false"},
            StringEquals={"aws:PrincipalTag/a": "b"},
        )
    }
    (remaining,) = applicable(policy, secure=True)["Statement"]
    assert remaining["Condition"] == {
        "Bool": {"aws:MultiFactorAuthPresent": "false"},
        "StringEquals": {"aws:PrincipalTag/a": "b"},
    }


def test_statement_without_condition_counts() -> None:
    policy = {"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
    assert applicable(policy, secure=False) == policy
