from __future__ import annotations

import ipaddress
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local_aws.consistency.throttling import Lottery
from local_aws.settings import Settings
from tests.conftest import LocalAws, started
from tests.functions import archive
from tests.tracking_server import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Longer than two calls take on a busy machine.
STALE = 2.5
LIST = 4.0
# A recording is made four times in that time.
PERIOD = STALE / 4
RANGES = (f"10.214.{number}.0/24" for number in range(256))
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": {"Service": "lambda.amazonaws.com"},
            }
        ],
    }
)


@pytest.fixture(scope="module")
def stale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS whose reads lag."""
    settings = {
        "LOCAL_AWS_STALE_SECONDS": str(STALE),
        "LOCAL_AWS_STALE_SECRET_LIST_SECONDS": str(LIST),
    }
    yield from started(LocalAws(tmp_path_factory.mktemp("stale"), free_port(), settings=settings))


@pytest.fixture(scope="module")
def throttled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS that throttles every call."""
    settings = {"LOCAL_AWS_THROTTLED_PERCENT": "100"}
    yield from started(LocalAws(tmp_path_factory.mktemp("all"), free_port(), settings=settings))


@pytest.fixture(scope="module")
def vpc(stale: LocalAws) -> str:
    """A VPC that every read shows."""
    ec2 = stale.client("ec2")
    made: str = ec2.create_vpc(CidrBlock=next(RANGES))["Vpc"]["VpcId"]
    seconds_until(lambda: shown(ec2, VpcIds=[made]))
    return made


def shown(ec2: Any, **selection: Any) -> list[str]:
    """Return the ids of the VPCs that a read shows."""
    try:
        return [vpc["VpcId"] for vpc in ec2.describe_vpcs(**selection)["Vpcs"]]
    except ec2.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "InvalidVpcID.NotFound":
            raise
        return []


