"""Departure: what AWS documents as invalid is refused."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from moto.core.utils import get_service_model

from local_aws.limits.requests import RULES
from tests.functions import archive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalAws

Call = tuple[str, str, dict[str, Any]]

NAME = "limits"
TAG = {"Key": "key", "Value": "value"}
RESERVED_TAG = TAG | {"Key": "aws:key"}
ODD_TAG = TAG | {"Key": "what?"}
TAGS = [TAG | {"Key": f"key{number}"} for number in range(51)]
SIGNS = "._-:/()#,@[]+=&;{}!$*"

# Names in capitals stand for what `present` has made.
INSTANCE: dict[str, Any] = {
    "DBInstanceIdentifier": NAME,
    "DBInstanceClass": "db.t4g.micro",
    "Engine": "postgres",
    "AllocatedStorage": 20,
    "StorageType": "gp3",
    "MasterUsername": "master",
    "MasterUserPassword": "a-long-password",
    "DBSubnetGroupName": NAME,
}
RESTORED = {"DBInstanceIdentifier": NAME, "DBSnapshotIdentifier": "none"}
SUBNETS: dict[str, Any] = {
    "DBSubnetGroupName": "mine",
    "DBSubnetGroupDescription": "mine",
    "SubnetIds": ["SUBNET A", "SUBNET B"],
}
PARAMETERS = {
    "DBParameterGroupName": "mine",
    "DBParameterGroupFamily": "postgres17",
    "Description": "mine",
}
SETTING = {"ParameterName": "work_mem", "ParameterValue": "64", "ApplyMethod": "immediate"}
GROUP = {"GroupName": NAME, "Description": NAME, "VpcId": "VPC"}
HOST = {
    "ImageId": "IMAGE",
    "MinCount": 1,
    "MaxCount": 1,
    "InstanceType": "t3.micro",
    "SubnetId": "SUBNET A",
}
ROLE = {"RoleName": NAME, "AssumeRolePolicyDocument": "{}"}
LARGE_POLICY = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": [f"arn:aws:s3:::bucket/{number:0>30}" for number in range(200)],
    },
}
FUNCTION: dict[str, Any] = {
    "FunctionName": NAME,
    "Runtime": "python3.13",
    "Handler": "code.handler",
    "Role": "ROLE",
    "Code": {"ZipFile": archive("")},
}
INTEGRATION = {
    "ApiId": "API",
    "IntegrationType": "AWS_PROXY",
    "IntegrationUri": "arn:aws:lambda:us-east-1:123456789012:function:none",
    "PayloadFormatVersion": "2.0",
}
STAGE = {
    "ApiId": "API",
    "StageName": "mine",
    "AccessLogSettings": {"Format": "$context.status", "DestinationArn": "arn"},
}
SECRET = {"Name": NAME, "SecretString": "value"}


def rule(**changed: Any) -> dict[str, Any]:
    """Return what opens a port to a range with a description."""
    opened = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1}
    return {"GroupId": "GROUP", "IpPermissions": [opened | changed]}


def disk(**settings: Any) -> dict[str, Any]:
    """Return what launches a host with a second disk."""
    return HOST | {"BlockDeviceMappings": [{"DeviceName": "/dev/xvdb", "Ebs": settings}]}


def variables(**environment: str) -> dict[str, Any]:
    """Return what gives a function environment variables."""
    return {"Environment": {"Variables": environment}}


def expanding(mebibytes: int) -> bytes:
    """Return a small zip file of a large content."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("large", bytes(mebibytes << 20))
    return content.getvalue()


def cases(
    service: str, operation: str, base: dict[str, Any], *wrong: tuple[dict[str, Any], str]
) -> Iterator[Any]:
    """Yield a test of the operation with `base` for each of the wrong arguments and its error."""
    for changed, code in wrong:
        name = f"{service} {operation} {' '.join(changed)}"
        yield pytest.param((service, operation, base | changed), code, id=name)


