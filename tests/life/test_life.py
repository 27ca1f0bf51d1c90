"""Plan, create, drift and repair, pause and resume, tear down: in the order of a deployment's life.

All are slow: one deployment is made for them and unmade by them.
"""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import BIN, ROOT, deploy_policy
from tests.life.conftest import NAME
from tests.policy_mutations import documented, mutate, rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import LocalAws, Play
    from tests.life.conftest import Hand

pytestmark = pytest.mark.slow

TWIN = "twin"
FUNCTION = f"{NAME}-mlflow-metrics"
FUNCTION_ROLE = f"{NAME}-mlflow-metrics-us-east-1"
HOST_ROLE = f"{NAME}-mlflow-host-us-east-1"
LOG_GROUPS = [f"/aws/lambda/{FUNCTION}", f"/aws/vendedlogs/apigateway/{FUNCTION}"]


def test_plan_of_an_empty_account_is_to_create_all(aws: LocalAws) -> None:
    play = aws.play("site.yml", "--check", "--diff")

    assert play.returncode == 0, play.output
    assert re.search(
        r"^[3-9]\d to create, 0 to change, 0 to delete, 0 unchanged", play.output, re.MULTILINE
    )
    assert f"+ database instance {NAME}-mlflow" in play.output
    assert aws.resources(NAME) == []


def test_new_deployment_has_no_drift(aws: LocalAws) -> None:
    created = aws.play("site.yml")
    drift = aws.play("playbooks/drift.yml")

    assert created.returncode == 0, created.output
    assert drift.returncode == 0, drift.output
    assert "has not drifted" in drift.output


def test_unlock_of_a_deployment_without_a_lock_changes_nothing(aws: LocalAws) -> None:
    unlock = aws.play("playbooks/unlock.yml")

    assert unlock.returncode == 0, unlock.output
    assert f"Deployment {NAME} is not locked." in unlock.output
    assert unlock.recap["changed"] == 0, unlock.output


def test_database_s_monitoring_has_a_role_that_is_for_nothing_else(hand: Hand) -> None:
    role = hand.aws.client("iam").get_role(RoleName=f"{NAME}-mlflow-monitoring-us-east-1")["Role"]
    [statement] = role["AssumeRolePolicyDocument"]["Statement"]

    assert hand.database["MonitoringInterval"] == 60
    assert hand.database["MonitoringRoleArn"] == role["Arn"]
    assert statement["Principal"] == {"Service": "monitoring.rds.amazonaws.com"}
    assert statement["Condition"]["StringEquals"] == {
        "aws:SourceAccount": "123456789012",
        "aws:SourceArn": hand.database["DBInstanceArn"],
    }


# drift.yml has to find a port that somebody opened to the world by hand.
def open_port(hand: Hand) -> None:
    group = hand.named("describe_security_groups", "SecurityGroups", "host")["GroupId"]
    hand.aws.client("ec2").authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 8080,
                "ToPort": 8080,
                "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
            }
        ],
    )


def remove_tag(hand: Hand) -> None:
    subnet = hand.named("describe_subnets", "Subnets", "private-b")["SubnetId"]
    hand.aws.client("ec2").delete_tags(Resources=[subnet], Tags=[{"Key": "ManagedBy"}])


# drift.yml has to find a default route in the private subnet, which has none.
def change_route(hand: Hand) -> None:
    table = hand.named("describe_route_tables", "RouteTables", "private")["RouteTableId"]
    gateway = hand.ours("describe_internet_gateways", "InternetGateways")
    hand.aws.client("ec2").create_route(
        RouteTableId=table,
        DestinationCidrBlock="0.0.0.0/0",
        GatewayId=gateway["InternetGatewayId"],
    )


def loosen_metadata(hand: Hand) -> None:
    hand.aws.client("ec2").modify_instance_metadata_options(
        InstanceId=hand.instance["InstanceId"], HttpTokens="optional"
    )


def suspend_versions(hand: Hand) -> None:
    hand.aws.client("s3").put_bucket_versioning(
        Bucket=hand.bucket, VersioningConfiguration={"Status": "Suspended"}
    )


def open_bucket(hand: Hand) -> None:
    hand.aws.client("s3").delete_public_access_block(Bucket=hand.bucket)


def shorten_backups(hand: Hand) -> None:
    hand.modify_database(BackupRetentionPeriod=1)


