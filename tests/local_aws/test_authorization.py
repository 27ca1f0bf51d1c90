"""Every call is authenticated and authorized, in each protocol."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from local_aws import profile
from tests.conftest import LocalAws, started
from tests.tracking_server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTS = [
    ("apigatewayv2", "get_apis", "apigateway:GET"),
    ("ec2", "describe_vpcs", "ec2:DescribeVpcs"),
    ("iam", "list_roles", "iam:ListRoles"),
    ("lambda", "list_functions", "lambda:ListFunctions"),
    ("logs", "describe_log_groups", "logs:DescribeLogGroups"),
    ("rds", "describe_db_instances", "rds:DescribeDBInstances"),
    ("s3", "list_buckets", "s3:ListAllMyBuckets"),
    ("secretsmanager", "list_secrets", "secretsmanager:ListSecrets"),
]
ROLE = "arn:aws:iam::123456789012:role/reader"
TRUST = json.dumps(
    {
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": "123456789012"},
            "Action": "sts:AssumeRole",
        }
    }
)


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS whose deployer has no rights but those that a test gives him."""
    for own in started(LocalAws(tmp_path_factory.mktemp("aws"), free_port())):
        allow(own)
        yield own


def allow(aws: LocalAws, *statements: dict[str, Any]) -> None:
    """Give who deploys these statements and no others."""
    aws.allow("tests", document(*statements))


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def statement(action: str, resource: str = "*", **condition: Any) -> dict[str, Any]:
    allowed = {"Effect": "Allow", "Action": action, "Resource": resource}
    return allowed | ({"Condition": condition} if condition else {})


def client(aws: LocalAws, service: str, **credentials: Any) -> Any:
    """Return a client with credentials of its own."""
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=f"https://127.0.0.1:{aws.port}",
        verify=str(aws.directory / "ca.pem"),
        config=Config(
            retries={"max_attempts": 1}, signature_version=credentials.pop("version", None)
        ),
        **credentials,
    )


def code(call: Any, **arguments: Any) -> str:
    """Return the error code of a call that is refused."""
    return str(error(call, **arguments)["Code"])