VALUE = "InvalidParameterValue"
COMBINATION = "InvalidParameterCombination"
REFUSED = [
    *cases(
        "rds",
        "create_db_instance",
        INSTANCE,
        ({"DBName": "1st"}, VALUE),
        ({"DBName": "a" * 64}, VALUE),
        ({"DBName": "with-hyphen"}, VALUE),
        ({"MasterUsername": "seventeen_letters"}, VALUE),
        ({"AllocatedStorage": 19}, COMBINATION),
        ({"AllocatedStorage": 65537}, COMBINATION),
        ({"AllocatedStorage": 19, "StorageType": "gp2"}, COMBINATION),
        ({"AllocatedStorage": 99, "StorageType": "io1", "Iops": 1000}, COMBINATION),
        ({"AllocatedStorage": 99, "StorageType": "io2", "Iops": 1000}, COMBINATION),
        ({"AllocatedStorage": 3073, "StorageType": "standard"}, COMBINATION),
        ({"MaxAllocatedStorage": 20}, COMBINATION),
        ({"MaxAllocatedStorage": 21}, COMBINATION),
        ({"Iops": 3000}, COMBINATION),
        ({"StorageThroughput": 125}, COMBINATION),
        ({"StorageType": "gp4"}, VALUE),
        ({"BackupRetentionPeriod": 36}, VALUE),
        ({"BackupRetentionPeriod": -1}, VALUE),
        ({"Port": 1149}, VALUE),
        ({"StorageEncrypted": True, "DBInstanceClass": "db.t2.micro"}, COMBINATION),
        ({"Tags": [TAG | {"Key": "rds:key"}]}, VALUE),
        ({"Tags": [RESERVED_TAG]}, VALUE),
        ({"Tags": [ODD_TAG]}, VALUE),
        ({"Tags": TAGS}, VALUE),
    ),
    *cases(
        "rds",
        "restore_db_instance_from_db_snapshot",
        RESTORED,
        ({"DBInstanceIdentifier": "two--hyphens"}, VALUE),
        ({"DBInstanceIdentifier": "a" * 64}, VALUE),
        ({"Port": 80}, VALUE),
    ),
    *cases(
        "rds",
        "modify_db_instance",
        {"DBInstanceIdentifier": "none"},
        ({"BackupRetentionPeriod": 36}, VALUE),
        ({"StorageType": "gp4"}, VALUE),
    ),
    *cases(
        "rds",
        "create_db_parameter_group",
        PARAMETERS,
        ({"DBParameterGroupName": "a--b"}, VALUE),
        ({"DBParameterGroupName": "1st"}, VALUE),
        ({"DBParameterGroupFamily": "postgres99"}, VALUE),
    ),
    *cases(
        "rds",
        "modify_db_parameter_group",
        {"DBParameterGroupName": "none"},
        ({"Parameters": [SETTING] * 21}, VALUE),
    ),
    *cases(
        "rds",
        "create_db_subnet_group",
        SUBNETS,
        ({"DBSubnetGroupName": "Default"}, VALUE),
        ({"DBSubnetGroupName": "what?"}, VALUE),
        ({"SubnetIds": ["SUBNET A"]}, "DBSubnetGroupDoesNotCoverEnoughAZs"),
    ),
    *cases(
        "rds",
        "modify_db_subnet_group",
        {"DBSubnetGroupName": NAME},
        ({"SubnetIds": ["SUBNET B"]}, "DBSubnetGroupDoesNotCoverEnoughAZs"),
    ),
    *cases(
        "ec2",
        "create_security_group",
        GROUP,
        ({"GroupName": "sg-mine"}, VALUE),
        ({"GroupName": "who's"}, VALUE),
        ({"GroupName": "a" * 256}, VALUE),
        ({"Description": "who's"}, VALUE),
        ({"Description": "a" * 256}, VALUE),
    ),
    *cases(
        "ec2",
        "authorize_security_group_ingress",
        {},
        (rule(IpRanges=[{"CidrIp": "10.0.0.0/8", "Description": "who's"}]), VALUE),
        (rule(UserIdGroupPairs=[{"GroupId": "GROUP", "Description": "a" * 256}]), VALUE),
    ),
    *cases(
        "ec2",
        "authorize_security_group_egress",
        {},
        (rule(IpRanges=[{"CidrIp": "10.0.0.0/8", "Description": "<any>"}]), VALUE),
    ),
    *cases(
        "ec2",
        "create_tags",
        {"Resources": ["VPC"]},
        ({"Tags": [RESERVED_TAG]}, VALUE),
        ({"Tags": [TAG | {"Key": "k" * 129}]}, VALUE),
        ({"Tags": [TAG | {"Value": "v" * 257}]}, VALUE),
    ),
    *cases(
        "ec2",
        "create_vpc",
        {"CidrBlock": "10.215.0.0/16"},
        ({"TagSpecifications": [{"ResourceType": "vpc", "Tags": [RESERVED_TAG]}]}, VALUE),
    ),
    *cases(
        "ec2",
        "import_key_pair",
        {"PublicKeyMaterial": b"ssh-ed25519 AAAA"},
        ({"KeyName": "k" * 256}, VALUE),
        ({"KeyName": "kéy"}, VALUE),
    ),
    *cases(
        "ec2",
        "run_instances",
        HOST,
        ({"UserData": "u" * 16385}, VALUE),
        (
            {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 7}}]},
            "InvalidBlockDeviceMapping",
        ),
        (disk(VolumeSize=65537, VolumeType="gp3"), VALUE),
        (disk(VolumeSize=10, VolumeType="gp3", Iops=2999), VALUE),
        (disk(VolumeSize=10, VolumeType="gp3", Throughput=124), VALUE),
        (disk(VolumeSize=10, VolumeType="gp4"), VALUE),
        ({"MetadataOptions": {"HttpPutResponseHopLimit": 65}}, VALUE),
    ),
    *cases(
        "ec2",
        "modify_instance_metadata_options",
        {"InstanceId": "i-00000000000000000"},
        ({"HttpPutResponseHopLimit": 65}, VALUE),
    ),
    *cases(
        "iam",
        "create_role",
        ROLE,
        ({"RoleName": "r" * 65}, "ValidationError"),
        ({"RoleName": "a role"}, "ValidationError"),
        ({"Description": "“mine”"}, "ValidationError"),
        ({"Description": "d" * 1001}, "ValidationError"),
        ({"MaxSessionDuration": 43201}, "ValidationError"),
        ({"Tags": [ODD_TAG]}, "ValidationError"),
        ({"Tags": [RESERVED_TAG]}, "InvalidInput"),
        ({"Tags": TAGS}, "ValidationError"),
    ),
    *cases(
        "iam",
        "create_instance_profile",
        {},
        ({"InstanceProfileName": "p" * 129}, "ValidationError"),
    ),
    *cases(
        "iam",
        "put_role_policy",
        {"RoleName": "functions", "PolicyName": "policy", "PolicyDocument": "{}"},
        ({"PolicyName": "a policy"}, "ValidationError"),
        ({"PolicyDocument": json.dumps(LARGE_POLICY)}, "LimitExceeded"),
    ),
    *cases(
        "lambda",
        "create_function",
        FUNCTION,
        ({"FunctionName": "f" * 65}, "ValidationException"),
        ({"FunctionName": "a.function"}, "ValidationException"),
        ({"Handler": "code handler"}, "ValidationException"),
        ({"Handler": "h" * 129}, "ValidationException"),
        ({"Description": "d" * 257}, "ValidationException"),
        ({"MemorySize": 10241}, "ValidationException"),
        ({"Timeout": 901}, "ValidationException"),
        ({"Runtime": "python9"}, "ValidationException"),
        ({"Architectures": ["riscv64"]}, "ValidationException"),
        ({"VpcConfig": {"SubnetIds": ["mine"]}}, "ValidationException"),
        (variables(_NAME="value"), "ValidationException"),
        (variables(AWS_REGION="mars-1"), "InvalidParameterValueException"),
        (variables(NAME="v" * 4086), "InvalidParameterValueException"),
        ({"Code": {"ZipFile": bytes((50 << 20) + 1)}}, "RequestEntityTooLargeException"),
        ({"Code": {"ZipFile": expanding(250)}}, "InvalidParameterValueException"),
        ({"Tags": {"what?": ""}}, "ValidationException"),
        ({"Tags": {"aws:key": ""}}, "InvalidParameterValueException"),
        ({"Tags": {tag["Key"]: "" for tag in TAGS}}, "InvalidParameterValueException"),
    ),
    *cases(
        "lambda",
        "update_function_configuration",
        {"FunctionName": "none"},
        ({"MemorySize": 10241}, "ValidationException"),
        ({"Timeout": 901}, "ValidationException"),
        (variables(LAMBDA_TASK_ROOT="/"), "InvalidParameterValueException"),
    ),
    *cases(
        "lambda",
        "update_function_code",
        {"FunctionName": "none"},
        ({"ZipFile": bytes((50 << 20) + 1)}, "RequestEntityTooLargeException"),
        ({"ZipFile": expanding(250)}, "InvalidParameterValueException"),
    ),
    *cases(
        "lambda",
        "add_permission",
        {"FunctionName": "none", "Action": "lambda:InvokeFunction", "Principal": "*"},
        ({"StatementId": "a b"}, "ValidationException"),
    ),
    *cases(
        "apigatewayv2",
        "create_route",
        {"ApiId": "API"},
        ({"RouteKey": "/metrics"}, "BadRequestException"),
        ({"RouteKey": "FETCH /metrics"}, "BadRequestException"),
        ({"RouteKey": "GET /{all+}/more"}, "BadRequestException"),
    ),
    *cases(
        "apigatewayv2",
        "create_integration",
        INTEGRATION,
        ({"TimeoutInMillis": 30001}, "BadRequestException"),
        ({"PayloadFormatVersion": "3.0"}, "BadRequestException"),
        ({"IntegrationType": "LAMBDA"}, "BadRequestException"),
    ),
    *cases("apigatewayv2", "create_stage", STAGE, ({}, "BadRequestException")),
    *cases("apigatewayv2", "update_stage", STAGE, ({}, "BadRequestException")),
    *cases(
        "apigatewayv2",
        "create_api",
        {"Name": NAME, "ProtocolType": "HTTP"},
        ({"Tags": {"aws:key": ""}}, "BadRequestException"),
    ),
    *cases(
        "secretsmanager",
        "create_secret",
        SECRET,
        ({"Name": "a secret"}, "ValidationException"),
        ({"Name": "s" * 513}, "ValidationException"),
        ({"SecretString": "x" * 65537}, "ValidationException"),
        ({"Description": "d" * 2049}, "ValidationException"),
        ({"Tags": [RESERVED_TAG]}, "InvalidParameterException"),
        ({"Tags": TAGS}, "InvalidParameterException"),
    ),
    *cases(
        "secretsmanager",
        "put_secret_value",
        {"SecretId": NAME},
        ({"SecretString": "x" * 65537}, "ValidationException"),
    ),
    *cases(
        "logs",
        "create_log_group",
        {"logGroupName": "mine"},
        ({"logGroupName": "aws/mine"}, "InvalidParameterException"),
        ({"logGroupName": "my group"}, "InvalidParameterException"),
        ({"tags": {"aws:key": ""}}, "InvalidParameterException"),
        ({"tags": {"what?": ""}}, "InvalidParameterException"),
    ),
    *cases(
        "logs",
        "put_retention_policy",
        {"logGroupName": NAME},
        ({"retentionInDays": 31}, "InvalidParameterException"),
    ),
    *cases(
        "s3",
        "create_bucket",
        {},
        *(
            ({"Bucket": name}, "InvalidBucketName")
            for name in (
                "my..bucket",
                "192.168.5.4",
                "xn--bucket",
                "sthree-bucket",
                "amzn-s3-demo-bucket",
                "bucket-s3alias",
                "bucket--ol-s3",
                "bucket.mrap",
                "bucket-",
                "Bucket",
            )
        ),
    ),
    *cases(
        "s3",
        "put_bucket_tagging",
        {"Bucket": NAME},
        ({"Tagging": {"TagSet": TAGS}}, "InvalidTag"),
        ({"Tagging": {"TagSet": [TAG | {"Key": "k" * 129}]}}, "InvalidTag"),
    ),
]
# What is as long, large and odd as can be.
ACCEPTED: list[Call] = [
    (
        "ec2",
        "create_security_group",
        GROUP | {"GroupName": f"Group 1{SIGNS}", "Description": f"{SIGNS:a<255}"},
    ),
    ("ec2", "create_tags", {"Resources": ["VPC"], "Tags": [ODD_TAG | {"Value": "v" * 256}]}),
    (
        "iam",
        "create_role",
        ROLE | {"RoleName": f"{'+=,.@-_':r<64}", "Description": "Größe: ¼\n", "Tags": TAGS[:50]},
    ),
    (
        "lambda",
        "create_function",
        FUNCTION
        | {"FunctionName": "f" * 64, "MemorySize": 10240, "Timeout": 900, "Tags": {"ключ 1": "@"}}
        | variables(NAME="v" * 4085),
    ),
    ("apigatewayv2", "create_route", {"ApiId": "API", "RouteKey": "HEAD /metrics"}),
    ("apigatewayv2", "create_route", {"ApiId": "API", "RouteKey": "ANY /a/{id}/b/{all+}"}),
    ("apigatewayv2", "create_route", {"ApiId": "API", "RouteKey": "GET /"}),
    ("apigatewayv2", "create_route", {"ApiId": "API", "RouteKey": "$default"}),
    ("apigatewayv2", "create_integration", INTEGRATION | {"TimeoutInMillis": 30000}),
    ("secretsmanager", "create_secret", SECRET | {"Name": f"{'Aa1/_+=.@-':s<512}"}),
    ("logs", "create_log_group", {"logGroupName": f"{'/aws/lambda/a.b-c_d#1':l<512}"}),
    ("logs", "put_retention_policy", {"logGroupName": NAME, "retentionInDays": 3653}),
    ("rds", "create_db_subnet_group", SUBNETS | {"DBSubnetGroupName": "my.group_1 of-two"}),
    ("rds", "create_db_parameter_group", PARAMETERS | {"DBParameterGroupName": f"{'a-1':b<255}"}),
    ("s3", "create_bucket", {"Bucket": f"{'1.my-bucket':b<63}"}),
    ("s3", "put_bucket_tagging", {"Bucket": NAME, "Tagging": {"TagSet": TAGS[:50]}}),
    ("s3", "delete_bucket_tagging", {"Bucket": NAME}),
]