def stop_monitoring(hand: Hand) -> None:
    hand.modify_database(MonitoringInterval=0)


def allow_plain_connections(hand: Hand) -> None:
    [group] = hand.database["DBParameterGroups"]
    hand.aws.client("rds").modify_db_parameter_group(
        DBParameterGroupName=group["DBParameterGroupName"],
        Parameters=[
            {
                "ParameterName": "rds.force_ssl",
                "ParameterValue": "0",
                "ApplyMethod": "immediate",
            }
        ],
    )


def replace_code(hand: Hand) -> None:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("handler.py", "def handler(event, context): return 'mine'")
    hand.update_function("update_function_code", FUNCTION, ZipFile=code.getvalue())


def change_function(hand: Hand) -> None:
    functions = hand.aws.client("lambda")
    present = functions.get_function_configuration(FunctionName=FUNCTION)
    variables = present["Environment"]["Variables"] | {"METRICS_MAX_SERIES": "7"}
    hand.update_function(
        "update_function_configuration",
        FUNCTION,
        MemorySize=1024,
        Environment={"Variables": variables},
    )


def api_id(hand: Hand) -> str:
    apis = hand.aws.client("apigatewayv2").get_paginator("get_apis").paginate()
    [api] = [
        api
        for page in apis
        for api in page["Items"]
        if api.get("Tags", {}).get("Deployment") == NAME
    ]
    return str(api["ApiId"])


def delete_route(hand: Hand) -> None:
    apis = hand.aws.client("apigatewayv2")
    routes = apis.get_routes(ApiId=api_id(hand))["Items"]
    [route] = [found for found in routes if found["RouteKey"] == "HEAD /metrics"]
    apis.delete_route(ApiId=api_id(hand), RouteId=route["RouteId"])


def raise_throttle(hand: Hand) -> None:
    hand.aws.client("apigatewayv2").update_stage(
        ApiId=api_id(hand),
        StageName="$default",
        DefaultRouteSettings={"ThrottlingRateLimit": 9000.0, "ThrottlingBurstLimit": 9000},
    )


def let_any_api_invoke(hand: Hand) -> None:
    functions = hand.aws.client("lambda")
    policy = json.loads(functions.get_policy(FunctionName=FUNCTION)["Policy"])
    statement = policy["Statement"][0]["Sid"]
    functions.remove_permission(FunctionName=FUNCTION, StatementId=statement)
    functions.add_permission(
        FunctionName=FUNCTION,
        StatementId=statement,
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
        SourceArn="arn:aws:execute-api:us-east-1:123456789012:*/*/*/*",
    )


def let_stranger_invoke(hand: Hand) -> None:
    hand.aws.client("lambda").add_permission(
        FunctionName=FUNCTION,
        StatementId="stranger",
        Action="lambda:InvokeFunction",
        Principal="999999999999",
    )


def edit_unit(hand: Hand) -> None:
    hand.ssh("echo Environment=MINE=1 >> /etc/systemd/system/mlflow.service")


def edit_proxy(hand: Hand) -> None:
    hand.ssh('echo "# mine" >> /etc/caddy/Caddyfile')


def give_rights(hand: Hand) -> None:
    hand.execute(
        "mlflow_master: ALTER ROLE mlflow_metrics CREATEDB",
        "mlflow: GRANT INSERT, DELETE ON runs TO mlflow_metrics",
    )


def change_rule_description(hand: Hand) -> None:
    group = hand.named("describe_security_groups", "SecurityGroups", "host")
    [rule] = [rule for rule in group["IpPermissions"] if rule["FromPort"] == 22]
    ranges = [{"CidrIp": one["CidrIp"], "Description": "mine"} for one in rule["IpRanges"]]
    hand.aws.client("ec2").update_security_group_rule_descriptions_ingress(
        GroupId=group["GroupId"],
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": ranges},
        ],
    )


def change_outgoing_rule_description(hand: Hand) -> None:
    group = hand.named("describe_security_groups", "SecurityGroups", "function")
    [rule] = group["IpPermissionsEgress"]
    ranges = [{"CidrIp": one["CidrIp"], "Description": "mine"} for one in rule["IpRanges"]]
    changed = {key: rule[key] for key in ("IpProtocol", "FromPort", "ToPort")}
    hand.aws.client("ec2").update_security_group_rule_descriptions_egress(
        GroupId=group["GroupId"], IpPermissions=[changed | {"IpRanges": ranges}]
    )


