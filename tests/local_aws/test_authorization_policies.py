"""IAM's logic, case by case as its documentation has it."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.authorization import conditions
from local_aws.authorization.policies import Policies, Request, evaluate

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/reader"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/one"
OBJECT = "arn:aws:s3:::bucket/key"
ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}
DENY = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def granting(principal: Any) -> dict[str, Any]:
    return document(ALL | {"Principal": principal})


def ask(policies: Policies, *, principals: tuple[str, ...] = (SESSION, ROLE)) -> str:
    """Return the reason of a refusal, "" of what is allowed."""
    account = ACCOUNT if principals else ""
    request = Request("s3:GetObject", OBJECT, principals, account, {})
    return evaluate(request, policies).reason


@pytest.mark.parametrize(
    ("policies", "reason"),
    [
        (Policies(), "no identity-based policy allows"),
        (Policies(identity=[document(ALL)]), ""),
        (Policies(identity=[document(ALL), document(DENY)]), "explicit deny in an identity-based"),
        (Policies(identity=[document(ALL)], boundary=[]), "no permissions boundary allows"),
        (Policies(identity=[document(ALL)], boundary=[document(ALL)]), ""),
        (Policies(identity=[document(ALL)], session=[]), "no session policy allows"),
        (Policies(identity=[document(ALL)], organisation=[]), "no service control policy allows"),
        (Policies(identity=[document(ALL)], endpoint=[]), "no VPC endpoint policy allows"),
        (
            Policies(identity=[document(ALL)], organisation=[document(ALL, DENY)]),
            "explicit deny in a service control policy",
        ),
        # Who is named by a resource's policy needs no policy of his own.
        (Policies(resource=granting("*")), ""),
        (Policies(resource=granting({"AWS": ROLE})), ""),
        # Naming the account only leaves it to the account's own policies.
        (Policies(resource=granting({"AWS": ACCOUNT})), "no identity-based policy allows"),
        (
            Policies(resource=granting({"AWS": f"arn:aws:iam::{ACCOUNT}:root"})),
            "no identity-based policy allows",
        ),
        # A boundary limits what is granted to the role, and not what is granted to the session.
        (Policies(resource=granting({"AWS": ROLE}), boundary=[]), "no permissions boundary"),
        (Policies(resource=granting({"AWS": SESSION}), boundary=[]), ""),
        (
            Policies(identity=[document(ALL)], resource=document(DENY | {"Principal": "*"})),
            "explicit deny in a resource-based policy",
        ),
        (
            Policies(
                identity=[document(ALL)],
                resource=document(DENY | {"NotPrincipal": {"AWS": [ROLE, ACCOUNT]}}),
            ),
            "",
        ),
    ],
)
def test_evaluate_policies_gives_the_expected_decision(policies: Policies, reason: str) -> None:
    found = ask(policies)
    assert reason in found
    assert bool(reason) == bool(found)


def test_evaluate_without_credentials_asks_the_resource_only() -> None:
    assert ask(Policies(resource=granting("*")), principals=()) == ""
    assert ask(Policies(resource=granting({"AWS": ACCOUNT})), principals=())
    assert ask(Policies(), principals=())


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ({"Action": "S3:getobject", "Resource": OBJECT}, True),
        ({"Action": ["s3:Get?bject"], "Resource": ["arn:aws:s3:::bucket/*"]}, True),
        ({"NotAction": "s3:Get*", "Resource": "*"}, False),
        ({"NotAction": "iam:*", "Resource": "*"}, True),
        ({"Action": "s3:*", "NotResource": "arn:aws:s3:::bucket/*"}, False),
        ({"Action": "s3:*", "Resource": "arn:aws:s3:::BUCKET/*"}, False),
        ({"Action": "s3:*", "Resource": "arn:aws:s3:*:*:bucket/key"}, True),
        # A wildcard ends at a colon of the ARN's first five.
        ({"Action": "s3:*", "Resource": "arn:aws:*:bucket/key"}, False),
        ({"Action": "s3:*", "Resource": "arn:aws:s3:::${aws:username}/key"}, False),
        ({"Action": "s3:*", "Resource": "arn:aws:s3:::${aws:username, 'bucket'}/key"}, True),
        ({"Action": "s3:*", "NotResource": "arn:aws:s3:::${aws:username}/key"}, False),
        ({"Action": "s3:*", "NotResource": "arn:aws:s3:::${aws:username, 'other'}/key"}, True),
    ],
)
def test_statement_fits_action_and_resource(statement: dict[str, Any], *, allowed: bool) -> None:
    policies = Policies(identity=[document({"Effect": "Allow"} | statement)])
    assert (ask(policies) == "") == allowed


@pytest.mark.parametrize(
    ("operator", "wanted", "values", "holds"),
    [
        ("StringEquals", "a", ("a",), True),
        ("StringEquals", ["a", "b"], ("b",), True),
        ("StringEquals", "a", ("A",), False),
        ("StringEquals", "a", None, False),
        ("StringEqualsIfExists", "a", None, True),
        ("StringEqualsIfExists", "a", ("b",), False),
        ("StringNotEquals", ["a", "b"], ("c",), True),
        ("StringNotEquals", ["a", "b"], ("a",), False),
        ("StringNotEquals", "a", None, True),
        ("StringEqualsIgnoreCase", "a", ("A",), True),
        ("StringNotEqualsIgnoreCase", "a", ("A",), False),
        ("StringLike", "a*", ("abc",), True),
        ("StringNotLike", "a?", ("abc",), True),
        ("ForAllValues:StringEquals", ["a", "b"], ("a",), True),
        ("ForAllValues:StringEquals", ["a", "b"], ("a", "c"), False),
        ("ForAllValues:StringEquals", "a", None, True),
        ("ForAnyValue:StringEquals", "a", ("a", "c"), True),
        ("ForAnyValue:StringEquals", "a", ("c",), False),
        ("ForAnyValue:StringEquals", "a", None, False),
        ("ForAnyValue:StringNotEquals", "a", ("a", "c"), True),
        ("Bool", "true", ("true",), True),
        ("Bool", True, ("false",), False),
        ("Bool", False, ("false",), True),
        ("BoolIfExists", "true", None, True),
        ("Null", "true", None, True),
        ("Null", "true", ("a",), False),
        ("Null", "false", ("a",), True),
        ("NumericLessThan", "10", ("9",), True),
        ("NumericLessThan", "10", ("10",), False),
        ("NumericNotEquals", 10, ("11",), True),
        ("NumericEquals", "10", ("ten",), False),
        ("DateGreaterThan", "2026-01-01T00:00:00Z", ("2026-11-28T00:00:00+00:00",), True),
        ("DateLessThan", "2026-01-01T00:00:00Z", ("2026-11-28T00:00:00+00:00",), False),
        ("IpAddress", "10.0.0.0/8", ("10.1.2.3",), True),
        ("NotIpAddress", "10.0.0.0/8", ("10.1.2.3",), False),
        ("NotIpAddress", "10.0.0.0/8", None, True),
        ("ArnLike", "arn:aws:iam::*:role/a*", ("arn:aws:iam::1:role/ab",), True),
        ("ArnNotEquals", "arn:aws:iam::1:role/a", ("arn:aws:iam::1:role/a",), False),
        ("StringEquals", "${aws:username}", ("eva",), True),
        ("StringEquals", "${aws:missing}", ("eva",), False),
    ],
)
def test_condition_matches_as_documented(
    operator: str, wanted: Any, values: tuple[str, ...] | None, *, holds: bool
) -> None:
    context = {"aws:username": ("eva",)} | ({"a:key": values} if values else {})
    assert conditions.hold({operator: {"A:Key": wanted}}, context) == holds


def test_condition_with_an_unknown_operator_is_an_error() -> None:
    with pytest.raises(conditions.UnknownOperatorError):
        conditions.hold({"StringEqualsNot": {"a:key": "a"}}, {"a:key": ("a",)})