@pytest.fixture(scope="module")
def present(aws: LocalAws, network: dict[str, Any], role: str) -> dict[str, str]:
    """What is there already, by the names that stand for it."""
    aws.client("secretsmanager").create_secret(**SECRET)
    aws.client("logs").create_log_group(logGroupName=NAME)
    aws.client("s3").create_bucket(Bucket=NAME)
    aws.client("rds").create_db_subnet_group(
        DBSubnetGroupName=NAME, DBSubnetGroupDescription=NAME, SubnetIds=network["subnets"]
    )
    api = aws.client("apigatewayv2").create_api(Name="present", ProtocolType="HTTP")
    images = aws.client("ec2").describe_images(
        Filters=[{"Name": "name", "Values": ["debian-13-amd64-*"]}]
    )
    return {
        "API": api["ApiId"],
        "GROUP": network["group"],
        "IMAGE": images["Images"][0]["ImageId"],
        "ROLE": role,
        "SUBNET A": network["subnets"][0],
        "SUBNET B": network["subnets"][1],
        "VPC": network["vpc"],
    }


def filled_in(value: Any, present: dict[str, str]) -> Any:
    """Return arguments with ids where names stand for them."""
    if isinstance(value, dict):
        return {key: filled_in(item, present) for key, item in value.items()}
    if isinstance(value, list):
        return [filled_in(item, present) for item in value]
    return present.get(value, value) if isinstance(value, str) else value


