"""Departure: lists are answered page by page, and go on while what they list is deleted."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.functions import archive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.conftest import LocalAws

POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
    }
)


@dataclass(frozen=True)
class Kind:
    """A kind of resource: how one is made, listed and deleted, and the size of a page."""

    service: str
    operation: str
    key: str
    name: str | None
    page: int
    make: Callable[[Any, str], None]
    delete: Callable[[Any, str], None]
    arguments: tuple[tuple[str, str], ...] = ()

    def pages(self, client: Any) -> Iterator[list[str]]:
        """Yield the names of our resources on each page of botocore's paginator."""
        pages = client.get_paginator(self.operation).paginate(**dict(self.arguments))
        for page in pages:
            yield [item[self.name] if self.name else item for item in page[self.key]]


def _api_id(client: Any, name: str) -> str:
    pages = client.get_paginator("get_apis").paginate()
    return next(api["ApiId"] for page in pages for api in page["Items"] if api["Name"] == name)


KINDS = [
    Kind(
        "iam",
        "list_roles",
        "Roles",
        "RoleName",
        100,
        lambda iam, name: iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}"),
        lambda iam, name: iam.delete_role(RoleName=name),
    ),
    Kind(
        "iam",
        "list_instance_profiles",
        "InstanceProfiles",
        "InstanceProfileName",
        100,
        lambda iam, name: iam.create_instance_profile(InstanceProfileName=name),
        lambda iam, name: iam.delete_instance_profile(InstanceProfileName=name),
    ),
    Kind(
        "iam",
        "list_role_policies",
        "PolicyNames",
        None,
        100,
        lambda iam, name: iam.put_role_policy(
            RoleName="functions", PolicyName=name, PolicyDocument=POLICY
        ),
        lambda iam, name: iam.delete_role_policy(RoleName="functions", PolicyName=name),
        (("RoleName", "functions"),),
    ),
    Kind(
        "lambda",
        "list_functions",
        "Functions",
        "FunctionName",
        50,
        lambda functions, name: functions.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="code.handler",
            Role="arn:aws:iam::123456789012:role/functions",
            Code={"ZipFile": archive("def handler(event, context): pass")},
        ),
        lambda functions, name: functions.delete_function(FunctionName=name),
    ),
    Kind(
        "secretsmanager",
        "list_secrets",
        "SecretList",
        "Name",
        100,
        lambda secrets, name: secrets.create_secret(Name=name, SecretString="x"),
        lambda secrets, name: secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True),
    ),
    Kind(
        "logs",
        "describe_log_groups",
        "logGroups",
        "logGroupName",
        50,
        lambda logs, name: logs.create_log_group(logGroupName=name),
        lambda logs, name: logs.delete_log_group(logGroupName=name),
    ),
    Kind(
        "rds",
        "describe_db_parameter_groups",
        "DBParameterGroups",
        "DBParameterGroupName",
        100,
        lambda rds, name: rds.create_db_parameter_group(
            DBParameterGroupName=name, DBParameterGroupFamily="postgres17", Description="x"
        ),
        lambda rds, name: rds.delete_db_parameter_group(DBParameterGroupName=name),
    ),
    Kind(
        "apigatewayv2",
        "get_apis",
        "Items",
        "Name",
        25,
        lambda gateway, name: gateway.create_api(Name=name, ProtocolType="HTTP"),
        lambda gateway, name: gateway.delete_api(ApiId=_api_id(gateway, name)),
    ),
]
IDS = [kind.operation for kind in KINDS]


def ours(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith("paged-"))


# Making so many takes time: both tests of a kind use the same.
@pytest.fixture(scope="module")
def full(
    aws: LocalAws, role: str, request: pytest.FixtureRequest
) -> Iterator[tuple[Any, Kind, list[str]]]:
    """An account with three resources of a kind more than a page holds."""
    del role
    kind: Kind = request.param
    client = aws.client(kind.service)
    names = [f"paged-{number}" for number in range(kind.page + 3)]
    for name in names:
        kind.make(client, name)
    yield client, kind, sorted(names)
    for page in list(kind.pages(client)):
        for name in ours(page):
            kind.delete(client, name)


@pytest.mark.parametrize("full", KINDS, ids=IDS, indirect=True)
def test_list_longer_than_a_page_is_paged_as_documented(
    full: tuple[Any, Kind, list[str]],
) -> None:
    client, kind, names = full
    pages = list(kind.pages(client))
    first = getattr(client, kind.operation)(**dict(kind.arguments))[kind.key]

    assert len(first) == kind.page
    assert [len(page) for page in pages[:-1]] == [kind.page] * (len(pages) - 1)
    assert ours(name for page in pages for name in page) == names


@pytest.mark.parametrize("full", KINDS, ids=IDS, indirect=True)
def test_list_whose_items_are_deleted_meanwhile_goes_on(
    full: tuple[Any, Kind, list[str]],
) -> None:
    client, kind, names = full
    pages = kind.pages(client)
    seen = ours(next(pages))
    *others, last = [name for name in names if name not in seen]
    for name in seen + others:
        kind.delete(client, name)
    seen += [name for page in pages for name in ours(page)]

    assert Counter(seen) == Counter({*names} - {*others})
    assert last in seen


def test_list_with_limit_has_pages_of_that_size(aws: LocalAws, network: dict[str, Any]) -> None:
    ec2 = aws.client("ec2")
    filters = [{"Name": "vpc-id", "Values": [network["vpc"]]}]
    groups = {
        ec2.create_security_group(GroupName=f"paged-{i}", Description="x", VpcId=network["vpc"])[
            "GroupId"
        ]
        for i in range(9)
    }
    paginator = ec2.get_paginator("describe_security_groups")
    sizes, seen = [], []
    for page in paginator.paginate(Filters=filters, PaginationConfig={"PageSize": 5}):
        sizes.append(len(page["SecurityGroups"]))
        for group in page["SecurityGroups"]:
            seen.append(group["GroupId"])
            if group["GroupId"] in groups:
                ec2.delete_security_group(GroupId=group["GroupId"])

    assert sizes[0] == 5
    assert groups <= set(seen)
    assert len(seen) == len(set(seen))


def test_parameters_of_a_group_are_paged(aws: LocalAws) -> None:
    rds = aws.client("rds")
    rds.create_db_parameter_group(
        DBParameterGroupName="paged", DBParameterGroupFamily="postgres17", Description="x"
    )
    pages = list(rds.get_paginator("describe_db_parameters").paginate(DBParameterGroupName="paged"))
    rds.delete_db_parameter_group(DBParameterGroupName="paged")
    names = [one["ParameterName"] for page in pages for one in page["Parameters"]]

    assert [len(page["Parameters"]) for page in pages[:-1]] == [100] * (len(pages) - 1)
    assert len(pages) > 1
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("service", "operation", "token"),
    [
        ("iam", "list_roles", "Marker"),
        ("lambda", "list_functions", "Marker"),
        ("ec2", "describe_vpcs", "NextToken"),
        ("apigatewayv2", "get_apis", "NextToken"),
    ],
)
def test_page_token_invalid_is_refused(
    aws: LocalAws, service: str, operation: str, token: str
) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(aws.client(service), operation)(**{token: "no page"})

    assert refused.value.response["Error"]["Code"] == "InvalidParameterValue"
