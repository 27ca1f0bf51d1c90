"""Local AWS decides as iam-simulate does, over generated policies.

iam-simulate is a program of its own, in Node.js, which the test environment has.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local_aws.authorization.policies import Policies, Request, evaluate
from tests.conftest import BIN

pytestmark = pytest.mark.slow

CASES = 4000
PROGRAM = Path(__file__).parent / "iam_simulate"
ACCOUNT = "123456789012"
USER = f"arn:aws:iam::{ACCOUNT}:user/b"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s"
ACTIONS = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
RESOURCES = ["arn:aws:s3:::b/k", "arn:aws:s3:::b/x/k", "arn:aws:s3:::c/k"]
ACTION_PATTERNS = [
    *("*", "s3:*", "s3:Get*", "s3:getobject", "s3:?etObject", "s3:PutObject", "iam:*"),
    ["s3:Put*", "s3:Delete*"],
]
RESOURCE_PATTERNS = [
    *("*", "arn:aws:s3:::b/*", "arn:aws:s3:::*", "arn:aws:s3:::?/k", "arn:aws:s3:::c/k"),
    ["arn:aws:s3:::b/k", "arn:aws:s3:::c/*"],
    "arn:aws:s3:::${aws:username}/k",
]
PRINCIPALS = [
    "*",
    *({"AWS": name} for name in ("*", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root")),
    *({"AWS": name} for name in (USER, ROLE, SESSION, f"arn:aws:iam::{ACCOUNT}:user/other")),
]
# What a request may say of itself; None where it says nothing.
CONTEXT: dict[str, list[Any]] = {
    "aws:username": ["b", "eva", None],
    "aws:SourceIp": ["10.1.2.3", "192.0.2.1", None],
    "aws:SecureTransport": ["true", "false"],
    "aws:CurrentTime": ["2026-11-28T00:00:00Z"],
    "aws:UserAgent": ["cli", "Web"],
    "aws:MultiFactorAuthAge": ["10", "300", None],
    "aws:CalledVia": [["a.amazonaws.com"], ["a.amazonaws.com", "b.amazonaws.com"], None],
    "aws:SourceArn": ["arn:aws:sns:us-east-1:1:t", None],
}
CONDITIONS = [
    ("StringEquals", "aws:username", ["b", "eva", "x"]),
    ("StringEquals", "aws:UserAgent", ["${aws:username}", "cli"]),
    ("StringNotEquals", "aws:username", ["b", "x"]),
    ("StringLike", "aws:UserAgent", ["c*", "W?b", "*"]),
    ("StringNotLike", "aws:UserAgent", ["c*"]),
    ("StringEqualsIgnoreCase", "aws:UserAgent", ["WEB", "CLI"]),
    ("StringNotEqualsIgnoreCase", "aws:UserAgent", ["WEB"]),
    ("Bool", "aws:SecureTransport", ["true"]),
    ("Bool", "aws:SecureTransport", ["false"]),
    ("IpAddress", "aws:SourceIp", ["10.0.0.0/8", "192.0.2.1"]),
    ("NotIpAddress", "aws:SourceIp", ["10.0.0.0/8"]),
    ("NumericLessThan", "aws:MultiFactorAuthAge", ["100", "5"]),
    ("NumericGreaterThanEquals", "aws:MultiFactorAuthAge", ["10"]),
    ("NumericNotEquals", "aws:MultiFactorAuthAge", ["10"]),
    ("DateGreaterThan", "aws:CurrentTime", ["2026-01-01T00:00:00Z"]),
    ("DateGreaterThan", "aws:CurrentTime", ["2027-01-01T00:00:00Z"]),
    ("DateLessThanEquals", "aws:CurrentTime", ["2026-11-28T00:00:00Z"]),
    ("Null", "aws:username", ["true"]),
    ("Null", "aws:SourceIp", ["false"]),
    ("ForAllValues:StringEquals", "aws:CalledVia", ["a.amazonaws.com"]),
    ("ForAnyValue:StringEquals", "aws:CalledVia", ["b.amazonaws.com", "a.amazonaws.com"]),
    ("ForAnyValue:StringLike", "aws:CalledVia", ["b.*"]),
    ("ForAllValues:StringNotEquals", "aws:CalledVia", ["b.amazonaws.com"]),
    ("ForAnyValue:StringNotEquals", "aws:CalledVia", ["a.amazonaws.com"]),
    ("ArnLike", "aws:SourceArn", ["arn:aws:sns:*:1:*", "arn:aws:sqs:*:1:*"]),
    ("ArnNotEquals", "aws:SourceArn", ["arn:aws:sns:us-east-1:1:t"]),
    ("ArnNotLike", "aws:SourceArn", ["arn:aws:sns:*:2:*"]),
]


class Generator:
    """Makes requests and policies, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        """Start from a seed."""
        self._random = random.Random(seed)  # noqa: S311  no secrets

    def case(self) -> dict[str, Any]:
        """Return a request and its policies."""
        caller = self._random.choice([USER, SESSION])
        context = {key: self._random.choice(values) for key, values in CONTEXT.items()}
        if caller == SESSION:
            context["aws:username"] = None
        return {
            "caller": caller,
            "context": {key: value for key, value in context.items() if value is not None},
            "action": self._random.choice(ACTIONS),
            "resource": self._random.choice(RESOURCES),
            "identity": [self._document() for _ in range(self._random.randint(0, 2))],
            "boundary": [self._document()] if self._is(0.25) else None,
            "organisation": [self._document()] if self._is(0.25) else None,
            "policy": self._document(with_principal=True) if self._is(0.5) else None,
        }

    def _is(self, share: float) -> bool:
        return self._random.random() < share

    def _document(self, *, with_principal: bool = False) -> dict[str, Any]:
        statements = [self._statement() for _ in range(self._random.randint(1, 3))]
        if with_principal:
            for statement in statements:
                statement["Principal"] = self._random.choice(PRINCIPALS)
        return {"Version": "2012-10-17", "Statement": statements}

    def _statement(self) -> dict[str, Any]:
        statement: dict[str, Any] = {
            "Effect": "Deny" if self._is(0.25) else "Allow",
            "NotAction" if self._is(0.15) else "Action": self._random.choice(ACTION_PATTERNS),
            "NotResource" if self._is(0.15) else "Resource": self._random.choice(RESOURCE_PATTERNS),
        }
        conditions: dict[str, Any] = {}
        for _ in range(self._random.choice([0, 0, 1, 1, 2])):
            operator, key, values = self._random.choice(CONDITIONS)
            wanted = self._random.sample(values, self._random.randint(1, len(values)))
            if operator != "Null" and ":" not in operator and self._is(0.25):
                operator += "IfExists"
            conditions.setdefault(operator, {})[key] = wanted[0] if len(wanted) == 1 else wanted
        return statement | ({"Condition": conditions} if conditions else {})


