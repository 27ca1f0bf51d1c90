"""Security groups are as EC2 makes and describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.conftest import LocalAws


def default_group(ec2: Any, vpc: str) -> dict[str, Any]:
    filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]
    [group] = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
    return dict(group)


def test_default_group_of_a_new_network_admits_its_members(aws: LocalAws) -> None:
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.216.0.0/16")["Vpc"]["VpcId"]
    group = default_group(ec2, vpc)

    [rule] = group["IpPermissions"]
    ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[rule])
    closed = default_group(ec2, vpc)
    ec2.delete_vpc(VpcId=vpc)

    assert rule["IpProtocol"] == "-1"
    assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [group["GroupId"]]
    assert closed["IpPermissions"] == []


def test_change_of_rule_descriptions_is_acknowledged(
    aws: LocalAws, network: dict[str, Any]
) -> None:
    ec2 = aws.client("ec2")
    group = ec2.create_security_group(
        GroupName="described", Description="described", VpcId=network["vpc"]
    )["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    before = [{"CidrIp": "198.51.100.7/32", "Description": "before"}]
    after = [{"CidrIp": "198.51.100.7/32", "Description": "after"}]

    acknowledged = []
    for direction in ("ingress", "egress"):
        permissions = [rule | {"IpRanges": before}]
        add = getattr(ec2, f"authorize_security_group_{direction}")
        add(GroupId=group, IpPermissions=permissions)
        change = getattr(ec2, f"update_security_group_rule_descriptions_{direction}")
        answer = change(GroupId=group, IpPermissions=[rule | {"IpRanges": after}])
        acknowledged.append(answer.get("Return"))
    [found] = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    ec2.delete_security_group(GroupId=group)

    assert acknowledged == [True, True]
    assert found["IpPermissions"][0]["IpRanges"] == after
