"""Kinds of accounts refuse what others allow, in AWS's words."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from moto.ec2.models.instance_types import INSTANCE_TYPES

from local_aws import accounts, profile
from local_aws.errors import LocalAwsError
from tests.conftest import LocalAws, started
from tests.functions import archive
from tests.tracking_server import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# https://github.com/aws-samples/eks-workshop-v2/issues/1644
FREE = {"c7i-flex.large", "m7i-flex.large", "t3.micro", "t3.small", "t4g.micro", "t4g.small"}
IMAGE = "ami-0d13a26b1013a0001"
DATABASE = {
    "DBInstanceIdentifier": "kind",
    "DBInstanceClass": "db.t3.micro",
    "Engine": "postgres",
    "AllocatedStorage": 20,
    "MasterUsername": "master",
    "MasterUserPassword": "correct-horse-battery",
    "StorageType": "gp2",
    "BackupRetentionPeriod": 1,
    # Nothing is made: a valid request fails here, at the last of AWS's checks.
    "DBSubnetGroupName": "missing",
}


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """An account on the free plan, whose log policy is full."""
    settings = {"LOCAL_AWS_ACCOUNT": "free_plan,full_log_policy"}
    yield from started(LocalAws(tmp_path_factory.mktemp("free"), free_port(), settings=settings))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A lab's account, in an organisation that tags."""
    settings = {"LOCAL_AWS_ACCOUNT": "lab,organisation"}
    yield from started(LocalAws(tmp_path_factory.mktemp("lab"), free_port(), settings=settings))


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call()
    refusal = error.value.response["Error"]
    return refusal["Code"], refusal["Message"]


def deployer(aws: LocalAws, service: str, region: str = "us-east-1") -> Any:
    return aws.client(service, user=profile.DEPLOYER, region=region)


def test_parse_unknown_kind_names_the_kinds() -> None:
    with pytest.raises(LocalAwsError, match="rich is not a valid kind of account: use free_plan"):
        accounts.parse("lab,rich")


def test_load_several_kinds_joins_them() -> None:
    account = accounts.load(("lab", "organisation"))

    assert account.policies
    assert account.service_control_policies
    assert account.tags


@pytest.mark.parametrize("kind", accounts.KINDS)
def test_load_kind_names_its_sources(kind: str) -> None:
    text = (accounts._FOLDER / f"{kind}.json").read_text()
    assert all("//" in source for source in json.loads(text)["sources"])
    assert accounts.load((kind,)) != accounts.Account()


def test_free_plan_is_returned_by_get_account_plan_state(free: LocalAws, lab: LocalAws) -> None:
    state = deployer(free, "freetier").get_account_plan_state()

    assert state["accountPlanType"] == "FREE"
    other = lab.client("freetier").get_account_plan_state
    assert refused(other)[0] == "ResourceNotFoundException"


def test_free_plan_refuses_other_instance_types(free: LocalAws) -> None:
    eligible = {name for name, kind in INSTANCE_TYPES.items() if kind["FreeTierEligible"]}
    ec2 = deployer(free, "ec2")
    refusal = refused(
        lambda: ec2.run_instances(
            ImageId=IMAGE, InstanceType="t3.medium", MinCount=1, MaxCount=1, SubnetId="subnet-1"
        )
    )
    allowed = refused(
        lambda: ec2.run_instances(
            ImageId=IMAGE, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId="subnet-1"
        )
    )

    assert eligible >= FREE
    assert refusal[0] == "InvalidParameterCombination"
    assert "not eligible for Free Tier" in refusal[1]
    assert allowed[0] == "InvalidSubnetID.NotFound"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"BackupRetentionPeriod": 2}, "backup retention period exceeds the maximum"),
        ({"DBInstanceClass": "db.t4g.small"}, "This instance size isn't available with free plan"),
        ({"DBInstanceClass": "db.m6g.large"}, "This instance size isn't available with free plan"),
    ],
)
def test_free_plan_refuses_databases(free: LocalAws, change: dict[str, Any], said: str) -> None:
    rds = deployer(free, "rds")
    code, message = refused(lambda: rds.create_db_instance(**DATABASE | change))

    assert code == "FreeTierRestrictionError"
    assert said in message
    assert refused(lambda: rds.create_db_instance(**DATABASE))[0] == "DBSubnetGroupNotFoundFault"


def test_full_log_policy_refuses_groups_of_their_own(free: LocalAws) -> None:
    def stage(group: str) -> Any:
        arn = f"arn:aws:logs:us-east-1:123456789012:log-group:{group}"
        settings = {"DestinationArn": arn, "Format": "$context.requestId"}
        return apis.create_stage(ApiId=api, StageName="$default", AccessLogSettings=settings)

    apis = deployer(free, "apigatewayv2")
    api = apis.create_api(Name="api", ProtocolType="HTTP")["ApiId"]
    [policy] = free.client("logs").describe_resource_policies()["resourcePolicies"]
    code, message = refused(lambda: stage("/aws/apigateway/one"))
    stage("/aws/vendedlogs/apigateway/one")
    apis.delete_api(ApiId=api)

    assert 5000 < len(policy["policyDocument"]) <= 5120
    assert code == "BadRequestException"
    assert "either < 1 or > 5120" in message