def simulation(case: dict[str, Any]) -> dict[str, Any]:
    """Return the case as iam-simulate takes it."""
    organisation = {"orgIdentifier": "o-1", "policies": named(case["organisation"] or [])}
    given: dict[str, Any] = {
        "request": {
            "principal": case["caller"],
            "action": case["action"],
            "resource": {"resource": case["resource"], "accountId": ACCOUNT},
            "contextVariables": case["context"],
        },
        "identityPolicies": named(case["identity"]),
        "serviceControlPolicies": [organisation] if case["organisation"] else [],
        "resourceControlPolicies": [],
    }
    if case["boundary"]:
        given["permissionBoundaryPolicies"] = named(case["boundary"])
    if case["policy"]:
        given["resourcePolicy"] = case["policy"]
    return given


def named(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": f"p{number}", "policy": one} for number, one in enumerate(documents)]


def decision(case: dict[str, Any]) -> bool:
    """Return what local AWS decides."""
    caller = case["caller"]
    context = {
        key.lower(): tuple(value if isinstance(value, list) else [value])
        for key, value in case["context"].items()
    }
    principals = (caller, ROLE) if caller == SESSION else (caller,)
    return evaluate(
        Request(case["action"], case["resource"], principals, ACCOUNT, context),
        Policies(
            identity=case["identity"],
            boundary=case["boundary"],
            organisation=case["organisation"],
            resource=case["policy"],
        ),
    ).allowed


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, installed as its lock says."""
    folder = tmp_path_factory.mktemp("program") / PROGRAM.name
    shutil.copytree(PROGRAM, folder, ignore=shutil.ignore_patterns("node_modules"))
    subprocess.run(
        [BIN / "npm", "ci", "--ignore-scripts"], cwd=folder, check=True, capture_output=True
    )
    return folder


@pytest.mark.parametrize("seed", [1, 2])
def test_evaluate_decides_as_iam_simulate(program: Path, seed: int) -> None:
    generator = Generator(seed)
    cases = [generator.case() for _ in range(CASES)]
    done = subprocess.run(
        [BIN / "node", "simulate.mjs"],
        cwd=program,
        input="\n".join(json.dumps(simulation(case)) for case in cases),
        text=True,
        capture_output=True,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer for answer in answers if answer.get("errors")] == []
    differing = [
        (answer["result"], case)
        for case, answer in zip(cases, answers, strict=True)
        if (answer["result"] == "Allowed") != decision(case)
    ]
    assert differing == []
    # Neither says the same to everything.
    assert {answer["result"] for answer in answers} == {
        "Allowed",
        "ExplicitlyDenied",
        "ImplicitlyDenied",
    }
