"""What the neighbours have."""

from __future__ import annotations

import io
import ipaddress
import json
import zipfile
from typing import TYPE_CHECKING, Any

from tests.neighbours.account import Account, all_at_once

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = "mlflow"
CODE = "def handler(event, context):\n    return {'statusCode': 200, 'body': 'the neighbours'}\n"
# One more than AWS lists on a page.
CROWD = {"roles": 101, "instance_profiles": 101, "functions": 51, "secrets": 101, "logs": 51}
APIS = 26


def move_in(account: Account) -> None:
    """Make all that the neighbours have."""
    role = _role(account, "another-function", "lambda")
    other_role = _other_roles(account)
    account.settle()
    _crowd(account, role)
    _namesakes(account)
    _other_deployment(account, other_role)
    account.settle()


def _crowd(account: Account, role: str) -> None:
    """Fill the first page of each list."""
    iam, secrets, logs = (account.client(name) for name in ("iam", "secretsmanager", "logs"))
    functions, apis = account.client("lambda"), account.client("apigatewayv2")
    code = _archive()
    names = {kind: [f"another-{i:03}" for i in range(number)] for kind, number in CROWD.items()}
    all_at_once(
        lambda name: iam.create_role(RoleName=name, AssumeRolePolicyDocument=_trust("ec2")),
        names["roles"],
    )
    all_at_once(
        lambda name: iam.create_instance_profile(InstanceProfileName=name),
        names["instance_profiles"],
    )
    all_at_once(lambda name: secrets.create_secret(Name=name, SecretString=name), names["secrets"])
    all_at_once(lambda name: logs.create_log_group(logGroupName=name), names["logs"])
    all_at_once(
        lambda name: functions.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="code.handler",
            Role=role,
            Code={"ZipFile": code},
        ),
        names["functions"],
    )
    all_at_once(lambda _: apis.create_api(Name="another", ProtocolType="HTTP"), range(APIS))
    bucket = f"another-{account.number}-{account.region}"
    _create_bucket(account, bucket)
    account.client("s3").put_object(Bucket=bucket, Key="artifacts/1", Body=b"of another")
    account.client("ec2").create_key_pair(KeyName="another")


def _namesakes(account: Account) -> None:
    """Make what may have the names of our deployment's resources, without its tags."""
    ec2, apis, name = account.client("ec2"), account.client("apigatewayv2"), account.deployment

    def tagged(kind: str, suffix: str = "") -> list[dict[str, Any]]:
        tags = [{"Key": "Name", "Value": f"{name}{suffix}"}, {"Key": "Owner", "Value": "another"}]
        return [{"ResourceType": kind, "Tags": tags}]

    vpc = ec2.create_vpc(CidrBlock=account.cidr, TagSpecifications=tagged("vpc"))["Vpc"]["VpcId"]
    for suffix, block in zip(("-public-a", "-private-a"), _subnets(account.cidr), strict=True):
        ec2.create_subnet(VpcId=vpc, CidrBlock=block, TagSpecifications=tagged("subnet", suffix))
    for suffix in ("-public", "-private"):
        ec2.create_route_table(VpcId=vpc, TagSpecifications=tagged("route-table", suffix))
    gateway = ec2.create_internet_gateway(TagSpecifications=tagged("internet-gateway"))
    ec2.attach_internet_gateway(
        VpcId=vpc, InternetGatewayId=gateway["InternetGateway"]["InternetGatewayId"]
    )
    for suffix in ("-host", "-function", "-database"):
        ec2.create_security_group(
            GroupName=f"{name}{suffix}",
            Description="of another",
            VpcId=vpc,
            TagSpecifications=tagged("security-group", suffix),
        )
    ec2.allocate_address(Domain="vpc", TagSpecifications=tagged("elastic-ip", "-mlflow"))
    api = apis.create_api(
        Name=f"{name}-mlflow-metrics", ProtocolType="HTTP", Tags={"Owner": "another"}
    )
    apis.create_stage(ApiId=api["ApiId"], StageName="$default", AutoDeploy=True)


def _other_deployment(account: Account, role: str) -> None:
    """Make what another deployment of this project consists of, a host left out."""
    name, pairs = account.other, _pairs(account)
    tags = _tags(pairs)
    for secret in ("database-master", "mlflow-admin", "users/grafana", "ssh-key"):
        account.client("secretsmanager").create_secret(
            Name=f"{name}/{secret}", SecretString="of another", Tags=tags
        )
    _bucket(account, tags)
    account.client("ec2").create_key_pair(
        KeyName=f"{name}-mlflow", TagSpecifications=[{"ResourceType": "key-pair", "Tags": tags}]
    )
    _function(account, role, pairs)
    if account.database_cidr is not None:
        _database(account, account.database_cidr, tags)