def give_public_addresses(hand: Hand) -> None:
    subnet = hand.named("describe_subnets", "Subnets", "private-a")["SubnetId"]
    hand.aws.client("ec2").modify_subnet_attribute(
        SubnetId=subnet, MapPublicIpOnLaunch={"Value": True}
    )


def switch_names_off(hand: Hand) -> None:
    subnet = hand.named("describe_subnets", "Subnets", "private-a")
    hand.aws.client("ec2").modify_vpc_attribute(
        VpcId=subnet["VpcId"], EnableDnsHostnames={"Value": False}
    )


def describe_role(hand: Hand) -> None:
    hand.aws.client("iam").update_role(RoleName=HOST_ROLE, Description="mine")


def trust_another_service(hand: Hand) -> None:
    services = ["lambda.amazonaws.com", "ecs-tasks.amazonaws.com"]
    statement = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": services},
    }
    hand.aws.client("iam").update_assume_role_policy(
        RoleName=FUNCTION_ROLE,
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )


def widen_role(hand: Hand) -> None:
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    hand.aws.client("iam").put_role_policy(
        RoleName=HOST_ROLE,
        PolicyName="artifacts",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )


def let_database_into_public_subnet(hand: Hand) -> None:
    group = hand.database["DBSubnetGroup"]
    public = hand.named("describe_subnets", "Subnets", "public-a")["SubnetId"]
    private = [subnet["SubnetIdentifier"] for subnet in group["Subnets"]]
    hand.aws.client("rds").modify_db_subnet_group(
        DBSubnetGroupName=group["DBSubnetGroupName"], SubnetIds=[*private, public]
    )


def describe_secret(hand: Hand) -> None:
    hand.aws.client("secretsmanager").update_secret(
        SecretId=f"{NAME}/mlflow-admin", Description="mine"
    )


def keep_log_for_ever(hand: Hand) -> None:
    for group in LOG_GROUPS:
        hand.aws.client("logs").delete_retention_policy(logGroupName=group)


def remove_tags(hand: Hand) -> None:
    """Of everything that is not found by this tag."""
    aws, keys = hand.aws, ["ManagedBy"]
    iam, apis = aws.client("iam"), aws.client("apigatewayv2")
    iam.untag_role(RoleName=HOST_ROLE, TagKeys=keys)
    iam.untag_instance_profile(InstanceProfileName=HOST_ROLE, TagKeys=keys)
    function = aws.client("lambda").get_function_configuration(FunctionName=FUNCTION)
    aws.client("lambda").untag_resource(Resource=function["FunctionArn"], TagKeys=keys)
    aws.client("rds").remove_tags_from_resource(
        ResourceName=hand.database["DBInstanceArn"], TagKeys=keys
    )
    aws.client("secretsmanager").untag_resource(SecretId=f"{NAME}/mlflow-admin", TagKeys=keys)
    for group in LOG_GROUPS:
        aws.client("logs").untag_log_group(logGroupName=group, tags=keys)
    for arn in (f"/apis/{api_id(hand)}", f"/apis/{api_id(hand)}/stages/$default"):
        apis.untag_resource(ResourceArn=f"arn:aws:apigateway:us-east-1::{arn}", TagKeys=keys)
    ec2 = aws.client("ec2")
    resources = [
        hand.ours("describe_internet_gateways", "InternetGateways")["InternetGatewayId"],
        hand.ours("describe_vpc_endpoints", "VpcEndpoints")["VpcEndpointId"],
        hand.named("describe_route_tables", "RouteTables", "private")["RouteTableId"],
        hand.named("describe_security_groups", "SecurityGroups", "database")["GroupId"],
    ]
    ec2.delete_tags(Resources=resources, Tags=[{"Key": key} for key in keys])