def seconds_until(condition: Callable[[], Any], longest: float = 10) -> float:
    """Return after how many seconds something is so."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < longest
        time.sleep(0.05)
    return time.monotonic() - begin


def code(call: Callable[[], Any]) -> str:
    """Return the code of the error with which a call ends."""
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


def test_new_and_deleted_resources_are_seen_late(stale: LocalAws) -> None:
    ec2 = stale.client("ec2")
    tags = [{"Key": "Name", "Value": "new"}]

    vpc = ec2.create_vpc(
        CidrBlock=next(RANGES), TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}]
    )["Vpc"]

    # What made it knows it.
    assert vpc["Tags"] == tags
    assert code(lambda: ec2.describe_vpcs(VpcIds=[vpc["VpcId"]])) == "InvalidVpcID.NotFound"
    assert shown(ec2, Filters=[{"Name": "tag:Name", "Values": ["new"]}]) == []
    assert vpc["VpcId"] not in shown(ec2)
    late = seconds_until(lambda: vpc["VpcId"] in shown(ec2))
    assert late > STALE / 2
    assert shown(ec2, Filters=[{"Name": "tag:Name", "Values": ["new"]}]) == [vpc["VpcId"]]
    ec2.delete_vpc(VpcId=vpc["VpcId"])
    assert shown(ec2, VpcIds=[vpc["VpcId"]]) == [vpc["VpcId"]]
    assert code(lambda: ec2.delete_vpc(VpcId=vpc["VpcId"])) == "InvalidVpcID.NotFound"
    seconds_until(lambda: not shown(ec2, VpcIds=[vpc["VpcId"]]))


def test_region_that_was_never_used_lags_from_its_first_call(stale: LocalAws) -> None:
    ec2 = stale.client("ec2", region="eu-west-1")

    vpc = ec2.create_vpc(CidrBlock=next(RANGES))["Vpc"]["VpcId"]

    assert shown(ec2, VpcIds=[vpc]) == []
    seconds_until(lambda: shown(ec2, VpcIds=[vpc]))


def test_new_tag_is_absent_until_reads_catch_up(stale: LocalAws, vpc: str) -> None:
    ec2 = stale.client("ec2")
    mine = [{"Name": "resource-id", "Values": [vpc]}]

    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": "late"}])

    assert ec2.describe_tags(Filters=mine)["Tags"] == []
    seconds_until(lambda: ec2.describe_tags(Filters=mine)["Tags"])


def test_rule_of_security_group_is_shown_late(stale: LocalAws, vpc: str) -> None:
    ec2 = stale.client("ec2")
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=vpc)["GroupId"]
    mine = {"Filters": [{"Name": "group-id", "Values": [group]}]}
    seconds_until(lambda: ec2.describe_security_groups(**mine)["SecurityGroups"])

    ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="192.0.2.1/32"
    )

    def rules() -> Any:
        return ec2.describe_security_groups(**mine)["SecurityGroups"][0]["IpPermissions"]

    assert rules() == []
    seconds_until(rules)


def test_new_role_is_unknown_to_iam_and_lambda_until_they_catch_up(stale: LocalAws) -> None:
    iam, functions = stale.client("iam"), stale.client("lambda")
    role = iam.create_role(RoleName="late", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]

    def create() -> Any:
        return functions.create_function(
            FunctionName="late",
            Role=role,
            Runtime="python3.13",
            Handler="code.handler",
            Code={"ZipFile": archive("handler = print")},
        )

    assert code(lambda: iam.get_role(RoleName="late")) == "NoSuchEntity"
    with pytest.raises(ClientError, match=r"cannot be assumed by Lambda\.") as caught:
        create()
    assert caught.value.response["Error"]["Code"] == "InvalidParameterValueException"
    seconds_until(lambda: role in str(iam.list_roles()["Roles"]))
    assert create()["FunctionName"] == "late"
    functions.delete_function(FunctionName="late")


def test_function_in_a_vpc_waits_for_the_policies_of_its_role(stale: LocalAws) -> None:
    iam, functions = stale.client("iam"), stale.client("lambda")
    role = iam.create_role(RoleName="network", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    seconds_until(lambda: [r for r in iam.list_roles()["Roles"] if r["Arn"] == role])
    iam.attach_role_policy(
        RoleName="network",
        PolicyArn="arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole",
    )

    assert iam.list_attached_role_policies(RoleName="network")["AttachedPolicies"] == []
    with pytest.raises(ClientError, match="does not have permissions to call"):
        functions.create_function(
            FunctionName="network",
            Role=role,
            Runtime="python3.13",
            Handler="code.handler",
            Code={"ZipFile": archive("handler = print")},
            VpcConfig={"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        )


def test_new_instance_profile_is_refused_by_ec2(stale: LocalAws) -> None:
    arn = stale.client("iam").create_instance_profile(InstanceProfileName="late")[
        "InstanceProfile"
    ]["Arn"]

    for profile, words in (({"Name": "late"}, "name"), ({"Arn": arn}, "ARN")):
        with pytest.raises(ClientError, match=f"Invalid IAM Instance Profile {words}") as caught:
            stale.client("ec2").run_instances(
                ImageId="ami-1", MinCount=1, MaxCount=1, IamInstanceProfile=profile
            )
        assert caught.value.response["Error"]["Code"] == "InvalidParameterValue"


def test_first_subnet_group_of_account_waits_for_the_role_of_rds(stale: LocalAws, vpc: str) -> None:
    ec2, rds = stale.client("ec2"), stale.client("rds")
    cidr = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlock"]
    halves = [str(half) for half in ipaddress.ip_network(cidr).subnets()]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=half, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for half, zone in zip(halves, ("us-east-1a", "us-east-1b"), strict=True)
    ]

    def create() -> Any:
        return rds.create_db_subnet_group(
            DBSubnetGroupName="first", DBSubnetGroupDescription="first", SubnetIds=subnets
        )

    with pytest.raises(ClientError, match=r"ServiceLinkedRoles\.html") as caught:
        create()
    assert caught.value.response["Error"]["Code"] == "InvalidParameterValue"
    seconds_until(lambda: "AWSServiceRoleForRDS" in str(stale.client("iam").list_roles()["Roles"]))
    assert create()["DBSubnetGroup"]["DBSubnetGroupName"] == "first"


def test_secret_is_known_by_name_long_before_it_is_listed(stale: LocalAws) -> None:
    secrets = stale.client("secretsmanager")

    def listed() -> list[str]:
        return [secret["Name"] for secret in secrets.list_secrets()["SecretList"]]

    secrets.create_secret(Name="late", SecretString="text")

    assert secrets.describe_secret(SecretId="late")["Name"] == "late"
    assert secrets.get_secret_value(SecretId="late")["SecretString"] == "text"
    assert listed() == []
    assert seconds_until(listed) > LIST / 2
    secrets.delete_secret(SecretId="late", ForceDeleteWithoutRecovery=True)
    assert listed() == ["late"]
    assert code(lambda: secrets.describe_secret(SecretId="late")) == "ResourceNotFoundException"


def test_log_group_is_listed_late(stale: LocalAws) -> None:
    logs = stale.client("logs")

    logs.create_log_group(logGroupName="/late")

    assert logs.describe_log_groups()["logGroups"] == []
    assert code(lambda: logs.create_log_group(logGroupName="/late")).startswith(
        "ResourceAlreadyExists"
    )
    seconds_until(lambda: logs.describe_log_groups()["logGroups"])


def test_tags_of_rds_lag_and_its_resources_do_not(stale: LocalAws) -> None:
    rds = stale.client("rds")
    first, second = {"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}
    group = rds.create_db_parameter_group(
        DBParameterGroupName="late",
        DBParameterGroupFamily="postgres17",
        Description="late",
        Tags=[first],
    )["DBParameterGroup"]["DBParameterGroupArn"]

    def tags() -> list[dict[str, str]]:
        found: list[dict[str, str]] = rds.list_tags_for_resource(ResourceName=group)["TagList"]
        return found

    assert tags() == [first]
    time.sleep(STALE + 2 * PERIOD)
    rds.add_tags_to_resource(ResourceName=group, Tags=[second])
    assert tags() == [first]
    seconds_until(lambda: tags() == [first, second])


def test_bucket_and_its_objects_are_seen_at_once(stale: LocalAws) -> None:
    s3 = stale.client("s3")

    s3.create_bucket(Bucket="consistent")
    s3.put_object(Bucket="consistent", Key="key", Body=b"text")

    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["consistent"]
    assert s3.list_objects_v2(Bucket="consistent")["KeyCount"] == 1


@pytest.mark.parametrize(
    ("call", "arguments", "answer"),
    [
        ("apigatewayv2.get_apis", {}, ("TooManyRequestsException", 429)),
        ("ec2.describe_vpcs", {}, ("RequestLimitExceeded", 503)),
        ("iam.list_roles", {}, ("Throttling", 400)),
        ("lambda.list_functions", {}, ("TooManyRequestsException", 429)),
        ("logs.describe_log_groups", {}, ("ThrottlingException", 400)),
        ("rds.describe_db_instances", {}, ("Throttling", 400)),
        ("s3.list_objects_v2", {"Bucket": "none"}, ("SlowDown", 503)),
        ("s3.put_object", {"Bucket": "none", "Key": "k"}, ("SlowDown", 503)),
        ("secretsmanager.list_secrets", {}, ("ThrottlingException", 400)),
        (
            "service-quotas.get_service_quota",
            {"ServiceCode": "vpc", "QuotaCode": "L-F678F1CE"},
            ("TooManyRequestsException", 400),
        ),
        ("sts.get_caller_identity", {}, ("Throttling", 400)),
    ],
)
def test_throttled_call_is_answered_in_the_words_of_its_service(
    throttled: LocalAws,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    arguments: dict[str, Any],
    answer: tuple[str, int],
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    service, operation = call.split(".")

    with pytest.raises(ClientError) as caught:
        getattr(throttled.client(service), operation)(**arguments)

    response = caught.value.response
    assert (
        response["Error"]["Code"],
        response["ResponseMetadata"]["HTTPStatusCode"],
    ) == answer
    assert f"{service}:" in (throttled.directory / "throttled").read_text()


def draw(directory: Path, seed: str, order: list[str]) -> list[tuple[str, bool]]:
    """Return which of these operations are throttled."""
    lottery = Lottery(Settings(data_dir=directory, throttled_percent=10, throttled_seed=seed))
    return [(operation, lottery.draws("ec2", operation)) for operation in order]


def test_choice_of_throttled_calls_depends_on_seed_and_operation_only(tmp_path: Path) -> None:
    turns = ["DescribeVpcs", "CreateVpc"] * 1000
    drawn = draw(tmp_path, "0", turns)

    assert 150 < sum(throttled for _, throttled in drawn) < 250
    assert draw(tmp_path, "0", turns) == drawn
    # Whatever others call in between.
    assert sorted(draw(tmp_path, "0", sorted(turns))) == sorted(drawn)
    assert draw(tmp_path, "1", turns) != drawn