def error(call: Any, **arguments: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    found: dict[str, Any] = refused.value.response["Error"]
    return found


@pytest.mark.parametrize(
    ("service", "operation", "expected"),
    [
        ("apigatewayv2", "get_apis", "InvalidSignatureException"),
        ("ec2", "describe_vpcs", "AuthFailure"),
        ("iam", "list_roles", "SignatureDoesNotMatch"),
        ("lambda", "list_functions", "InvalidSignatureException"),
        ("logs", "describe_log_groups", "InvalidSignatureException"),
        ("rds", "describe_db_instances", "SignatureDoesNotMatch"),
        ("s3", "list_buckets", "SignatureDoesNotMatch"),
        ("secretsmanager", "list_secrets", "InvalidSignatureException"),
        ("sts", "get_caller_identity", "SignatureDoesNotMatch"),
    ],
)
def test_call_with_another_secret_is_refused(
    aws: LocalAws, service: str, operation: str, expected: str
) -> None:
    key = profile.ADMINISTRATOR.access_key
    other = client(aws, service, aws_access_key_id=key, aws_secret_access_key="another")
    assert code(getattr(other, operation)) == expected


@pytest.mark.parametrize(
    ("service", "operation", "expected"),
    [
        ("ec2", "describe_vpcs", "AuthFailure"),
        ("iam", "list_roles", "InvalidClientTokenId"),
        ("s3", "list_buckets", "InvalidAccessKeyId"),
        ("secretsmanager", "list_secrets", "UnrecognizedClientException"),
    ],
)
def test_call_with_an_unknown_key_is_refused(
    aws: LocalAws, service: str, operation: str, expected: str
) -> None:
    other = client(
        aws, service, aws_access_key_id="AKIANOBODY0000000000", aws_secret_access_key="any"
    )
    assert code(getattr(other, operation)) == expected


@pytest.mark.parametrize(("service", "operation", "action"), LISTS)
def test_call_that_no_policy_allows_is_refused_with_its_action(
    aws: LocalAws, service: str, operation: str, action: str
) -> None:
    allow(aws, statement("sqs:*"))
    refusal = error(getattr(aws.client(service, profile.DEPLOYER), operation))
    assert refusal["Code"] in {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
    assert f"user/deployer is not authorized to perform: {action}" in refusal["Message"]


@pytest.mark.parametrize(("service", "operation", "action"), LISTS)
def test_call_that_a_policy_allows_is_done_and_kept(
    aws: LocalAws, service: str, operation: str, action: str
) -> None:
    allow(aws, statement(action))
    getattr(aws.client(service, profile.DEPLOYER), operation)()
    assert action in aws.actions


def test_policies_of_two_names_are_added_up(aws: LocalAws) -> None:
    allow(aws, statement("iam:ListRoles"))
    aws.allow("other", document(statement("s3:ListAllMyBuckets")))
    aws.client("iam", profile.DEPLOYER).list_roles()
    aws.client("s3", profile.DEPLOYER).list_buckets()


@pytest.mark.parametrize("document", ["{", "[]", "{}", "null"])
def test_policy_invalid_is_refused(aws: LocalAws, document: str) -> None:
    done = aws.command("allow", "broken", text=document)
    assert done.returncode == 1
    assert "not a valid policy" in done.stderr


def test_tags_of_request_and_resource_decide_on_permission(aws: LocalAws) -> None:
    mine = {"aws:RequestTag/Deployment": "mine"}
    own = {"aws:ResourceTag/Deployment": "mine"}
    allow(
        aws,
        statement("ec2:CreateVpc", "arn:aws:ec2:*:*:vpc/*", StringEquals=mine),
        statement("ec2:CreateTags", StringEquals={"ec2:CreateAction": "CreateVpc"}),
        statement("ec2:DeleteVpc", StringEquals=own),
    )
    ec2, tags = aws.client("ec2", profile.DEPLOYER), {"ResourceType": "vpc"}
    foreign = aws.client("ec2").create_vpc(CidrBlock="10.214.0.0/16")["Vpc"]["VpcId"]

    assert code(ec2.create_vpc, CidrBlock="10.215.0.0/16") == "UnauthorizedOperation"
    made = ec2.create_vpc(
        CidrBlock="10.215.0.0/16",
        TagSpecifications=[tags | {"Tags": [{"Key": "Deployment", "Value": "mine"}]}],
    )["Vpc"]["VpcId"]
    refusal = error(ec2.delete_vpc, VpcId=foreign)
    assert refusal["Code"] == "UnauthorizedOperation"
    assert f"arn:aws:ec2:us-east-1:123456789012:vpc/{foreign}" in refusal["Message"]
    assert (
        code(ec2.create_tags, Resources=[foreign], Tags=[{"Key": "Deployment", "Value": "mine"}])
        == "UnauthorizedOperation"
    )
    ec2.delete_vpc(VpcId=made)


def test_role_is_passed_on_only_to_the_service_that_the_policy_names(aws: LocalAws) -> None:
    iam = aws.client("iam")
    iam.create_role(RoleName="passed", AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName="passed")
    add = {"InstanceProfileName": "passed", "RoleName": "passed"}
    own = aws.client("iam", profile.DEPLOYER)
    to = "iam:PassedToService"

    allow(aws, statement("iam:AddRoleToInstanceProfile"))
    assert "iam:PassRole" in error(own.add_role_to_instance_profile, **add)["Message"]
    allow(
        aws,
        statement("iam:AddRoleToInstanceProfile"),
        statement("iam:PassRole", StringEquals={to: "lambda.amazonaws.com"}),
    )
    assert code(own.add_role_to_instance_profile, **add) == "AccessDenied"
    allow(
        aws,
        statement("iam:AddRoleToInstanceProfile"),
        statement("iam:PassRole", StringEquals={to: "ec2.amazonaws.com"}),
    )
    own.add_role_to_instance_profile(**add)


def test_service_control_policy_denies_what_others_allow(aws: LocalAws) -> None:
    folder = aws.directory / "service-control-policies"
    folder.mkdir(exist_ok=True)
    allow(aws, statement("*"))
    region = {"StringNotEquals": {"aws:RequestedRegion": "eu-west-1"}}
    denied = {"Effect": "Deny", "Action": "ec2:*", "Resource": "*", "Condition": region}
    (folder / "regions.json").write_text(json.dumps({"Statement": [denied]}))
    try:
        refusal = error(aws.client("ec2", profile.DEPLOYER).describe_vpcs)
    finally:
        (folder / "regions.json").unlink()
    assert "with an explicit deny in a service control policy" in refusal["Message"]
    aws.client("ec2", profile.DEPLOYER).describe_vpcs()


def test_session_of_a_role_has_the_role_s_policies_within_its_boundary(aws: LocalAws) -> None:
    iam = aws.client("iam")
    boundary = iam.create_policy(
        PolicyName="boundary", PolicyDocument=document(statement("iam:List*"))
    )["Policy"]["Arn"]
    iam.create_role(RoleName="reader", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=boundary)
    iam.put_role_policy(
        RoleName="reader",
        PolicyName="all",
        PolicyDocument=document(statement("*")),
    )
    given = aws.client("sts").assume_role(RoleArn=ROLE, RoleSessionName="one")["Credentials"]
    credentials = {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }

    who = client(aws, "sts", **credentials).get_caller_identity()["Arn"]
    assert who == "arn:aws:sts::123456789012:assumed-role/reader/one"
    client(aws, "iam", **credentials).list_roles()
    refusal = error(client(aws, "s3", **credentials).list_buckets)
    assert "because no permissions boundary allows" in refusal["Message"]
    wrong = credentials | {"aws_session_token": "another"}
    assert code(client(aws, "iam", **wrong).list_roles) == "InvalidClientTokenId"


@pytest.mark.parametrize(
    ("service", "operation", "expected"),
    [
        ("ec2", "describe_vpcs", "RequestExpired"),
        ("iam", "list_roles", "ExpiredToken"),
        ("rds", "describe_db_instances", "ExpiredToken"),
        ("s3", "list_buckets", "ExpiredToken"),
        ("secretsmanager", "list_secrets", "ExpiredTokenException"),
        ("sts", "get_caller_identity", "ExpiredToken"),
    ],
)
def test_session_expired_is_refused(
    aws: LocalAws, service: str, operation: str, expected: str
) -> None:
    expired = aws.directory / "expired"
    expired.write_text("yesterday\n")
    user = profile.ADMINISTRATOR
    over = client(
        aws,
        service,
        aws_access_key_id=user.access_key,
        aws_secret_access_key=user.secret_key,
        aws_session_token="yesterday",
    )
    try:
        assert code(getattr(over, operation)) == expected
    finally:
        expired.unlink()


def test_presigned_url_is_valid_as_signed_only(aws: LocalAws) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="presigned")
    s3.put_object(Bucket="presigned", Key="a b", Body=b"text")
    user = profile.ADMINISTRATOR
    signer = client(
        aws,
        "s3",
        version="s3v4",
        aws_access_key_id=user.access_key,
        aws_secret_access_key=user.secret_key,
    )
    url = signer.generate_presigned_url("get_object", {"Bucket": "presigned", "Key": "a b"})
    other = url.replace("a%20b", "a%20c")
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(aws.directory / "ca.pem")
        assert session.get(url).text == "text"
        assert session.get(other).status_code == requests.codes.forbidden
        plain = url.partition("?")[0]
        assert session.get(plain).status_code == requests.codes.forbidden


def test_bucket_s_policy_opens_it_and_denies_the_rest(aws: LocalAws) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="open")
    s3.put_object(Bucket="open", Key="public/one", Body=b"text")
    s3.put_object(Bucket="open", Key="other", Body=b"text")
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}
    plain = {"Bool": {"aws:SecureTransport": "false"}}
    denied = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}
    statements = [
        everybody | {"Resource": "arn:aws:s3:::open/public/*"},
        denied | {"Condition": plain},
    ]
    s3.put_bucket_policy(Bucket="open", Policy=json.dumps({"Statement": statements}))
    s3.get_object(Bucket="open", Key="other")
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(aws.directory / "ca.pem")
        base = f"https://127.0.0.1:{aws.port}/open"
        assert session.get(f"{base}/public/one").text == "text"
        assert session.get(f"{base}/other").status_code == requests.codes.forbidden

    strangers = {"StringNotEquals": {"aws:PrincipalArn": "arn:aws:iam::1:user/no"}}
    read = {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::open/*", "Condition": strangers}
    s3.put_bucket_policy(Bucket="open", Policy=document(denied | read))
    refusal = error(s3.get_object, Bucket="open", Key="other")
    assert "with an explicit deny in a resource-based policy" in refusal["Message"]


def test_objects_deleted_at_once_are_judged_one_by_one(aws: LocalAws) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="several")
    for key in ("mine/a", "other/a"):
        s3.put_object(Bucket="several", Key=key, Body=b"text")
    allow(aws, statement("s3:DeleteObject", "arn:aws:s3:::several/mine/*"))
    done = aws.client("s3", profile.DEPLOYER).delete_objects(
        Bucket="several", Delete={"Objects": [{"Key": "mine/a"}, {"Key": "other/a"}]}
    )
    assert [one["Key"] for one in done["Deleted"]] == ["mine/a"]
    assert [(one["Key"], one["Code"]) for one in done["Errors"]] == [("other/a", "AccessDenied")]


def test_parts_of_a_bucket_are_known_by_the_names_that_policies_have(aws: LocalAws) -> None:
    allow(aws, statement("s3:*"))
    s3 = aws.client("s3", profile.DEPLOYER)
    s3.create_bucket(Bucket="parts")
    s3.head_bucket(Bucket="parts")
    s3.put_bucket_encryption(
        Bucket="parts",
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
    )
    s3.get_bucket_encryption(Bucket="parts")
    s3.put_public_access_block(
        Bucket="parts", PublicAccessBlockConfiguration={"BlockPublicAcls": True}
    )
    s3.delete_public_access_block(Bucket="parts")
    s3.put_bucket_ownership_controls(
        Bucket="parts", OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    )
    s3.delete_bucket(Bucket="parts")

    assert set(aws.actions) >= {
        "s3:GetEncryptionConfiguration",
        "s3:PutEncryptionConfiguration",
        "s3:PutBucketPublicAccessBlock",
        "s3:PutBucketOwnershipControls",
        "s3:ListBucket",
    }


def test_restore_needs_the_default_option_group_if_none_is_named(aws: LocalAws) -> None:
    def restore(option_group: str) -> str:
        kinds = ("db:*", "pg:*", "subgrp:*", "snapshot:*", option_group)
        arns: Any = [f"arn:aws:rds:us-east-1:123456789012:{kind}" for kind in kinds]
        allow(
            aws,
            statement("rds:RestoreDBInstanceFromDBSnapshot", arns),
            statement("iam:CreateServiceLinkedRole"),
        )
        return code(
            aws.client("rds", user=profile.DEPLOYER).restore_db_instance_from_db_snapshot,
            DBInstanceIdentifier="new",
            DBSnapshotIdentifier="unknown",
        )

    assert restore("og:default:*") == "DBSnapshotNotFound"
    assert restore("og:other") == "AccessDenied"