# What is changed by hand, and what the list of differences says of it.
DRIFTS: list[tuple[Callable[[Hand], None], str]] = [
    (open_port, r"security group of the host .*: differs\n(.*\n)*?.*8080"),
    (remove_tag, r"subnets: private-b .*: differs"),
    (change_route, r"route tables: private .*: differs"),
    (loosen_metadata, r"instance .*: differs\n(.*\n)*?.*http_tokens: optional -> required"),
    (suspend_versions, r"bucket .*: differs\n(.*\n)*?.*versioning: false -> true"),
    (open_bucket, r"public_access.restrict_public_buckets: false -> true"),
    (shorten_backups, r"database instance .*: differs\n(.*\n)*?.*retention_period: 1 -> 7"),
    (stop_monitoring, r"database instance .*: differs\n(.*\n)*?.*monitoring_interval: 0 -> 60"),
    (allow_plain_connections, r"parameter group .*: differs"),
    (replace_code, r"function .*: differs\n(.*\n)*?.*code"),
    (change_function, r"memory_size: 1024 -> 512\n(.*\n)*?.*METRICS_MAX_SERIES: 7 -> 100000"),
    (delete_route, r"HTTP API .*: differs\n(.*\n)*?.*HEAD /metrics"),
    (raise_throttle, r"9000(\.0)? -> 20"),
    (let_any_api_invoke, r"permissions.*execute-api:us-east-1:123456789012:\*"),
    (let_stranger_invoke, r"stranger(.*\n)*?.*999999999999"),
    (edit_unit, r"mlflow.service(.*\n)*?.*MINE=1"),
    (edit_proxy, r"Caddyfile(.*\n)*?.*# mine"),
    (give_rights, r"mlflow_metrics .*: differs"),
    (change_rule_description, r"security group of the host .*: differs\n(.*\n)*?.*mine"),
    (change_outgoing_rule_description, r"security group of the function .*: differs"),
    (give_public_addresses, r"subnets: private-a .*: differs"),
    (switch_names_off, rf"VPC {NAME} .*: differs"),
    (widen_role, r"keep artifacts .*: differs"),
    (describe_role, r"role of the host .*: differs\n(.*\n)*?.*description: mine"),
    (trust_another_service, r"role of the metrics function .*: differs"),
    (let_database_into_public_subnet, r"subnet group .*: differs"),
    (describe_secret, r"passwords .*: differs"),
    (keep_log_for_ever, r"retention_in_days: 0 -> "),
    (remove_tags, r"instance profile .*: differs\n(.*\n)*?.*ManagedBy: null -> ansible"),
]
# What a plan must not need.
WRITES = [
    action
    for file in (ROOT / "docs/iam/actions").glob("*.txt")
    for action in file.read_text().split()
    if not action.split(":")[1].startswith(("Describe", "Get", "List", "GET"))
]


@pytest.fixture(scope="module")
def drifted(hand: Hand) -> Play:
    """What drift.yml says after all of that, without the right to change anything."""
    for change, _ in DRIFTS:
        change(hand)
    with hand.aws.denied(*WRITES):
        return hand.aws.play("playbooks/drift.yml")


@pytest.mark.parametrize(("change", "said"), DRIFTS, ids=[change.__name__ for change, _ in DRIFTS])
def test_drift_is_found(drifted: Play, change: Callable[[Hand], None], said: str) -> None:
    listed = drifted.output[drifted.output.rindex("has drifted") :]

    assert drifted.returncode != 0
    assert re.search(said, listed), f"{change.__name__}: {listed}"


@pytest.mark.usefixtures("drifted")
def test_site_repairs_what_drifted(aws: LocalAws) -> None:
    repaired = aws.play("site.yml")
    drift = aws.play("playbooks/drift.yml")

    assert repaired.returncode == 0, repaired.output
    assert drift.returncode == 0, drift.output


# site.yml has to repair the public subnet's default route, which leads to the host itself here.
def redirect_route(hand: Hand) -> None:
    table = hand.named("describe_route_tables", "RouteTables", "public")["RouteTableId"]
    [interface] = hand.instance["NetworkInterfaces"]
    hand.aws.client("ec2").replace_route(
        RouteTableId=table,
        DestinationCidrBlock="0.0.0.0/0",
        NetworkInterfaceId=interface["NetworkInterfaceId"],
    )


def take_address_away(hand: Hand) -> None:
    address = hand.ours("describe_addresses", "Addresses")
    hand.aws.client("ec2").disassociate_address(AssociationId=address["AssociationId"])


def take_profile_away(hand: Hand) -> None:
    association = profile_association(hand)
    hand.aws.client("ec2").disassociate_iam_instance_profile(
        AssociationId=association["AssociationId"]
    )


def replace_profile(hand: Hand) -> None:
    hand.aws.client("iam").create_instance_profile(InstanceProfileName="stranger")
    hand.aws.client("ec2").replace_iam_instance_profile_association(
        AssociationId=profile_association(hand)["AssociationId"],
        IamInstanceProfile={"Name": "stranger"},
    )