def do(aws: LocalAws, present: dict[str, str], call: Call) -> None:
    """Send the request, with ids where names stand for them."""
    service, operation, arguments = call
    getattr(aws.client(service), operation)(**filled_in(arguments, present))


@pytest.mark.parametrize(("call", "code"), REFUSED)
def test_limits_invalid_request_is_refused(
    aws: LocalAws, present: dict[str, str], call: Call, code: str
) -> None:
    with pytest.raises(ClientError) as refused:
        do(aws, present, call)

    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] < 500


@pytest.mark.parametrize("call", ACCEPTED, ids=lambda call: " ".join(call[:2]))
def test_limits_boundary_value_is_accepted(
    aws: LocalAws, present: dict[str, str], call: Call
) -> None:
    do(aws, present, call)


def test_limits_encrypted_database_refuses_a_class_without_encryption(
    aws: LocalAws, present: dict[str, str]
) -> None:
    del present
    rds = aws.client("rds")
    rds.create_db_instance(**INSTANCE, MaxAllocatedStorage=22, StorageEncrypted=True)
    try:
        with pytest.raises(rds.exceptions.ClientError, match="does not support encryption"):
            rds.modify_db_instance(DBInstanceIdentifier=NAME, DBInstanceClass="db.t2.micro")
    finally:
        rds.get_waiter("db_instance_available").wait(
            DBInstanceIdentifier=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
        )
        rds.delete_db_instance(DBInstanceIdentifier=NAME, SkipFinalSnapshot=True)


def test_limits_message_holds_no_secrets(aws: LocalAws) -> None:
    with pytest.raises(ClientError, match="'secretString'") as refused:
        aws.client("secretsmanager").create_secret(**SECRET | {"SecretString": "x" * 65537})

    assert "xxx" not in str(refused.value)


@pytest.mark.parametrize("of", RULES, ids=lambda of: f"{of.operations[0]} {of.parameter}")
def test_limits_rule_names_existing_parameters_and_its_source(of: Any) -> None:
    assert of.source.startswith("https://docs.aws.amazon.com/")
    for name in of.operations:
        service, _, operation = name.partition(":")
        shape = get_service_model(service).operation_model(operation).input_shape
        for part in filter(None, of.parameter.split(".")):
            shape = shape.members[part.removesuffix("[]")]
            if part.endswith("[]"):
                shape = shape.member