def test_lab_refuses_other_regions(lab: LocalAws) -> None:
    code, message = refused(deployer(lab, "ec2", "eu-west-1").describe_vpcs)

    assert code == "UnauthorizedOperation"
    assert "explicit deny" in message


def test_lab_has_its_roles_and_refuses_others(lab: LocalAws) -> None:
    iam = deployer(lab, "iam")
    who = deployer(lab, "sts").get_caller_identity()["Arn"]
    profile_of_lab = iam.get_instance_profile(InstanceProfileName="LabInstanceProfile")
    refusal = refused(lambda: iam.create_role(RoleName="own", AssumeRolePolicyDocument="{}"))

    assert ":assumed-role/voclabs/" in who
    assert profile_of_lab["InstanceProfile"]["Roles"][0]["RoleName"] == "LabRole"
    assert refusal[0] == "AccessDenied"


def test_lab_refuses_large_instances(lab: LocalAws) -> None:
    ec2 = deployer(lab, "ec2")
    launch = {"ImageId": IMAGE, "MinCount": 1, "MaxCount": 1, "SubnetId": "subnet-1"}
    big = [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 101}}]

    def answer(**more: Any) -> str:
        return refused(lambda: ec2.run_instances(**launch, **more))[0]

    assert answer(InstanceType="t3.xlarge") == "UnauthorizedOperation"
    assert answer(InstanceType="t3.large", BlockDeviceMappings=big) == "UnauthorizedOperation"
    assert answer(InstanceType="t3.large") == "InvalidSubnetID.NotFound"


@pytest.mark.parametrize(
    "change",
    [
        {"StorageType": "gp3"},
        {"DBInstanceClass": "db.t3.large"},
        {"MonitoringInterval": 60},
        {"AllocatedStorage": 101, "MaxAllocatedStorage": 200},
    ],
)
def test_lab_refuses_databases(lab: LocalAws, change: dict[str, Any]) -> None:
    rds = deployer(lab, "rds")

    assert refused(lambda: rds.create_db_instance(**DATABASE | change))[0] == "AccessDenied"
    assert refused(lambda: rds.create_db_instance(**DATABASE))[0] == "DBSubnetGroupNotFoundFault"


def test_organisation_denies_other_regions(lab: LocalAws) -> None:
    # A lab may use this region: what denies it here is the organisation's policy.
    code, message = refused(deployer(lab, "rds", "us-west-2").describe_db_instances)

    assert code == "AccessDenied"
    assert "explicit deny in a service control policy" in message


def test_organisation_tags_new_resources(lab: LocalAws) -> None:
    ec2, s3, logs = (lab.client(service) for service in ("ec2", "s3", "logs"))
    created = ec2.create_vpc(CidrBlock="10.141.0.0/24")["Vpc"]
    vpc = created["VpcId"]
    s3.create_bucket(Bucket="kind-of-account")
    logs.create_log_group(logGroupName="kind", tags={"Own": "stays"})

    def tags() -> list[Any]:
        [found] = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
        try:
            bucket = s3.get_bucket_tagging(Bucket="kind-of-account")["TagSet"]
        except ClientError:
            bucket = []
        group = logs.list_tags_log_group(logGroupName="kind")["tags"]
        return [found.get("Tags", []), bucket, list(group.items())]

    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(len(one) < 2 for one in tags()):
        time.sleep(0.2)
    after = tags()
    ec2.delete_vpc(VpcId=vpc)
    s3.delete_bucket(Bucket="kind-of-account")

    # The answer of the creation, because a second look may come after the organisation.
    assert created.get("Tags", []) == []
    assert {"Key": "CostCenter", "Value": "4711"} in after[0]
    assert {"Key": "CostCenter", "Value": "4711"} in after[1]
    assert {("CostCenter", "4711"), ("Own", "stays")} <= set(after[2])


def test_organisation_function_enters_a_network_of_an_allowed_region(lab: LocalAws) -> None:
    # The function's role calls EC2 in that region, which the organisation's policy asks for.
    ec2, functions = lab.client("ec2"), lab.client("lambda")
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.99.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="inside", Description="inside", VpcId=vpc)

    created = functions.create_function(
        FunctionName="inside",
        Runtime="python3.13",
        Handler="code.handler",
        Role="arn:aws:iam::123456789012:role/LabRole",
        Code={"ZipFile": archive("def handler(event, context):\n    pass\n")},
        VpcConfig={"SubnetIds": [subnet], "SecurityGroupIds": [group["GroupId"]]},
    )

    assert created["VpcConfig"]["VpcId"] == vpc