def profile_association(hand: Hand) -> dict[str, Any]:
    return hand.only(
        "ec2", "describe_iam_instance_profile_associations", "IamInstanceProfileAssociations"
    )


# After these the host cannot be reached or has lost its role, so drift.yml has no more to say.
@pytest.mark.parametrize(
    ("change", "playbook"),
    [
        (redirect_route, "vpc"),
        (take_address_away, "ec2"),
        (take_profile_away, "ec2"),
        (replace_profile, "ec2"),
    ],
    ids=lambda given: getattr(given, "__name__", given),
)
def test_lost_connection_of_the_host_is_repaired(
    hand: Hand, change: Callable[[Hand], None], playbook: str
) -> None:
    def connections() -> Any:
        table = hand.named("describe_route_tables", "RouteTables", "public")
        address = hand.ours("describe_addresses", "Addresses")
        profile = profile_association(hand)["IamInstanceProfile"]["Arn"]
        return table["Routes"], address["InstanceId"], profile

    before = connections()
    change(hand)

    play = hand.aws.play(f"playbooks/{playbook}.yml")

    assert play.returncode == 0, play.output
    assert connections() == before


def test_parameter_that_waits_for_a_reboot_is_drift_until_the_reboot(hand: Hand) -> None:
    [group] = hand.database["DBParameterGroups"]
    hand.aws.client("rds").modify_db_parameter_group(
        DBParameterGroupName=group["DBParameterGroupName"],
        Parameters=[
            {
                "ParameterName": "max_connections",
                "ParameterValue": "100",
                "ApplyMethod": "pending-reboot",
            }
        ],
    )

    drift = hand.aws.play("playbooks/drift.yml")
    rebooted = hand.aws.play("playbooks/rds.yml", "-e", "aws_rds_reboot=true")
    after = hand.aws.play("playbooks/drift.yml")

    assert drift.returncode != 0
    assert "pending-reboot" in drift.output
    assert rebooted.returncode == 0, rebooted.output
    assert after.returncode == 0, after.output


def test_rotated_token_replaces_the_former_one(aws: LocalAws) -> None:
    rotated = aws.play("playbooks/rotate_metrics_token.yml")
    drift = aws.play("playbooks/drift.yml")

    assert rotated.returncode == 0, rotated.output
    assert drift.returncode == 0, drift.output


def test_second_deployment_of_the_account_and_machine_is_another(aws: LocalAws) -> None:
    twin = replace(aws, variables={"deployment": TWIN})
    twin.allow_deployment(TWIN)
    created = twin.play("site.yml")
    drifts = [one.play("playbooks/drift.yml") for one in (aws, twin)]
    end = twin.play("playbooks/destroy.yml", "-e", f"confirm={TWIN}", "-e", "purge=true")
    after = aws.play("playbooks/drift.yml")

    assert created.returncode == 0, created.output
    assert [drift.returncode for drift in drifts] == [0, 0], drifts[0].output + drifts[1].output
    assert end.returncode == 0, end.output
    assert twin.resources(TWIN) == []
    assert after.returncode == 0, after.output


def test_paused_deployment_has_no_hourly_costs_and_keeps_its_address(hand: Hand) -> None:
    address = hand.address

    paused = hand.aws.play("playbooks/pause.yml")
    again = hand.aws.play("playbooks/pause.yml")

    assert paused.returncode == 0, paused.output
    assert (hand.instance["State"]["Name"], hand.database["DBInstanceStatus"]) == (
        "stopped",
        "stopped",
    )
    assert again.returncode == 0, again.output
    assert again.recap["changed"] == 0, again.output
    assert hand.address == address


def test_resumed_deployment_answers(hand: Hand) -> None:
    address = hand.address

    resumed = hand.aws.play("playbooks/resume.yml")
    again = hand.aws.play("playbooks/resume.yml")

    assert resumed.returncode == 0, resumed.output
    assert again.returncode == 0, again.output
    assert again.recap["changed"] == 0, again.output
    assert hand.address == address