def _pairs(account: Account) -> dict[str, str]:
    return {"Project": PROJECT, "Deployment": account.other}


def _tags(pairs: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def _other_roles(account: Account) -> str:
    """Make the roles of the other deployment; return the function's."""
    iam, tags, name = account.client("iam"), _tags(_pairs(account)), account.other
    host = f"{name}-mlflow-host-{account.region}"
    _role(account, host, "ec2", tags)
    read = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::another/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [read]})
    iam.put_role_policy(RoleName=host, PolicyName="artifacts", PolicyDocument=document)
    iam.create_instance_profile(InstanceProfileName=host, Tags=tags)
    iam.add_role_to_instance_profile(InstanceProfileName=host, RoleName=host)
    return _role(account, f"{name}-mlflow-metrics-{account.region}", "lambda", tags)


def _create_bucket(account: Account, name: str) -> None:
    """Create a bucket; AWS encrypts each since 2023, and moto does not say so."""
    s3 = account.client("s3")
    s3.create_bucket(Bucket=name)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})


def _bucket(account: Account, tags: list[dict[str, str]]) -> None:
    s3, bucket = account.client("s3"), f"{account.other}-mlflow-{account.number}-{account.region}"
    _create_bucket(account, bucket)
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"first", b"second"):
        s3.put_object(Bucket=bucket, Key="1/model.pkl", Body=body)


def _function(account: Account, role: str, pairs: dict[str, str]) -> None:
    functions, apis = account.client("lambda"), account.client("apigatewayv2")
    name = f"{account.other}-mlflow-metrics"
    for group in (f"/aws/lambda/{name}", f"/aws/vendedlogs/apigateway/{name}"):
        account.client("logs").create_log_group(logGroupName=group, tags=pairs)
        account.client("logs").put_retention_policy(logGroupName=group, retentionInDays=14)
    made = functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="code.handler",
        Role=role,
        Code={"ZipFile": _archive()},
        Tags=pairs,
    )
    api = apis.create_api(Name=name, ProtocolType="HTTP", Tags=pairs)["ApiId"]
    integration = apis.create_integration(
        ApiId=api,
        IntegrationType="AWS_PROXY",
        IntegrationUri=made["FunctionArn"],
        PayloadFormatVersion="2.0",
    )["IntegrationId"]
    target = f"integrations/{integration}"
    apis.create_route(ApiId=api, RouteKey="GET /metrics", Target=target)
    apis.create_stage(ApiId=api, StageName="$default", AutoDeploy=True, Tags=pairs)
    functions.add_permission(
        FunctionName=name,
        StatementId="api-gateway",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
        SourceArn=f"arn:aws:execute-api:{account.region}:{account.number}:{api}/*/*",
    )


def _database(account: Account, cidr: str, tags: list[dict[str, str]]) -> None:
    ec2, rds, name = account.client("ec2"), account.client("rds"), f"{account.other}-mlflow"
    of_vpc = [{"ResourceType": "vpc", "Tags": tags}]
    vpc = ec2.create_vpc(CidrBlock=cidr, TagSpecifications=of_vpc)["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=account.region + zone)
        for block, zone in zip(_subnets(cidr), "ab", strict=True)
    ]
    rds.create_db_subnet_group(
        DBSubnetGroupName=name,
        DBSubnetGroupDescription="of another",
        SubnetIds=[subnet["Subnet"]["SubnetId"] for subnet in subnets],
        Tags=tags,
    )
    rds.create_db_parameter_group(
        DBParameterGroupName=name,
        DBParameterGroupFamily="postgres17",
        Description="of another",
        Tags=tags,
    )
    rds.create_db_instance(
        DBInstanceIdentifier=name,
        DBInstanceClass="db.t3.micro",
        Engine="postgres",
        AllocatedStorage=20,
        StorageType="gp2",
        BackupRetentionPeriod=0,
        MasterUsername="another",
        MasterUserPassword="of-another-deployment",
        DBSubnetGroupName=name,
        DBParameterGroupName=name,
        Tags=tags,
    )


def _subnets(cidr: str) -> Iterator[str]:
    """Return a range's first two quarters."""
    quarters = ipaddress.ip_network(cidr).subnets(prefixlen_diff=2)
    return (str(next(quarters)) for _ in range(2))


def _role(
    account: Account, name: str, service: str, tags: list[dict[str, str]] | None = None
) -> str:
    made = account.client("iam").create_role(
        RoleName=name, AssumeRolePolicyDocument=_trust(service), Tags=tags or []
    )
    return str(made["Role"]["Arn"])


def _trust(service: str) -> str:
    statement = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": f"{service}.amazonaws.com"},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        opened.writestr("code.py", CODE)
    return content.getvalue()