def strangers(hand: Hand) -> dict[str, Callable[[], Any]]:
    """Make what is named like the deployment's and is not; return how each is found."""
    logs, ec2, rds = (hand.aws.client(name) for name in ("logs", "ec2", "rds"))
    tags = [{"Key": "Deployment", "Value": "other"}]
    logs.create_log_group(logGroupName=f"/aws/lambda/{NAME}-mlflow-metrics-2")
    ec2.create_key_pair(
        KeyName=f"{NAME}-mlflow-2", TagSpecifications=[{"ResourceType": "key-pair", "Tags": tags}]
    )
    rds.create_db_parameter_group(
        DBParameterGroupName=f"{NAME}-mlflow-postgres18",
        DBParameterGroupFamily="postgres17",
        Description="another's",
        Tags=tags,
    )
    return {
        "log group": lambda: logs.describe_log_groups(
            logGroupNamePrefix=f"/aws/lambda/{NAME}-mlflow-metrics-2"
        )["logGroups"],
        "key": lambda: ec2.describe_key_pairs(KeyNames=[f"{NAME}-mlflow-2"])["KeyPairs"],
        "parameter group": lambda: rds.describe_db_parameter_groups(
            DBParameterGroupName=f"{NAME}-mlflow-postgres18"
        )["DBParameterGroups"],
    }


def ended(command: str) -> bool:
    """Return whether nothing with these words in its command line runs, after a while at most."""
    look = ["pgrep", "-f", command]
    end = time.monotonic() + 15
    while subprocess.run(look, check=False, capture_output=True).returncode == 0:
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True


def test_destroy_when_interrupted_continues_and_keeps_data_and_other_resources(hand: Hand) -> None:
    bucket = hand.bucket
    hand.aws.client("s3").put_object(Bucket=bucket, Key="1/model", Body=b"precious")
    others = strangers(hand)
    arguments = [str(BIN / "ansible-playbook"), "playbooks/destroy.yml", "-e", f"confirm={NAME}"]

    interrupted = subprocess.Popen(
        [*arguments, *hand.aws.extra_variables],
        cwd=ROOT,
        env=hand.aws.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(25)
    interrupted.send_signal(signal.SIGKILL)
    interrupted.wait()
    assert ended(f"playbooks/destroy.yml -e confirm={NAME}"), "its workers live on"
    play = hand.aws.play("playbooks/destroy.yml", "-e", f"confirm={NAME}")
    again = hand.aws.play("playbooks/destroy.yml", "-e", f"confirm={NAME}")

    assert play.returncode == 0, play.output
    [snapshot] = hand.snapshots
    assert snapshot["DBSnapshotIdentifier"].startswith(f"{NAME}-mlflow-final-")
    assert snapshot["Status"] == "available"
    assert f"but {snapshot['DBSnapshotIdentifier']}, {bucket}" in play.output
    assert all(found() for found in others.values())
    assert again.returncode == 0, again.output
    assert again.recap["changed"] == 0, again.output


def test_passwords_of_a_deleted_deployment_are_restored(hand: Hand) -> None:
    secrets = hand.aws.client("secretsmanager")
    play = hand.aws.play("playbooks/secrets.yml")

    assert play.returncode == 0, play.output
    assert secrets.get_secret_value(SecretId=f"{NAME}/database-master")["SecretString"]


def test_purge_deletes_the_data(hand: Hand) -> None:
    play = hand.aws.play("playbooks/destroy.yml", "-e", f"confirm={NAME}", "-e", "purge=true")

    assert play.returncode == 0, play.output
    buckets = hand.aws.client("s3").list_buckets(Prefix=f"{NAME}-mlflow-")["Buckets"]
    assert buckets == hand.snapshots == []


def test_recorded_calls_equal_the_actions_of_the_policy(aws: LocalAws, project: Path) -> None:
    """The last, as all that is called by then counts."""
    files = project / "docs/iam/actions"
    expected = (files / "life.txt").read_text().split()
    # Only amazon.aws 11 calls these. It comes with the Ansible for Python 3.12 and newer.
    if sys.version_info >= (3, 12):
        expected = sorted(expected + (files / "newest_stack.txt").read_text().split())

    assert aws.actions == expected, "\n".join(aws.actions)


def test_policy_without_one_of_its_actions_refuses_a_call(aws: LocalAws) -> None:
    kept = (ROOT / "docs/iam/actions/life.txt").read_text().split()
    table = mutate(json.loads(deploy_policy(NAME)), aws.permissions_of("user/deployer"))
    found = rows({row: types for row, types in table.items() if row[1] in kept})

    assert "" not in {types for row, types in table.items() if row[1] in kept}, "\n".join(found)
    assert found == documented("Deployer"), "\n".join(found)
